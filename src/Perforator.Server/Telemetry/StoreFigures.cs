using System.Diagnostics.Metrics;
using Perforator.Api;
using Perforator.Server.Demand;
using Perforator.Server.Storage;

namespace Perforator.Server.Telemetry;

/// <summary>What metrics tell of the store. It is asked before a scrape, as gauges cannot wait for a database.</summary>
internal sealed class StoreFigures : IDisposable
{
    /// <summary>How many services have a series of their own, those that were seen last.</summary>
    public const int MaxServices = 1000;

    private const int MaxVersions = 20;

    private static readonly TimeSpan MaxAge = TimeSpan.FromSeconds(2), Patience = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan Fresh = TimeSpan.FromHours(1), Recent = TimeSpan.FromDays(2);

    private readonly ServerStorage storage;
    private readonly AgentReports reports;
    private readonly ServerSettings settings;
    private readonly TimeProvider time;
    private readonly SemaphoreSlim asking = new(1);
    private DateTimeOffset asked;

    public StoreFigures(ServerStorage storage, AgentReports reports, ServerSettings settings, TimeProvider time)
    {
        this.storage = storage;
        this.reports = reports;
        this.settings = settings;
        this.time = time;
    }

    public IReadOnlyList<Measurement<double>> Tasks { get; private set; } = [];

    public IReadOnlyList<Measurement<double>> Services { get; private set; } = [];

    public IReadOnlyList<Measurement<double>> LastSeen { get; private set; } = [];

    public IReadOnlyList<Measurement<double>> Agents { get; private set; } = [];

    public IReadOnlyList<Measurement<double>> AgentVersions { get; private set; } = [];

    public IReadOnlyList<Measurement<double>> DiskFree { get; private set; } = [];

    /// <summary>
    /// Asks the store, unless that was just done. When it does not answer there are no figures of it, but still all others.
    /// </summary>
    public async Task RefreshAsync(CancellationToken stop)
    {
        await asking.WaitAsync(stop);
        try
        {
            DateTimeOffset now = time.GetUtcNow();
            if (now - asked < MaxAge && now >= asked)
                return;
            asked = now;
            (Tasks, Services, LastSeen, Agents, AgentVersions, DiskFree) = ([], [], [], [], [], []);
            using CancellationTokenSource patience = CancellationTokenSource.CreateLinkedTokenSource(stop);
            patience.CancelAfter(Patience);
            DiskFree = [new(new DriveInfo(Path.GetFullPath(settings.DataFolder)).AvailableFreeSpace)];
            (long waiting, long running) = await storage.Tasks.CountAsync(patience.Token).WaitAsync(patience.Token);
            Tasks = [Of(waiting, "state", "queued"), Of(running, "state", "running")];
            IReadOnlyList<ServiceTotals> services = await storage.Profiles.ListServicesAsync(patience.Token).WaitAsync(patience.Token);
            long fresh = services.Count(
                service => now - service.LastSeen <= Fresh), recent = services.Count(service => now - service.LastSeen <= Recent) - fresh;
            Services = [Of(fresh, "state", "fresh"), Of(recent, "state", "recent"), Of(services.Count - fresh - recent, "state", "silent")];
            LastSeen = [.. services.OrderByDescending(static service => service.LastSeen).Take(MaxServices)
                .Select(static service => Of(service.LastSeen.ToUnixTimeMilliseconds() / 1e3, "service", service.Service))];
            // A host that is taken away is silent for a day.
            List<(string Version, string State)> agents = [.. (await reports.ListAsync(now - TimeSpan.FromDays(1), patience.Token)
                .WaitAsync(patience.Token))
                .Select(agent => (agent.Figures.Report.Version, AgentState.Of(agent.Figures.Report, agent.Seen, now)))];
            Agents = [.. AgentState.All.Select(state => Of(agents.Count(agent => agent.State == state), "state", state.Replace(' ', '_')))];
            AgentVersions = [.. agents.Where(static agent => agent.State != AgentState.Silent).GroupBy(static agent => agent.Version)
                .OrderByDescending(static version => version.Count()).Take(MaxVersions)
                .Select(static version => Of(version.Count(), "version", version.Key))];
        }
        catch (Exception e) when (e is IOException or OperationCanceledException && !stop.IsCancellationRequested)
        {
        }
        finally
        {
            asking.Release();
        }
    }

    private static Measurement<double> Of(double value, string label, string of) =>
        new(value, new KeyValuePair<string, object?>(label, of));

    public void Dispose() => asking.Dispose();
}
