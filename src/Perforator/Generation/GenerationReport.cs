using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Perforator.Branches;
using Perforator.SampleProfiles;

namespace Perforator.Generation;

/// <summary>
/// What a person or a build needs to know of a generated profile: how much went in, whether it is enough, how well it fits the
/// binary, and what was lost.
/// </summary>
public sealed record GenerationReport
{
    /// <summary>
    /// The ratio from which on a profile is taken for good: each byte of code has, on average, one taken branch behind it.
    /// </summary>
    public const double GoodRatio = 1.0;

    private GenerationReport() { }

    /// <summary>The service, when the profile is of one.</summary>
    public string? Service { get; init; }

    /// <summary>Build id of the binary.</summary>
    public required BuildId BuildId { get; init; }

    /// <summary>Path of the binary.</summary>
    public required string Binary { get; init; }

    /// <summary>Branch profiles that were added up.</summary>
    public required ulong TotalProfiles { get; init; }

    /// <summary>Samples that touched the binary.</summary>
    public required ulong TotalSamples { get; init; }

    /// <summary>Of <see cref="TotalSamples"/>, those that came without a branch stack, for their address alone.</summary>
    public required ulong AddressSamples { get; init; }

    /// <summary>Of <see cref="AddressSamples"/>, those whose address is exact rather than some instructions late.</summary>
    public required ulong ExactAddressSamples { get; init; }

    /// <summary>
    /// Taken branches with both ends in the binary, each as often as it was seen (Yandex Perforator, autofdo_input_builder.cpp).
    /// </summary>
    public required ulong TotalBranches { get; init; }

    /// <summary>Branch entries that make no sense: fall-through ranges that go backwards or across an unconditional jump.</summary>
    public required ulong BogusLbrEntries { get; init; }

    /// <summary>Distinct branches.</summary>
    public required int BranchCountMapSize { get; init; }

    /// <summary>Distinct fall-through ranges.</summary>
    public required int RangeCountMapSize { get; init; }

    /// <summary>Distinct sampled addresses.</summary>
    public required int AddressCountMapSize { get; init; }

    /// <summary>Bytes of code in the binary.</summary>
    public required ulong ExecutableBytes { get; init; }

    /// <summary>Taken branches per byte of code. Below 1 the profile is likely too thin.</summary>
    public double TakenBranchesToExecutableBytesRatio => ExecutableBytes == 0 ? 0 : (double)TotalBranches / ExecutableBytes;

    /// <summary>Top-level functions in the profile.</summary>
    public required int Functions { get; init; }

    /// <summary>How the counts are distributed.</summary>
    public required ProfileSummary Summary { get; init; }

    /// <summary>Samples per line of the least dense function among those with 99 % of the samples; LLVM wants at least 50.</summary>
    public required double Density { get; init; }

    /// <summary>
    /// Functions that hold at least one hot count (of the top 99 % of all samples), inlined copies counted with their function.
    /// </summary>
    public required int HotFunctions { get; init; }

    /// <summary>The share of all samples in those functions, from 0 to 1.</summary>
    public required double HotFunctionCoverage { get; init; }

    /// <summary>The compiler of most of the code that was observed, as debug info names it; empty when that is not told.</summary>
    public string Compiler { get; init; } = "";

    /// <summary>
    /// The share of the samples that can be used: in functions with debug info, of the compiler that the profile is for, from 0 to 1.
    /// </summary>
    public required double UsableShare { get; init; }

    /// <summary>How well the branches fit the code.</summary>
    public required FlowChecks Checks { get; init; }

    /// <summary>What was dropped on the way, by reason.</summary>
    public required LossCounts Losses { get; init; }

    /// <summary>How the inputs were understood where that is not plain, a sentence each.</summary>
    public IReadOnlyList<string> Notes { get; init; } = [];

    /// <summary>Reports on a generated profile.</summary>
    /// <param name="branches">What it was generated from.</param>
    /// <param name="binary">The binary.</param>
    /// <param name="profile">The profile.</param>
    /// <param name="checks">What generation found.</param>
    /// <param name="totalProfiles">How many branch profiles were added up.</param>
    /// <param name="inputLosses">What the inputs lost before branches could be attributed to the binary.</param>
    /// <param name="service">The service, when the profile is of one.</param>
    /// <param name="notes">How the inputs were understood where that is not plain.</param>
    /// <param name="compilers">What compiled the code that was observed.</param>
    public static GenerationReport Create(
        BranchProfile branches, ProfiledBinary binary, SampleProfile profile, FlowChecks checks, ulong totalProfiles,
        LossCounts? inputLosses = null,
        string? service = null, IReadOnlyList<string>? notes = null, CompilerShare? compilers = null)
    {
        LossCounts losses = new();
        losses.Merge(branches.Losses);
        losses.Merge(binary.Losses);
        if (inputLosses is not null)
            losses.Merge(inputLosses);
        ProfileSummary summary = ProfileSummary.Compute(profile);
        ProfileQuality quality = ProfileQuality.Of(profile, summary);
        return new GenerationReport
        {
            Service = service,
            BuildId = branches.BuildId,
            Binary = binary.Path,
            TotalProfiles = totalProfiles,
            TotalSamples = branches.Samples,
            AddressSamples = branches.AddressSamples,
            ExactAddressSamples = branches.ExactAddressSamples,
            TotalBranches = branches.Branches.InternalTotal,
            BogusLbrEntries = checks.BogusRange,
            BranchCountMapSize = branches.Branches.Count,
            RangeCountMapSize = branches.Ranges.Count,
            AddressCountMapSize = branches.Addresses.Count,
            ExecutableBytes = binary.ExecutableBytes,
            Functions = profile.Functions.Count,
            Summary = summary,
            Density = quality.Density,
            HotFunctions = quality.HotFunctions.Count,
            HotFunctionCoverage = quality.HotCoverage,
            Compiler = compilers?.Main ?? "",
            UsableShare = checks.UsableShare * (compilers?.UsableBy(binary.Target) ?? 1),
            Checks = checks,
            Losses = losses,
            Notes = [.. notes ?? [], .. AddressNote(branches), .. IdentityNote(binary)],
        };
    }

    private static IEnumerable<string> IdentityNote(ProfiledBinary binary)
    {
        if (!binary.HasOwnBuildId)
            yield return $"{binary.Path} has no build id (its identity here is a hash of its content), so that recordings are told to be of it by its file name alone: link it with -Wl,--build-id";
    }

    private static IEnumerable<string> AddressNote(BranchProfile branches)
    {
        if (branches.AddressSamples == 0)
            yield break;
        string use = branches.Branches.Count != 0 ? ": not used beside branch stacks (perforator record gives these on any x86-64 CPU)"
            : branches.ExactAddressSamples == branches.AddressSamples ? ""
            : "; the others' may lie some instructions late (perf record -e cycles:upp is exact where the CPU can)";
        yield return $"{branches.AddressSamples} samples without branch stacks, {branches.ExactAddressSamples} of them with exact addresses{use}";
    }

    /// <summary>What to do about a weak profile; null when it is good.</summary>
    public string? Advice
    {
        get
        {
            double ratio = TakenBranchesToExecutableBytesRatio;
            if (Functions == 0)
                return "The profile is empty: none of the branches fall into functions with debug info.";
            if (BranchCountMapSize == 0)
                return "Lower quality: made of sampled addresses alone, which do not tell calls or how often code ran that is quick. "
                    + "Record branch stacks: perf record -j any,u where the CPU has them, else perforator record, whose software recorder needs no such CPU.";
            if (UsableShare < 0.5)
                return string.Create(CultureInfo.InvariantCulture,
                    $"Only {100 * UsableShare:0.#} % of the samples could be used: the rest is in code without debug info or of another compiler ({(Compiler.Length > 0 ? $"mostly {Compiler}" : "which the debug info does not name")}).");
            return ratio >= GoodRatio ? null : string.Create(CultureInfo.InvariantCulture,
                $"TakenBranchesToExecutableBytesRatio is below {GoodRatio:0.0}: record {Math.Ceiling(GoodRatio / Math.Max(ratio, 1e-6)):0} times as much (longer, on more hosts, or at a higher rate) before trusting the profile.");
        }
    }

    /// <summary>The report for people, a field a line.</summary>
    public string ToText()
    {
        StringBuilder text = new();
        foreach ((string name, object value) in Fields())
            text.Append(CultureInfo.InvariantCulture, $"{name}: {(value is double number ? number.ToString("0.###", CultureInfo.InvariantCulture) : value)}\n");
        foreach ((ulong samples, ulong of, string what) in Checks.Findings())
            text.Append(CultureInfo.InvariantCulture, $"{Percent(samples, of)} ({samples} of {of}) {what}\n");
        ulong seen = SampleCount.Add(TotalBranches, Losses.Total);
        foreach ((string reason, ulong count) in Losses.LargestFirst())
            text.Append(CultureInfo.InvariantCulture, $"lost: {count} ({Percent(count, seen)}): {reason}\n");
        foreach (string note in Notes)
            text.Append(note).Append('\n');
        if (Advice is { } advice)
            text.Append(advice).Append('\n');
        return text.ToString();
    }

    /// <summary>The report for machines: one JSON object, its names in camelCase.</summary>
    public string ToJson() => ToJsonObject().ToJsonString(new JsonSerializerOptions { WriteIndented = true });

    internal JsonObject ToJsonObject()
    {
        JsonObject json = ReportJson.Of(Fields());
        json["addressSamples"] = AddressSamples;
        json["exactAddressSamples"] = ExactAddressSamples;
        json["summary"] = ReportJson.Of(Summary);
        json["findings"] = new JsonArray(
            [.. Checks.Findings().Select(f => new JsonObject { ["samples"] = f.Samples, ["of"] = f.Of, ["what"] = f.What })]);
        json["losses"] = ReportJson.Of(Losses);
        json["notes"] = new JsonArray([.. Notes.Select(note => JsonValue.Create(note))]);
        json["advice"] = Advice;
        return json;
    }

    private IEnumerable<(string Name, object Value)> Fields()
    {
        if (Service is not null)
            yield return (nameof(Service), Service);
        yield return (nameof(BuildId), BuildId.ToString());
        yield return (nameof(Binary), Binary);
        yield return (nameof(TotalProfiles), TotalProfiles);
        yield return (nameof(TotalSamples), TotalSamples);
        yield return (nameof(TotalBranches), TotalBranches);
        yield return (nameof(BogusLbrEntries), BogusLbrEntries);
        yield return (nameof(BranchCountMapSize), BranchCountMapSize);
        yield return (nameof(RangeCountMapSize), RangeCountMapSize);
        yield return (nameof(AddressCountMapSize), AddressCountMapSize);
        yield return (nameof(ExecutableBytes), ExecutableBytes);
        yield return (nameof(TakenBranchesToExecutableBytesRatio), TakenBranchesToExecutableBytesRatio);
        yield return (nameof(Functions), Functions);
        yield return ("TotalCount", Summary.TotalCount);
        yield return ("MaxCount", Summary.MaxCount);
        yield return ("HotCountThreshold", Summary.HotCountThreshold);
        yield return (nameof(HotFunctions), HotFunctions);
        yield return (nameof(HotFunctionCoverage), HotFunctionCoverage);
        yield return (nameof(Density), Density);
        if (Compiler.Length > 0)
            yield return (nameof(Compiler), Compiler);
        yield return (nameof(UsableShare), UsableShare);
    }

    private static string Percent(ulong part, ulong of) =>
        (of == 0 ? 0 : 100.0 * part / of).ToString("0.00", CultureInfo.InvariantCulture) + " %";
}
