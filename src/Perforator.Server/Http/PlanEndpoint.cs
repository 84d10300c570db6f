using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Routing;
using Perforator.Api;
using Perforator.Branches;
using Perforator.Server.Auth;
using Perforator.Server.Demand;

namespace Perforator.Server.Http;

/// <summary><c>/api/v1/plan</c>: what a host is to record.</summary>
internal static class PlanEndpoint
{
    /// <summary>Services that one request may name, and builds of each.</summary>
    private const int MaxServices = 2000, MaxBuilds = 100;

    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/api/v1/plan", Get)
            .WithSummary("What a host is to record of each service named.")
            .Requires(Role.Upload);
        routes.MapPost("/api/v1/plan", Post)
            .WithSummary(
                "Takes what a host runs and answers what it is to record of it. Services that the caller may not upload for are left out.")
            .Requires(Role.Upload);
    }

    private static Ok<PlanAnswer> Get(HttpContext context, Planner planner, AgentReports agents, string host, string[] service) =>
        Answer(context, planner, agents, new PlanRequest(host, [.. service.Select(static name => new RunningService(name, [], 0, 0, 0))]));

    private static Ok<PlanAnswer> Post(HttpContext context, Planner planner, AgentReports agents, PlanRequest request) =>
        Answer(context, planner, agents, request);

    private static Ok<PlanAnswer> Answer(HttpContext context, Planner planner, AgentReports agents, PlanRequest request)
    {
        if (request.Host is not { Length: > 0 and <= ProfileLabels.MaxValueLength })
            throw ApiException.BadRequest("host is missing: the name of the host that asks");
        // An agent is heard of also while its host runs nothing.
        if (request.Services is not { Count: <= MaxServices } || (request.Services.Count == 0 && request.Agent is null))
            throw ApiException.BadRequest($"services are missing, or more than {MaxServices}: name those that the host runs");
        foreach (RunningService service in request.Services)
            if (service is not { Service: { } name, Builds.Count: <= MaxBuilds } || !ProfileLabels.IsName(name))
                throw ApiException.BadRequest(
                    $"'{ProfileLabels.Printable(service?.Service ?? "", ProfileLabels.MaxNameLength)}' cannot name a service, or has more than {MaxBuilds} builds");
        Caller caller = context.Caller();
        request = request with { Services = [.. request.Services.Where(service => caller.Gives(Role.Upload, service.Service))] };
        agents.Take(request);
        return TypedResults.Ok(planner.Answer(request));
    }
}
