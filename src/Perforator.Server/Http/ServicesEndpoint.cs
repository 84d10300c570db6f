using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Routing;
using Perforator.Api;
using Perforator.Branches;
using Perforator.Server.Auth;
using Perforator.Server.Domain;
using Perforator.Server.Results;
using Perforator.Server.Storage;

namespace Perforator.Server.Http;

/// <summary><c>GET /api/v1/services</c> and what lies below: what the server has.</summary>
internal static class ServicesEndpoint
{
    private const int MaxValues = 100;

    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet(ApiRoutes.Services, List)
            .WithSummary("Services with profiles, by name: all of them, or limit of those after a name; Link has the next page")
            .WithEntityTag().Requires(Role.Read);
        routes.MapGet(ApiRoutes.Builds, Builds)
            .WithSummary(
                "A service's builds, those that hosts run now first: all of them, or limit of those after a build id; Link has the next page")
            .WithEntityTag().Requires(Role.Read);
        routes.MapGet(ApiRoutes.Service, Get)
            .WithSummary("One service's builds, those that hosts run now first, and the labels of its profiles").WithEntityTag()
            .Requires(Role.Read);
        routes.MapDelete(ApiRoutes.Service, Delete)
            .Produces(StatusCodes.Status204NoContent)
            .WithSummary("Forgets a service with all its profiles").Requires(Role.Admin);
        routes.MapGet(ApiRoutes.Branches, Branches)
            .Produces<byte[]>(StatusCodes.Status200OK, ApiMediaTypes.Branches)
            .WithSummary("The sum of a build's branch profiles, for generating elsewhere").Requires(Role.Read);
    }

    private static async Task<Ok<IReadOnlyList<ServiceSummary>>> List(
        HttpContext context, int? limit, string? after, ServerStorage storage, CancellationToken stop)
    {
        IEnumerable<ServiceSummary> services = (await storage.Profiles.ListServicesAsync(stop))
            .Where(service =>
                context.Caller().Gives(Role.Read, service.Service) && (after is null || string.CompareOrdinal(service.Service, after) > 0))
            .Select(static s => new ServiceSummary(s.Service, s.Builds, s.Uploads, s.Samples, s.LastSeen));
        return TypedResults.Ok<IReadOnlyList<ServiceSummary>>(Page(context, services, limit, static service => service.Service));
    }

    private static async Task<Ok<IReadOnlyList<BuildSummary>>> Builds(
        HttpContext context, string service, int? limit, string? after, ServerStorage storage, CancellationToken stop)
    {
        IReadOnlyList<BuildSummary> builds = (await Get(service, storage, stop)).Value!.Builds;
        IEnumerable<BuildSummary> rest = after is null ? builds : builds.SkipWhile(build => build.BuildId != after).Skip(1);
        return TypedResults.Ok<IReadOnlyList<BuildSummary>>(Page(context, rest, limit, static build => build.BuildId));
    }

    /// <summary>The first of what there is, with a link to those that follow (RFC 8288).</summary>
    private static List<T> Page<T>(HttpContext context, IEnumerable<T> all, int? limit, Func<T, string> keyOf)
    {
        if (limit is <= 0)
            throw ApiException.BadRequest("limit is 1 or more");
        List<T> page = [.. limit is { } most ? all.Take((int)Math.Min(most + 1L, int.MaxValue)) : all];
        if (limit is not { } size || page.Count <= size)
            return page;
        page.RemoveAt(size);
        // Relative, as nobody here knows below which path a proxy passes this on.
        context.Response.Headers.Link = $"<?limit={size}&after={Uri.EscapeDataString(keyOf(page[^1]))}>; rel=\"next\"";
        return page;
    }

    private static async Task<Ok<ServiceDetail>> Get(string service, ServerStorage storage, CancellationToken stop)
    {
        IReadOnlyList<BuildDay> days = await storage.Profiles.ListBuildDaysAsync(service, stop);
        if (days.Count == 0)
            throw new UnknownServiceException(service);
        IReadOnlyList<ServiceBuild> builds = ServiceBuilds.Rank(days);
        ILookup<BuildId, BinaryFile> files =
            (await storage.Binaries.FindAsync([.. builds.Select(static b => b.BuildId)], stop)).ToLookup(static f => f.BuildId);
        return TypedResults.Ok(new ServiceDetail(
            service,
            [.. builds.Select(build => Summary(build, [.. files[build.BuildId]]))],
            [
                .. days.SelectMany(static day => day.Labels).Distinct().GroupBy(static label => label.Key)
                    .OrderBy(static label => label.Key, StringComparer.Ordinal)
                    .Select(static label => new LabelSummary(
                        label.Key, [.. label.Select(static l => l.Value).Order(StringComparer.Ordinal).Take(MaxValues)],
                        label.LongCount())),
            ]));
    }

    private static BuildSummary Summary(ServiceBuild build, BinaryFile[] files)
    {
        BinaryFile? executable = files.FirstOrDefault(static file => file.Kind == BinaryKind.Executable);
        return new BuildSummary(
            build.BuildId.ToString(), build.Path, build.Uploads, build.Samples, build.Branches, build.FirstSeen, build.LastSeen,
            executable is not null,
            executable is { ExecutableBytes: > 0 } ? (double)build.Branches / executable.ExecutableBytes : null)
        {
            Current = build.Running > 0,
            Hosts = build.Hosts,
            HasDebugInfo = files.Any(static file => file.HasDebugInfo),
        };
    }

    private static async Task<NoContent> Delete(string service, ServerStorage storage, CancellationToken stop) =>
        await storage.Profiles.ForgetServiceAsync(service, stop) ? TypedResults.NoContent() : throw new UnknownServiceException(service);

    private static async Task<IResult> Branches(
        HttpContext context, string service, ProfileReader reader, PgoResults results, CancellationToken stop)
    {
        PgoRequest request = PgoEndpoint.RequestOf(context.Request.Query);
        (ServiceBuild build, BranchProfile sum, LossCounts losses) = await ProfileReader.WithoutDamageAsync(
            async () => await results.SumAsync(await reader.SelectAsync(service, request, stop), request, stop));
        BranchProfileSet set = new() { Start = build.FirstSeen, End = build.LastSeen, TotalSamples = sum.Samples };
        set.Labels[ProfileLabels.Service] = service;
        set.Add(sum);
        set.Losses.Merge(losses);
        context.Response.Headers[ApiHeaders.TotalProfiles] = $"{build.Uploads}";
        return TypedResults.Bytes(BranchProfileCodec.Encode(set), ApiMediaTypes.Branches);
    }
}
