using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Routing;
using Perforator.Api;
using Perforator.Branches;
using Perforator.Server.Auth;
using Perforator.Server.Results;
using Perforator.Server.Storage;

namespace Perforator.Server.Http;

/// <summary><c>GET /api/v1/services</c> and <c>/api/v1/services/{service}</c>: what the server has.</summary>
internal static class ServicesEndpoint
{
    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/api/v1/services", List).WithSummary("All services with profiles").Requires(Role.Read);
        routes.MapGet("/api/v1/services/{service}", Get)
            .ProducesProblem(StatusCodes.Status404NotFound)
            .WithSummary("The builds of one service, the one pgo takes by default first").Requires(Role.Read);
        routes.MapGet("/api/v1/services/{service}/branches", Branches)
            .Produces<byte[]>(StatusCodes.Status200OK, ApiMediaTypes.Branches)
            .ProducesProblem(StatusCodes.Status404NotFound)
            .WithSummary("The sum of a build's branch profiles, for generating elsewhere").Requires(Role.Read);
    }

    private static async Task<Ok<IReadOnlyList<ServiceSummary>>> List(HttpContext context, IProfileStore store, CancellationToken stop) =>
        TypedResults.Ok<IReadOnlyList<ServiceSummary>>(
            [.. (await store.ListServicesAsync(stop)).Where(service => context.Caller().Gives(Role.Read, service.Service))]);

    private static async Task<Ok<ServiceDetail>> Get(string service, BuildSelection selection, CancellationToken stop) =>
        TypedResults.Ok(new ServiceDetail(service, await selection.BuildsAsync(service, TimeSpanFilter.All, stop), []));

    private static async Task<IResult> Branches(
        HttpContext context, string service, string? buildId, DateTimeOffset? since, DateTimeOffset? until, BuildSelection selection, CancellationToken stop)
    {
        SelectedBuild build = await selection.SelectAsync(service, buildId, new(since, until), stop);
        MergedProfile merged = await selection.MergeAsync(build, stop);
        BranchProfileSet set = new() { Start = merged.Start, End = merged.End, TotalSamples = merged.Profile.Samples };
        set.Labels[ProfileLabels.Service] = service;
        set.Add(merged.Profile);
        set.Losses.Merge(merged.Losses);
        context.Response.Headers[ApiHeaders.TotalProfiles] = $"{merged.Count}";
        return TypedResults.Bytes(BranchProfileCodec.Encode(set), ApiMediaTypes.Branches);
    }
}
