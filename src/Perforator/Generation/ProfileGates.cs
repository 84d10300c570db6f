using System.Text.Json.Nodes;
using static Perforator.Generation.ServiceReport;

namespace Perforator.Generation;

/// <summary>What a profile must be like to be used; what is null is not asked for.</summary>
/// <param name="MinRatio">Of <see cref="ServiceReport.TakenBranchesToExecutableBytesRatio"/>.</param>
/// <param name="MinCoverage">Of the share of branches that can be used and of the hot functions' share of the samples, from 0 to 1.</param>
/// <param name="MinOverlap">Of <see cref="ServiceReport.Convergence"/>, from 0 to 1.</param>
/// <param name="MaxAge">Since the newest data.</param>
/// <param name="MinHosts">Hosts with at least one branch.</param>
public sealed record ProfileGates(
    double? MinRatio = null, double? MinCoverage = null, double? MinOverlap = null, TimeSpan? MaxAge = null, int? MinHosts = null)
{
    /// <summary>What is not met, a sentence each, which ends with what to do.</summary>
    /// <param name="report">The profile's report.</param>
    /// <param name="now">The time that its age is told by.</param>
    public IEnumerable<string> Failures(ServiceReport report, DateTimeOffset now) => Failures(
        report.TakenBranchesToExecutableBytesRatio, report.UsableShare, report.HotFunctionCoverage, report.Convergence,
        report.Provenance.Hosts.Count,
        report.Provenance.LastSeen, now);

    /// <summary>
    /// As above, of a report as JSON, which another version may have written: without a figure, only gates for it are not met.
    /// </summary>
    public IEnumerable<string> Failures(JsonObject report, DateTimeOffset now)
    {
        double? Number(string name) => report[name] is JsonValue value && value.TryGetValue(out double number) ? number : null;
        return Failures(
            Number("takenBranchesToExecutableBytesRatio") ?? 0,
            Number("usableShare") ?? 1,
            Number("hotFunctionCoverage") ?? 0,
            Number("convergence"),
            (report["hosts"] as JsonArray)?.Count ?? 0,
            report["lastSeen"] is JsonValue seen && seen.TryGetValue(out DateTimeOffset time) ? time : now,
            now);
    }

    /// <summary>The gates that were given, as options of <c>perforator pgo</c>; empty for none.</summary>
    public override string ToString() => string.Join(' ', new[]
    {
        MinRatio is { } ratio ? $"--min-ratio {Number(ratio)}" : null,
        MinCoverage is { } coverage ? $"--min-coverage {Number(coverage)}" : null,
        MinOverlap is { } overlap ? $"--min-overlap {Number(overlap)}" : null,
        MaxAge is { } age ? FormattableString.Invariant($"--max-age {Math.Round(age.TotalHours, 2)}h") : null,
        MinHosts is { } hosts ? FormattableString.Invariant($"--min-hosts {hosts}") : null,
    }.OfType<string>());

    private IEnumerable<string> Failures(
        double ratio, double usableShare, double hotCoverage, double? convergence, int hosts, DateTimeOffset lastSeen, DateTimeOffset now)
    {
        if (ratio < MinRatio)
            yield return $"the ratio {Number(ratio)} is below --min-ratio {Number(MinRatio.Value)}; record more, or lower the gate";
        if (usableShare < MinCoverage)
            yield return $"only {Percent(usableShare)} of the branches can be used, below --min-coverage {Percent(MinCoverage.Value)}; the report says which files lack debug info";
        if (hotCoverage < MinCoverage)
            yield return $"hot functions hold {Percent(hotCoverage)} of the samples, below --min-coverage {Percent(MinCoverage.Value)}; record more, or lower the gate";
        if (MinOverlap is { } overlap && (convergence ?? 0) < overlap)
            yield return convergence is { } known
                ? $"two halves of the data overlap by {Number(known)}, below --min-overlap {Number(overlap)}; record more, on more hosts"
                : $"the data cannot be split to be compared with themselves, so --min-overlap {Number(overlap)} is not met; record for longer, or on more hosts";
        if (MaxAge is { } age && now - lastSeen > age)
            yield return $"the newest data are {Age(now - lastSeen)} old, more than --max-age {Age(age)}; see that agents still send (perforator services)";
        if (hosts < MinHosts)
            yield return $"the data are of {Count(hosts, "host")}, fewer than --min-hosts {MinHosts}; record on more hosts";
    }

    private static string Age(TimeSpan age) =>
        age.TotalDays >= 2
            ? $"{Number(Math.Round(age.TotalDays, 1))} days"
            : age.TotalHours >= 2 ? $"{Number(Math.Round(age.TotalHours, 1))} hours" : $"{Number(Math.Round(age.TotalMinutes, 1))} minutes";
}
