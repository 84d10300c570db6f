using System.Globalization;
using Perforator.Bytes;
using Perforator.SampleProfiles;

namespace Perforator.Generation;

/// <summary>
/// How well a recording fits the binary: samples of fall-through ranges and branches by what is the matter with them. One range may
/// count under several heads, as in llvm-profgen's warnings.
/// </summary>
public sealed class FlowChecks
{
    /// <summary>Samples of all fall-through ranges.</summary>
    public ulong RangeSamples { get; set; }

    /// <summary>Ranges that do not begin at an instruction or do not end at a branch: another build's profile, or skid.</summary>
    public ulong NotOnBoundary { get; set; }

    /// <summary>Ranges with neither end in known code: the PLT, or code without symbols.</summary>
    public ulong OutsideCode { get; set; }

    /// <summary>Those of <see cref="OutsideCode"/> that begin within a function all the same, between its instructions.</summary>
    public ulong BetweenInstructions { get; set; }

    /// <summary>Ranges in code that debug info knows no function for.</summary>
    public ulong OutsideFunctions { get; set; }

    /// <summary>Ranges that run from one function into another.</summary>
    public ulong CrossesFunctions { get; set; }

    /// <summary>Ranges that go backwards, are implausibly long, or run across an instruction that always leaves.</summary>
    public ulong BogusRange { get; set; }

    /// <summary>All branches with an end in the binary.</summary>
    public ulong Branches { get; set; }

    /// <summary>Branches from outside the binary's known code into it: callbacks and returns.</summary>
    public ulong IncomingBranches { get; set; }

    /// <summary>Branches out of the binary's known code.</summary>
    public ulong OutgoingBranches { get; set; }

    /// <summary>Indirect calls of the binary's own functions, from code with debug info.</summary>
    public ulong IndirectCalls { get; private set; }

    /// <summary>
    /// Those of <see cref="IndirectCalls"/> whose place in the source is lost: where the compiler merges the ends of several blocks, it
    /// keeps neither line nor probe of the calls in them.
    /// </summary>
    public ulong PlacelessIndirectCalls { get; private set; }

    /// <summary>
    /// The share of ranges' samples that lie in functions with debug info and make sense, from 0 to 1; 1 when there are none.
    /// </summary>
    public double UsableShare =>
        RangeSamples == 0 ? 1 : Math.Clamp(1 - (((double)OutsideFunctions + OutsideCode + BogusRange) / RangeSamples), 0, 1);

    /// <param name="count">How often it was executed.</param>
    /// <param name="hasPlace">Whether a line, or a probe, is known of it.</param>
    public void AddIndirectCall(ulong count, bool hasPlace)
    {
        IndirectCalls = SampleCount.Add(IndirectCalls, count);
        if (!hasPlace)
            PlacelessIndirectCalls = SampleCount.Add(PlacelessIndirectCalls, count);
    }

    /// <summary>
    /// Whether most ranges do not begin and end at instructions, as when the binary is not the build that ran. Inputs without build
    /// ids give no other sign of it.
    /// </summary>
    public bool IsLikelyOfAnotherBuild => NotOnBoundary + BetweenInstructions > RangeSamples / 2;

    /// <summary>Refuses to go on with another build than the one recorded.</summary>
    /// <exception cref="UserErrorException">It is likely another one.</exception>
    internal void RequireSameBuild(string path)
    {
        if (IsLikelyOfAnotherBuild)
            throw new UserErrorException(string.Create(CultureInfo.InvariantCulture,
                $"{path} is not the build that was recorded: {100.0 * (NotOnBoundary + BetweenInstructions) / RangeSamples:0} % of the samples do not fit its instructions; name the binary that ran"));
    }

    /// <summary>What is the matter, worst first: samples, of how many, and a sentence a person can act on.</summary>
    public IEnumerable<(ulong Samples, ulong Of, string What)> Findings()
    {
        (ulong Samples, ulong Of, string What)[] all =
        [
            (NotOnBoundary, RangeSamples, "of samples are from ranges that do not begin and end at instructions, likely because the profile is of another build of this binary"),
            (OutsideCode, RangeSamples, "of samples are from code without symbols, such as the PLT; they count for no function"),
            (OutsideFunctions, RangeSamples, "of samples are from functions without debug info (build everything hot with -g), .init or .fini"),
            (CrossesFunctions, RangeSamples, "of samples are from ranges that run from one function into another, likely because the profile is of another build of this binary"),
            (BogusRange, RangeSamples, "of samples are from ranges that go backwards or across an unconditional jump, from interrupted or duplicated branch entries; they were dropped"),
            (PlacelessIndirectCalls, IndirectCalls, "of indirect calls have no place in the source, as the compiler merged several, so clang cannot inline what they call; -mllvm -enable-tail-merge=false keeps most of them apart in the build that is profiled"),
        ];
        ulong[] rarity = new ulong[all.Length];
        for (int i = 0; i < all.Length; i++)
            rarity[i] = ~all[i].Samples;
        foreach (int i in KeyOrder.Of(rarity))
            if (all[i].Samples > 0)
                yield return all[i];
    }
}
