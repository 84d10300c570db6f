using System.Diagnostics.Metrics;
using Perforator.Server.Demand;
using Perforator.Server.Http;
using Perforator.Server.Results;

namespace Perforator.Server.Telemetry;

/// <summary>What metrics tell of a server as it is, by asking it.</summary>
internal sealed class ServerGauges : IDisposable
{
    private readonly Meter meter = new(ServerMetrics.Name);

    public ServerGauges(InFlightBytes inFlight, StoreFigures figures, Planner planner)
    {
        Gauge("perforator.compaction.last_success.timestamp", "s", "When adding up last went through, since 1970.", () =>
            UnlessNever(ServerMetrics.LastSuccess.Compaction));
        Gauge("perforator.collection.last_success.timestamp", "s", "When collection last went through, since 1970.", () =>
            UnlessNever(ServerMetrics.LastSuccess.Collection));
        Gauge("perforator.uploads.inflight", "By", "Memory granted to profiles under way.", () => [new(inFlight.Now.Bytes)]);
        Gauge("perforator.uploads.waiting", null, "Profiles that wait for memory.", () => [new(inFlight.Now.Waiting)]);
        Gauge("perforator.tasks", null, "Generation tasks, by state: queued or running. The same from every server of a fleet.", () =>
            figures.Tasks);
        Gauge("perforator.services", null, "Services, by when their latest profile ended: fresh (in the last hour), recent (two days), silent.", () => figures.Services);
        Gauge("perforator.service.last_seen.timestamp", "s", "When a service's latest profile ended, since 1970; of the services seen last.", () => figures.LastSeen);
        Gauge("perforator.service.hosts", null, "Hosts that run a service's main build, of the services on most hosts.",
            () => planner.Largest(StoreFigures.MaxServices).Select(static service => Of(service.Service, service.Hosts)));
        Gauge("perforator.service.ratio", null, "TakenBranchesToExecutableBytesRatio of what is known of a service's main build.",
            () => planner.Largest(StoreFigures.MaxServices).Where(static service => service.Ratio is not null)
                .Select(static service => Of(service.Service, service.Ratio!.Value)));
        Gauge("perforator.agents", null, "Agents heard of in the last day, by how they do: ok, dropping, over_budget or (for ten minutes) silent. The same from every server of a fleet.", () => figures.Agents);
        Gauge("perforator.agents.version", null, "Agents that are not silent, by version; of the versions that most have.", () =>
            figures.AgentVersions);
        Gauge("perforator.disk.free", "By", "Bytes free on the disk of the data folder.", () => figures.DiskFree);
        Gauge("perforator.build.info", null, "1; the label has the version.", static () =>
            [new(1, new KeyValuePair<string, object?>("version", PgoResults.Tool))]);
    }

    private void Gauge(string name, string? unit, string description, Func<IEnumerable<Measurement<double>>> observe) =>
        meter.CreateObservableGauge(name, observe, unit, description);

    private static Measurement<double> Of(string service, double value) =>
        new(value, new KeyValuePair<string, object?>("service", service));

    private static Measurement<double>[] UnlessNever(double time) => time > 0 ? [new(time)] : [];

    public void Dispose() => meter.Dispose();
}
