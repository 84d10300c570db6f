using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Routing;
using Perforator.Api;
using Perforator.Server.Auth;
using Perforator.Server.Results;
using Perforator.Server.Storage;

namespace Perforator.Server.Http;

/// <summary>Whether profiles are fit to build with: all services at a glance, one over time, and the hosts that send.</summary>
internal static class OverviewEndpoint
{
    private const int DefaultDays = 90, MaxDays = 400, MaxProfiles = 100, AgentDays = 30, MaxServices = 100;

    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet(ApiRoutes.Overview, Overview).WithSummary("All services at a glance: state with its reasons, age, ratio, convergence, hot coverage, trend").Requires(Role.Read);
        routes.MapGet(ApiRoutes.Timeline, Timeline)
            .ProducesProblem(StatusCodes.Status400BadRequest).ProducesProblem(StatusCodes.Status404NotFound)
            .WithSummary("A service over time: days, builds with their effect, labels, files, losses, generated profiles").Requires(Role.Read);
        routes.MapGet(ApiRoutes.Agents, Agents).WithSummary("The hosts that sent profiles in the last 30 days, those seen last first").Requires(Role.Read);
    }

    private static async Task<Ok<FleetOverview>> Overview(HttpContext context, ServiceFigures figures, CancellationToken stop)
    {
        FleetOverview all = await figures.FleetAsync(stop);
        ServiceOverview[] allowed = [.. all.Services.Where(service => context.Caller().Gives(Role.Read, service.Service))];
        return TypedResults.Ok(all with { Services = allowed, Counts = ServiceFigures.Count(allowed) });
    }

    private static async Task<Ok<ServiceTimeline>> Timeline(
        string service, int? days, ServiceFigures figures, ServerStorage storage, ProfileReader reader, TimeProvider time, CancellationToken stop)
    {
        if (days is <= 0 or > MaxDays)
            throw ApiException.BadRequest($"days is 1 to {MaxDays}");
        ServiceOverview overview = await figures.OneAsync(service, stop) ?? throw await reader.UnknownAsync(service, stop);
        IReadOnlyList<BuildDay> all = await storage.Profiles.ListBuildDaysAsync(service, stop);
        ILookup<BuildId, BinaryFile> files = (await storage.Binaries.FindAsync([.. all.Select(static day => day.BuildId).Distinct()], stop)).ToLookup(static file => file.BuildId);
        IReadOnlyList<KeptResult> results = await storage.Results.ListAsync(service, null, MaxProfiles, stop);
        IReadOnlyDictionary<long, ReportFigures> reports = await figures.ReportsAsync([.. results.Select(static kept => kept.Id)], stop);
        return TypedResults.Ok(TimelineOfService.Of(
            overview, all, files, [.. results.Reverse().Where(kept => reports.ContainsKey(kept.Id)).Select(kept => reports[kept.Id])],
            DateOnly.FromDateTime(time.GetUtcNow().UtcDateTime), days ?? DefaultDays));
    }

    private static async Task<Ok<IReadOnlyList<AgentSummary>>> Agents(HttpContext context, ServerStorage storage, TimeProvider time, CancellationToken stop)
    {
        IReadOnlyList<FleetHost> hosts = await storage.Fleet.ReadHostsAsync(DateOnly.FromDateTime(time.GetUtcNow().UtcDateTime).AddDays(1 - AgentDays), stop);
        return TypedResults.Ok<IReadOnlyList<AgentSummary>>(
        [
            .. hosts.Where(host => host.Host.Length > 0 && context.Caller().Gives(Role.Read, host.Service)).GroupBy(static host => host.Host).Select(static host =>
            {
                FleetHost last = host.MaxBy(static one => one.LastSeen)!;
                return new AgentSummary(
                    host.Key, last.Source, last.Cpu, last.LastSeen, host.Sum(static one => one.Samples),
                    [.. host.Select(static one => one.Service).Distinct().Order(StringComparer.Ordinal).Take(MaxServices)]);
            }).OrderByDescending(static agent => agent.LastSeen).ThenBy(static agent => agent.Host, StringComparer.Ordinal),
        ]);
    }
}
