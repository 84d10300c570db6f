using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Routing;
using Perforator.Api;
using Perforator.Server.Auth;
using Perforator.Server.Demand;
using Perforator.Server.Results;
using Perforator.Server.Storage;

namespace Perforator.Server.Http;

/// <summary>Whether profiles are fit to build with: all services at a glance, one over time, and the hosts that send.</summary>
internal static class OverviewEndpoint
{
    private const int DefaultDays = 90, MaxDays = 400, MaxProfiles = 100, AgentDays = 30, MaxServices = 100;

    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet(ApiRoutes.Overview, Overview)
            .WithSummary("All services at a glance: state with its reasons, age, ratio, convergence, hot coverage, trend")
            .Requires(Role.Read);
        routes.MapGet(ApiRoutes.Timeline, Timeline)
            .WithSummary("A service over time: days, builds with their effect, labels, files, losses, generated profiles")
            .Requires(Role.Read);
        routes.MapGet(ApiRoutes.Agents, Agents)
            .WithSummary(
                "The hosts that sent profiles or asked what to record in the last 30 days, with what their agents say of themselves; those seen last first").Requires(Role.Read);
    }

    private static async Task<Ok<FleetOverview>> Overview(HttpContext context, ServiceFigures figures, CancellationToken stop)
    {
        FleetOverview all = await figures.FleetAsync(stop);
        ServiceOverview[] allowed = [.. all.Services.Where(service => context.Caller().Gives(Role.Read, service.Service))];
        return TypedResults.Ok(all with { Services = allowed, Counts = ServiceFigures.Count(allowed) });
    }

    private static async Task<Ok<ServiceTimeline>> Timeline(
        string service, int? days, ServiceFigures figures, ServerStorage storage, TimeProvider time, CancellationToken stop)
    {
        if (days is <= 0 or > MaxDays)
            throw ApiException.BadRequest($"days is 1 to {MaxDays}");
        ServiceOverview overview = await figures.OneAsync(service, stop) ?? throw new UnknownServiceException(service);
        IReadOnlyList<BuildDay> all = await storage.Profiles.ListBuildDaysAsync(service, stop);
        ILookup<BuildId, BinaryFile> files = (await storage.Binaries.FindAsync([.. all.Select(static day => day.BuildId).Distinct()], stop))
            .ToLookup(static file => file.BuildId);
        IReadOnlyList<KeptResult> results = await storage.Results.ListAsync(service, null, MaxProfiles, stop);
        IReadOnlyDictionary<long, ReportFigures> reports = await figures.ReportsAsync([.. results.Select(static kept => kept.Id)], stop);
        return TypedResults.Ok(TimelineOfService.Of(
            overview, all, files, [.. results.Reverse().Where(kept => reports.ContainsKey(kept.Id)).Select(kept => reports[kept.Id])],
            DateOnly.FromDateTime(time.GetUtcNow().UtcDateTime), days ?? DefaultDays));
    }

    private static async Task<Ok<IReadOnlyList<AgentSummary>>> Agents(
        HttpContext context, ServerStorage storage, AgentReports reports, TimeProvider time, CancellationToken stop)
    {
        DateTimeOffset now = time.GetUtcNow();
        Caller caller = context.Caller();
        IReadOnlyList<FleetHost> sent =
            await storage.Fleet.ReadHostsAsync(DateOnly.FromDateTime(now.UtcDateTime).AddDays(1 - AgentDays), stop);
        ILookup<string, FleetHost> hosts =
            sent.Where(host => host.Host.Length > 0 && caller.Gives(Role.Read, host.Service)).ToLookup(static host => host.Host);
        Dictionary<string, (DateTimeOffset Seen, AgentFigures Figures)> agents = (await reports.ListAsync(now.AddDays(-AgentDays), stop))
            .Where(agent => agent.Figures.Services.Count == 0 || agent.Figures.Services.Any(service => caller.Gives(Role.Read, service)))
            .ToDictionary(static agent => agent.Host, static agent => (agent.Seen, agent.Figures), StringComparer.Ordinal);
        return TypedResults.Ok<IReadOnlyList<AgentSummary>>(
        [
            .. hosts.Select(static host => host.Key).Union(agents.Keys).Select(name =>
            {
                FleetHost? last = hosts[name].MaxBy(static one => one.LastSeen);
                (DateTimeOffset seen, AgentFigures? figures) = agents.TryGetValue(name, out (DateTimeOffset, AgentFigures) said)
                    ? said : default;
                seen = last is not null && last.LastSeen > seen ? last.LastSeen : seen;
                IEnumerable<string> services = hosts[name].Select(static one => one.Service)
                    .Union((figures?.Services ?? []).Where(service => caller.Gives(Role.Read, service)));
                return new AgentSummary(
                    name, AgentState.Of(figures?.Report, seen, now), figures?.Report.Source ?? last?.Source, last?.Cpu, seen,
                    hosts[name].Sum(static one => one.Samples), [.. services.Order(StringComparer.Ordinal).Take(MaxServices)],
                    figures?.Report);
            }).OrderByDescending(static agent => agent.LastSeen).ThenBy(static agent => agent.Host, StringComparer.Ordinal),
        ]);
    }
}
