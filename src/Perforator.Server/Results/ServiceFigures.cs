using System.Collections.Concurrent;
using System.Globalization;
using System.Text.Json;
using Perforator.Api;
using Perforator.Generation;
using Perforator.Server.Storage;

namespace Perforator.Server.Results;

/// <summary>
/// Tells of services whether their profiles are fit to build with, from what the index knows and the reports of profiles that were
/// generated; nothing is generated for it.
/// </summary>
internal sealed class ServiceFigures : IDisposable
{
    /// <summary>A service of which nothing arrived for so long is not being profiled.</summary>
    private static readonly TimeSpan Silence = TimeSpan.FromDays(2);

    /// <summary>For so long figures of all services are given again.</summary>
    private static readonly TimeSpan Fresh = TimeSpan.FromSeconds(5);

    /// <summary>How many reports are remembered; they never change.</summary>
    private const int MaxReports = 20_000;

    public const int WindowDays = (int)PgoRequest.DefaultWindowDays;
    private const int TrendDays = 30;

    private readonly ServerStorage storage;
    private readonly TimeProvider time;
    private readonly ConcurrentDictionary<long, ReportFigures> reports = [];
    private readonly SemaphoreSlim reading = new(1);
    private FleetOverview? last;

    public ServiceFigures(ServerStorage storage, TimeProvider time)
    {
        this.storage = storage;
        this.time = time;
    }

    /// <summary>All services.</summary>
    public async Task<FleetOverview> FleetAsync(CancellationToken stop)
    {
        await reading.WaitAsync(stop);
        try
        {
            if (last is null || time.GetUtcNow() - last.Made > Fresh)
                last = await ReadAsync(null, stop);
            return last;
        }
        finally
        {
            reading.Release();
        }
    }

    /// <summary>One service; null when it is unknown.</summary>
    public async Task<ServiceOverview?> OneAsync(string service, CancellationToken stop) =>
        (await ReadAsync(service, stop)).Services is [var one] ? one : null;

    /// <summary>How often each state occurs, states that do not included.</summary>
    public static IReadOnlyDictionary<string, int> Count(IEnumerable<ServiceOverview> services)
    {
        Dictionary<string, int> counts = ServiceState.All.ToDictionary(static state => state, static _ => 0);
        foreach (ServiceOverview service in services)
            counts[service.State]++;
        return counts;
    }

    /// <summary>The figures of generated profiles, by their id.</summary>
    public async Task<IReadOnlyDictionary<long, ReportFigures>> ReportsAsync(IReadOnlyCollection<long> ids, CancellationToken stop)
    {
        if (reports.Count > MaxReports)
            reports.Clear();
        Dictionary<long, ReportFigures> found = [];
        List<long> missing = [];
        foreach (long id in ids)
            if (reports.TryGetValue(id, out ReportFigures? figures))
                found.Add(id, figures);
            else
                missing.Add(id);
        foreach ((long id, string profile, DateTimeOffset made, string report) in await storage.Fleet.ReadReportsAsync(missing, stop))
            reports[id] = found[id] = ReportFigures.Of(profile, made, report);
        return found;
    }

    private async Task<FleetOverview> ReadAsync(string? service, CancellationToken stop)
    {
        DateTimeOffset now = time.GetUtcNow();
        DateOnly today = DateOnly.FromDateTime(now.UtcDateTime);
        FleetFigures figures = await storage.Fleet.ReadFleetAsync(service, WindowDays, today.AddDays(1 - TrendDays), stop);
        Dictionary<string, long> latest =
            (await storage.Fleet.LatestResultsAsync(service, stop)).ToDictionary(static row => row.Service, static row => row.Id);
        IReadOnlyDictionary<long, ReportFigures> made = await ReportsAsync(latest.Values, stop);
        ILookup<string, FleetBuild> builds = figures.Builds.ToLookup(static build => build.Service);
        ILookup<string, FleetDay> days = figures.Days.ToLookup(static day => day.Service);
        Dictionary<string, FleetSpread> hosts = figures.Hosts.ToDictionary(static spread =>
            spread.Service), cpus = figures.Cpus.ToDictionary(static spread => spread.Service);
        List<ServiceOverview> services = [];
        foreach (ServiceTotals totals in figures.Services)
        {
            double[] trend = new double[TrendDays];
            foreach (FleetDay day in days[totals.Service])
                if (today.DayNumber - day.Day.DayNumber is >= 0 and < TrendDays and var ago)
                    trend[TrendDays - 1 - ago] = day.Branches;
            ReportFigures? report = latest.TryGetValue(totals.Service, out long id) ? made.GetValueOrDefault(id) : null;
            services.Add(
                Judge(totals, [.. builds[totals.Service]], hosts.GetValueOrDefault(totals.Service), cpus.GetValueOrDefault(totals.Service), report, trend, now));
        }
        return new FleetOverview(now, today, Count(services), services);
    }

    /// <summary>
    /// The ratio and the share of branches that can be used: of files with debug info, each by the code of its build seen last.
    /// </summary>
    public static (double? Ratio, double Usable) RatioOf(IReadOnlyCollection<FleetBuild> builds)
    {
        double all = builds.Sum(static build => build.Branches), usable = 0, bytes = 0;
        foreach (IGrouping<string, FleetBuild> file in builds.Where(static build => build.HasDebugInfo)
            .GroupBy(static build => ServiceFile.NameOf(build.Path)))
        {
            usable += file.Sum(static build => build.Branches);
            bytes += file.MaxBy(static build => build.LastSeen)!.CodeBytes;
        }
        return (bytes == 0 ? null : usable / bytes, all == 0 ? 0 : usable / all);
    }

    private static ServiceOverview Judge(
        ServiceTotals totals, FleetBuild[] builds, FleetSpread? hosts, FleetSpread? cpus, ReportFigures? report, double[] trend,
        DateTimeOffset now)
    {
        (double? ratio, double usable) = RatioOf(builds);
        TimeSpan age = now - totals.LastSeen;
        List<(string State, string Reason)> found = [];
        if (ratio is null)
            found.Add((ServiceState.None, builds.Any(static build => build.HasBinary)
                ? "No binary has debug info, so no profile can be made: build with -g -fdebug-info-for-profiling, or give debug files by 'perforator binaries put'."
                : "The server lacks the binaries, so no profile can be made: let the agent upload them, or give them by 'perforator binaries put'."));
        if (age > Silence)
            found.Add((ServiceState.Stale, Text(
                $"Nothing has arrived for {age.TotalDays:0} days: see that its agents run and reach this server.")));
        if (ratio < GenerationReport.GoodRatio)
            found.Add((ServiceState.Thin, Text(
                $"The ratio is {ratio:0.###} of {GenerationReport.GoodRatio:0.0}: record {Math.Ceiling(GenerationReport.GoodRatio / Math.Max(ratio.Value, 1e-6)):0} times as much, for longer or on more hosts.")));
        if (ratio is not null && usable < 0.5)
            found.Add((ServiceState.Thin, Text(
                $"Only {usable:0.0%} of the branches can be used: the other files lack a binary or debug info.")));
        if (report?.Convergence < Convergence.Enough)
            found.Add((ServiceState.Thin, Text(
                $"Two halves of the data overlap by {report.Convergence:0.00} of {Convergence.Enough:0.00}: record more, on more hosts.")));
        if (hosts is { Largest: > ServiceReport.LopsidedShare })
            found.Add((ServiceState.Biased, hosts.Values == 1
                ? "All branches are of one host: record on others too."
                : Text($"{hosts.Largest:0.0%} of the branches are of one of {hosts.Values} hosts: see why the others send less.")));
        if (hosts?.Values > 1 && cpus is { Values: > 1, Largest: > ServiceReport.LopsidedShare })
            found.Add((ServiceState.Biased, Text($"{cpus.Largest:0.0%} of the branches are of one of {cpus.Values} CPU models.")));
        string state = found.Count == 0 ? ServiceState.Good : found[0].State;
        return new ServiceOverview(
            totals.Service, state,
            found.Count == 0 ? ["Fresh, sufficient, and of several hosts."] : [.. found.Select(static one => one.Reason)], totals.LastSeen,
            ratio, GenerationReport.GoodRatio, usable, builds.Length, hosts?.Values ?? 0, totals.Uploads, trend)
        {
            Convergence = report?.Convergence,
            ConvergenceThreshold = Convergence.Enough,
            HotCoverage = report?.HotCoverage,
            Profile = report?.Profile,
            ProfileGenerated = report?.Generated,
        };
    }

    public void Dispose() => reading.Dispose();

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}

/// <summary>What the page needs of a generated profile's report.</summary>
internal sealed record ReportFigures(
    string Profile, DateTimeOffset Generated, DateTimeOffset DataUntil, double Ratio, double? Convergence, double HotCoverage,
    double UsableShare, int Hosts,
    IReadOnlyDictionary<string, BuildEffect> Effects, IReadOnlyList<LossShare> Losses)
{
    /// <summary>Reads a report's JSON, of this version or an earlier one: what it does not have is 0 or null.</summary>
    public static ReportFigures Of(string profile, DateTimeOffset generated, string json)
    {
        using JsonDocument document = JsonDocument.Parse(json);
        JsonElement report = document.RootElement;
        Dictionary<string, BuildEffect> effects = [];
        foreach (JsonElement build in Array(report, "files").SelectMany(static file => Array(file, "builds")))
            if (build.TryGetProperty("effect", out JsonElement effect) && effect.ValueKind == JsonValueKind.Object
                && build.TryGetProperty("buildId", out JsonElement id) && id.GetString() is { } buildId)
                effects[buildId] = new BuildEffect(
                    Number(effect, "instructionsPerTakenBranch") ?? 0, Number(effect, "bytesOf90Percent") ?? 0,
                    Number(effect, "bytesOf99Percent") ?? 0,
                    Number(effect, "callsPer1000Instructions") ?? 0, Number(effect, "mispredictedShare"));
        LossShare[] losses = report.TryGetProperty("losses", out JsonElement lost) && lost.ValueKind == JsonValueKind.Object
            ? [.. lost.EnumerateObject().Where(static loss => loss.Value.ValueKind == JsonValueKind.Number)
                .Select(static loss => new LossShare(loss.Name, loss.Value.TryGetUInt64(out ulong n) ? n : 0))
                .OrderByDescending(static loss => loss.Count).ThenBy(static loss => loss.Reason, StringComparer.Ordinal)]
            : [];
        return new ReportFigures(
            profile, generated,
            report.TryGetProperty("lastSeen", out JsonElement seen) && seen.TryGetDateTimeOffset(out DateTimeOffset until)
                ? until : generated,
            Number(report, "takenBranchesToExecutableBytesRatio") ?? 0, Number(report, "convergence"),
            Number(report, "hotFunctionCoverage") ?? 0,
            Number(report, "usableShare") ?? 0, Array(report, "hosts").Count(), effects, losses);
    }

    private static double? Number(JsonElement of, string name) =>
        of.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.Number ? value.GetDouble() : null;

    private static IEnumerable<JsonElement> Array(JsonElement of, string name) =>
        of.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.Array
            ? value.EnumerateArray() : Enumerable.Empty<JsonElement>();
}
