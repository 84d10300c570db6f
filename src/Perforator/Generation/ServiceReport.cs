using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Perforator.Branches;
using Perforator.SampleProfiles;

namespace Perforator.Generation;

/// <summary>A file of a service: the builds that differ only in their release.</summary>
/// <param name="Name">The path's last part, without versions.</param>
/// <param name="Builds">Its builds, the newest first.</param>
public sealed record FileReport(string Name, IReadOnlyList<BuildReport> Builds)
{
    /// <summary>The share of the service's branches in it, from 0 to 1.</summary>
    public double ShareOfBranches => Builds.Sum(static build => build.ShareOfBranches);

    /// <summary>The share of the profile's samples that it gives, from 0 to 1.</summary>
    public double ShareOfProfile => Builds.Sum(static build => build.ShareOfProfile);

    /// <summary>Whether anything of it is in the profile.</summary>
    public bool IsUsed => Builds.Any(static build => build.Problem is null);
}

/// <summary>
/// What a person or a build needs to know of a service's profile: what went in, from where, whether it is enough, whether it is lopsided,
/// what is missing, and what was lost.
/// </summary>
public sealed class ServiceReport
{
    /// <summary>A host, hour or CPU model with more than this share of the branches carries the profile alone.</summary>
    public const double LopsidedShare = 0.8;

    private ServiceReport(
        string service, IReadOnlyList<FileReport> files, ProfileSummary summary, ProfileQuality quality, LossCounts losses,
        Provenance provenance)
    {
        (Service, Files, Summary, Losses, Provenance) = (service, files, summary, losses, provenance);
        (Density, HotFunctions, HotFunctionCoverage, Functions) = (quality.Density, quality.HotFunctions.Count, quality.HotCoverage, quality.Functions);
    }

    /// <summary>The service's name.</summary>
    public string Service { get; }

    /// <summary>Its files, the one with most branches first.</summary>
    public IReadOnlyList<FileReport> Files { get; }

    /// <summary>All builds.</summary>
    public IEnumerable<BuildReport> Builds => Files.SelectMany(static file => file.Builds);

    private IEnumerable<BuildReport> Used => Builds.Where(static build => build is { Problem: null, Generation: not null });

    /// <summary>Branch profiles that were added up: those that hold the file that is in most of them, in all its builds.</summary>
    public ulong TotalProfiles => Files.Select(static file => Sum(file.Builds, static build => build.TotalProfiles)).DefaultIfEmpty().Max();

    /// <summary>Samples that touched files in the profile, each file's for itself.</summary>
    public ulong TotalSamples => Sum(Used, static build => build.TotalSamples);

    /// <summary>Taken branches in the files that are in the profile, not faded.</summary>
    public ulong TotalBranches => Sum(Used, static build => build.TotalBranches);

    /// <summary>Branch entries that make no sense.</summary>
    public ulong BogusLbrEntries => Sum(Used, static build => build.Generation!.BogusLbrEntries);

    /// <summary>Distinct branches.</summary>
    public int BranchCountMapSize => Used.Sum(static build => build.Generation!.BranchCountMapSize);

    /// <summary>Distinct fall-through ranges.</summary>
    public int RangeCountMapSize => Used.Sum(static build => build.Generation!.RangeCountMapSize);

    /// <summary>Distinct sampled addresses.</summary>
    public int AddressCountMapSize => Used.Sum(static build => build.Generation!.AddressCountMapSize);

    /// <summary>Bytes of code of the files in the profile, of each the newest build's.</summary>
    public ulong ExecutableBytes =>
        Sum(Files.Select(static file => file.Builds.FirstOrDefault(static build => build is { Problem: null, Generation: not null }))
            .OfType<BuildReport>(), static build => build.Generation!.ExecutableBytes);

    /// <summary>Taken branches for each byte of code. Below 1 the profile is likely too thin.</summary>
    public double TakenBranchesToExecutableBytesRatio => ExecutableBytes == 0 ? 0 : (double)TotalBranches / ExecutableBytes;

    /// <summary>Top-level functions in the profile.</summary>
    public int Functions { get; }

    /// <summary>How the counts are distributed.</summary>
    public ProfileSummary Summary { get; }

    /// <summary>Functions that hold at least one hot count.</summary>
    public int HotFunctions { get; }

    /// <summary>The share of all samples in those functions, from 0 to 1.</summary>
    public double HotFunctionCoverage { get; }

    /// <summary>Samples per line of the least dense function among those with 99 % of the samples; LLVM wants at least 50.</summary>
    public double Density { get; }

    /// <summary>
    /// The share of all observed branches that the profile rests on, from 0 to 1: those in files that are in it, less what fell into code
    /// without functions or debug info there.
    /// </summary>
    public double UsableShare { get; private init; }

    /// <summary>The overlap of two halves of the data (<see cref="Generation.Convergence"/>); null when they cannot be split.</summary>
    public double? Convergence { get; private init; }

    /// <summary>Hosts, CPU models, sources and times.</summary>
    public Provenance Provenance { get; }

    /// <summary>After so many days a count weighs half; null where counts do not fade.</summary>
    public double? HalfLifeDays { get; private init; }

    /// <summary>The newest day of the data, at which counts weigh 1.</summary>
    public DateOnly NewestDay { get; private init; }

    /// <summary>What was dropped, by reason: of the service, and of each build that was used.</summary>
    public LossCounts Losses { get; }

    /// <summary>What the compiler that the profile is for makes of it, a sentence each.</summary>
    public IReadOnlyList<string> Notes { get; private init; } = [];

    /// <summary>In what the data are lopsided, a sentence each.</summary>
    public IReadOnlyList<string> Bias { get; private init; } = [];

    internal static ServiceReport Create(
        string service, List<BuildReport> builds, SampleProfile profile, double? convergence, LossCounts losses,
        ServiceProfileOptions options, DateOnly newest,
        IReadOnlyCollection<Observation> observations)
    {
        double branches = builds.Sum(
            static build => (double)build.TotalBranches), samples = builds.Sum(static build => build.SamplesInProfile);
        double usable = 0;
        LossCounts all = new();
        all.Merge(losses);
        foreach (BuildReport build in builds)
        {
            build.ShareOfBranches = branches == 0 ? 0 : build.TotalBranches / branches;
            build.ShareOfProfile = samples == 0 ? 0 : build.SamplesInProfile / samples;
            if (build is not { Problem: null, Generation: { } generation })
                continue;
            usable += build.ShareOfBranches * generation.UsableShare;
            all.Merge(generation.Losses);
        }
        ProfileSummary summary = ProfileSummary.Compute(profile);
        FileReport[] files =
        [
            .. builds.GroupBy(static build => build.File, StringComparer.Ordinal).Select(static file => new FileReport(file.Key, [.. file]))
                .OrderByDescending(static file => file.ShareOfBranches).ThenBy(static file => file.Name, StringComparer.Ordinal),
        ];
        Provenance provenance = Provenance.Of(observations);
        return new ServiceReport(service, files, summary, ProfileQuality.Of(profile, summary), all, provenance)
        {
            UsableShare = usable,
            Convergence = convergence,
            HalfLifeDays = options.HalfLifeDays,
            NewestDay = newest,
            Bias = [.. FindBias(provenance)],
            Notes = [.. ConsumerNotes.Of(options.Form, profile)],
        };
    }

    private static IEnumerable<string> FindBias(Provenance provenance)
    {
        if (provenance.Hosts is [var host, ..] && host.Share > LopsidedShare)
            yield return provenance.Hosts.Count == 1
                ? $"all branches are of one host, {host.Name}"
                : $"{Percent(host.Share)} of the branches are of one of {provenance.Hosts.Count} hosts, {host.Name}";
        if (provenance.Hosts.Count > 1 && provenance.Cpus is [var cpu, _, ..] && cpu.Share > LopsidedShare)
            yield return $"{Percent(cpu.Share)} of the branches are of one of {provenance.Cpus.Count} CPU models, {cpu.Name}";
        if (provenance.LastSeen - provenance.FirstSeen < TimeSpan.FromHours(1))
            yield return "all branches are of one hour, which need not be like the others";
    }

    /// <summary>What to do about a weak profile; null when it is good.</summary>
    public string? Advice =>
        BranchCountMapSize == 0
            ? "Lower quality: made of sampled addresses alone, which do not tell calls or how often code ran that is quick. "
                + "Record branch stacks: perf record -j any,u where the CPU has them, else perforator record, whose software recorder needs no such CPU."
            : TakenBranchesToExecutableBytesRatio < GenerationReport.GoodRatio ? string.Create(CultureInfo.InvariantCulture,
                $"TakenBranchesToExecutableBytesRatio is below {GenerationReport.GoodRatio:0.0}: record {Math.Ceiling(GenerationReport.GoodRatio / Math.Max(TakenBranchesToExecutableBytesRatio, 1e-6)):0} times as much (longer, on more hosts, or at a higher rate) before trusting the profile.")
            : UsableShare < 0.5
                ? $"Only {Percent(UsableShare)} of the branches could be used: the files named below need debug info, or their binaries."
            : null;

    /// <summary>The report on one line, for build logs.</summary>
    public string ToLine()
    {
        string convergence = Convergence is { } overlap ? $", convergence {Number(overlap)}" : "";
        string missing =
            string.Join(", ", Files.Where(static file => !file.IsUsed && file.ShareOfBranches >= 0.01)
                .Select(static file => $"{file.Name} {Percent(file.ShareOfBranches)}"));
        return $"{Service}: {Count(Files.Count(static file => file.IsUsed), "file")} in {Count(Used.Count(), "build")}, {Functions} functions, ratio {Number(TakenBranchesToExecutableBytesRatio)}, "
            + $"coverage {Number(HotFunctionCoverage)}{convergence}, {Count(Provenance.Hosts.Count, "host")}, until {Provenance.LastSeen.UtcDateTime:yyyy-MM-dd HH:mm} UTC"
            + (missing.Length > 0 ? $"; not in it: {missing}" : "");
    }

    /// <summary>The report for people: a field a line, then a line for each file and build.</summary>
    public string ToText() => ServiceReportText.Of(this);

    /// <summary>The report for machines: one JSON object, its names in camelCase.</summary>
    public string ToJson() => ToJsonObject().ToJsonString(new JsonSerializerOptions { WriteIndented = true });

    internal JsonObject ToJsonObject()
    {
        JsonObject json = ReportJson.Of(Fields());
        json["convergence"] = Convergence;
        json["halfLifeDays"] = HalfLifeDays;
        json["newestDay"] = NewestDay.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture);
        json["bias"] = ReportJson.Of(Bias);
        json["notes"] = ReportJson.Of(Notes);
        json["advice"] = Advice;
        json["summary"] = ReportJson.Of(Summary);
        json["losses"] = ReportJson.Of(Losses);
        Provenance.AddTo(json);
        json["files"] = new JsonArray([.. Files.Select(static file => new JsonObject
        {
            ["name"] = file.Name,
            ["shareOfBranches"] = file.ShareOfBranches,
            ["shareOfProfile"] = file.ShareOfProfile,
            ["isUsed"] = file.IsUsed,
            ["builds"] = new JsonArray([.. file.Builds.Select(static build => build.ToJson())]),
        })]);
        return json;
    }

    internal IEnumerable<(string Name, object Value)> Fields()
    {
        yield return (nameof(Service), Service);
        yield return (nameof(TotalProfiles), TotalProfiles);
        yield return (nameof(TotalSamples), TotalSamples);
        yield return (nameof(TotalBranches), TotalBranches);
        yield return (nameof(BogusLbrEntries), BogusLbrEntries);
        yield return (nameof(BranchCountMapSize), BranchCountMapSize);
        yield return (nameof(RangeCountMapSize), RangeCountMapSize);
        yield return (nameof(AddressCountMapSize), AddressCountMapSize);
        yield return (nameof(ExecutableBytes), ExecutableBytes);
        yield return (nameof(TakenBranchesToExecutableBytesRatio), TakenBranchesToExecutableBytesRatio);
        yield return (nameof(UsableShare), UsableShare);
        yield return (nameof(Functions), Functions);
        yield return ("TotalCount", Summary.TotalCount);
        yield return ("MaxCount", Summary.MaxCount);
        yield return ("HotCountThreshold", Summary.HotCountThreshold);
        yield return (nameof(HotFunctions), HotFunctions);
        yield return (nameof(HotFunctionCoverage), HotFunctionCoverage);
        yield return (nameof(Density), Density);
    }

    internal static string Percent(double share) => (100 * share).ToString("0.##", CultureInfo.InvariantCulture) + " %";

    internal static string Number(double value) => value.ToString("0.###", CultureInfo.InvariantCulture);

    internal static string Count(int number, string what) => $"{number} {what}{(number == 1 ? "" : "s")}";

    private static ulong Sum(IEnumerable<BuildReport> builds, Func<BuildReport, ulong> value) =>
        builds.Aggregate(0UL, (sum, build) => PairCounts.Saturating(sum, value(build)));
}
