using System.Globalization;
using Perforator.Branches;
using Perforator.Layout.Bolt;
using Perforator.Layout.Propeller;

namespace Perforator.Layout;

/// <summary>What lays out code by a branch profile.</summary>
public enum LayoutConsumer
{
    /// <summary>llvm-bolt.</summary>
    Bolt,

    /// <summary>clang and lld.</summary>
    Propeller,
}

/// <summary>A file of a layout.</summary>
/// <param name="Suffix">What its name ends with, behind what the user calls the layout.</param>
/// <param name="Content">Its bytes.</param>
public sealed record LayoutFile(string Suffix, byte[] Content);

/// <summary>The files that a consumer takes to lay out a binary's code. The same branches and binary give the same bytes.</summary>
public static class LayoutFiles
{
    /// <summary>What the names of a consumer's files end with.</summary>
    public static IReadOnlyList<string> Suffixes(LayoutConsumer consumer) =>
        consumer == LayoutConsumer.Bolt ? [""] : [".cc_profile", ".ld_profile"];

    /// <summary>Refuses a binary that the consumer can do nothing with.</summary>
    /// <exception cref="UserErrorException">It is one; the message says what to build with.</exception>
    public static void Require(LayoutConsumer consumer, LayoutBinary binary)
    {
        if (consumer == LayoutConsumer.Bolt)
            binary.RequireForBolt();
        else
            binary.RequireForPropeller();
    }

    /// <summary>Makes the files.</summary>
    /// <param name="consumer">Who they are for.</param>
    /// <param name="branches">What was observed of the binary.</param>
    /// <param name="binary">The binary; one that <see cref="Require"/> lets pass.</param>
    /// <param name="name">What the user calls the layout, for the report.</param>
    /// <param name="report">Takes up what came of it.</param>
    /// <exception cref="UserErrorException">The profile is of no use for it; the message says why.</exception>
    public static IReadOnlyList<LayoutFile> Make(
        LayoutConsumer consumer, BranchProfile branches, LayoutBinary binary, string name, LayoutReport report)
    {
        if (branches.TraceCounters == 0)
            throw new UserErrorException(branches.Addresses.Count == 0
                ? $"nothing was recorded in {binary.Path}"
                : $"of {binary.Path} only addresses were sampled, which do not tell branches: record branch stacks (perforator record, perf record -j any,u)");
        return consumer == LayoutConsumer.Bolt ? MakeBolt(branches, binary, name, report) : MakePropeller(branches, binary, name, report);
    }

    private static IReadOnlyList<LayoutFile> MakeBolt(BranchProfile branches, LayoutBinary binary, string name, LayoutReport report)
    {
        BoltProfile profile = BoltProfile.Of(branches, binary.Functions);
        if (profile.Functions == 0)
            throw new UserErrorException(
                $"none of the branches are in functions that {binary.Path} has symbols of: name the binary that ran, from before strip");
        report.Add("Functions", profile.Functions);
        report.Add("Mispredicted", profile.Mispredicted);
        report.AddFinding(
            profile.BranchesLeftOut, profile.Branches + profile.BranchesLeftOut,
            "of branches are in no function that has a symbol: BOLT leaves them out");
        report.AddFinding(
            profile.RangesLeftOut, profile.Ranges, "of ranges do not lie in one function that has a symbol: BOLT leaves them out");
        report.AddFinding(profile.UnpairedRanges, profile.Ranges,
            "of ranges come without the branch before them, as older files have them: which were reached from other functions is estimated");
        if (profile.Mispredicted == 0)
            report.Notes.Add("Mispredictions are all 0: the source does not tell them, and BOLT lays out code without.");
        report.Notes.Add(binary.IsWrittenByBolt
            ? $"{binary.Path} was written by BOLT: perf2bolt -pa -p {name} -o {name}.fdata {binary.Path} translates this, for llvm-bolt -data {name}.fdata on the binary that BOLT was given"
            : $"Use it with llvm-bolt {binary.Path} -pa -p {name} -o …");
        return [new("", Bytes(profile.Write))];
    }

    private static IReadOnlyList<LayoutFile> MakePropeller(BranchProfile branches, LayoutBinary binary, string name, LayoutReport report)
    {
        BlockFlow flow = BlockFlow.Of(branches, binary.Blocks);
        CodeLayout layout = CodeLayout.Of(flow);
        PropellerProfile profile = PropellerProfile.Of(layout, binary.Elf, binary.UnitNameAt);
        if (profile.Functions == 0)
            throw new UserErrorException(
                $"none of the branches are in functions that the basic-block map of {binary.Path} knows: name the binary that ran");
        report.Add("Functions", profile.Functions);
        report.Add("Blocks", profile.Blocks);
        report.Add("Bytes", layout.Bytes);
        report.Add("ExtTspScoreBefore", Math.Round(layout.ScoreBefore));
        report.Add("ExtTspScore", Math.Round(layout.Score));
        report.Add("RunOnBefore", layout.RunOnBefore / Math.Max(layout.Transfers, 1));
        report.Add("RunOn", layout.RunOn / Math.Max(layout.Transfers, 1));
        report.AddFinding(
            flow.RangesOutside, flow.Ranges,
            "of ranges are in code without a basic-block map (assembly, libraries built without it): it stays where it is");
        report.AddFinding(flow.RangesImpossible, flow.Ranges, "of ranges run past where their blocks end: of another build, or damaged");
        ulong executed = (ulong)layout.Functions.Count;
        report.AddFinding((ulong)profile.Ambiguous, executed,
            "of functions are left out, as several have their name: build with -g1 or -funique-internal-linkage-names to tell them apart");
        report.AddFinding(
            (ulong)profile.Nameless, executed, "of functions are left out, as no symbol names them: name the file from before strip");
        report.Notes.Add(string.Create(CultureInfo.InvariantCulture,
            $"Build the same source with the same flags and -fbasic-block-sections=list={name}.cc_profile, and link with -fuse-ld=lld -Wl,--symbol-ordering-file={name}.ld_profile -Wl,--no-warn-symbol-ordering"));
        return [new(".cc_profile", Bytes(profile.WriteClusters)), new(".ld_profile", Bytes(profile.WriteSymbolOrder))];
    }

    private static byte[] Bytes(Action<Stream> write)
    {
        using MemoryStream bytes = new();
        write(bytes);
        return bytes.ToArray();
    }
}
