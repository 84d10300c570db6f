using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Routing;
using Perforator.Api;
using Perforator.Server.Auth;
using Perforator.Server.Results;
using Perforator.Server.Storage;

namespace Perforator.Server.Http;

/// <summary>What is in a generated profile: its functions, one of them in full, and inlining and calls as a tree.</summary>
internal static class FunctionsEndpoint
{
    private const int DefaultPage = 100, MaxPage = 1000, MaxSearch = 1000;

    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet(ApiRoutes.Functions, List)
            .WithSummary("Functions of a kept profile, those with most samples first; q searches names, sort is samples, head or name")
            .Requires(Role.Read);
        routes.MapGet(ApiRoutes.Function, Get)
            .WithSummary("A function of a kept profile: its lines with their source, callers, callees, and who inlines it")
            .Requires(Role.Read);
        routes.MapGet(ApiRoutes.Tree, Tree)
            .WithSummary(
                "Inlining and calls of a kept profile as a tree, cut off at 5,000 nodes; from names another profile to compare with")
                .Requires(Role.Read);
    }

    private static async Task<Ok<FunctionPage>> List(
        string service, string hash, string? q, string? sort, int? offset, int? limit, ProfileViews views, CancellationToken stop)
    {
        if (limit is <= 0 or > MaxPage || offset is < 0)
            throw ApiException.BadRequest($"limit is 1 to {MaxPage}, and offset 0 or more");
        if (sort is not (null or "samples" or "head" or "name") || q?.Length > MaxSearch)
            throw ApiException.BadRequest($"sort is samples, head or name, and q has at most {MaxSearch} characters");
        return TypedResults.Ok((await views.OpenAsync(service, hash, stop)).Page(q, sort, offset ?? 0, limit ?? DefaultPage));
    }

    private static async Task<Ok<FunctionDetail>> Get(
        string service, string hash, string id, ProfileViews views, HistoryOfService history, FunctionSources sources,
        CancellationToken stop)
    {
        KeptResult kept = await history.FindAsync(service, hash, stop);
        FunctionDetail function = (await views.OpenAsync(kept, stop)).Function(id)
            ?? throw ApiException.NotFound(
                $"the profile has no function of id {Branches.ProfileLabels.Printable(id, 40)}; its list of functions gives ids");
        return TypedResults.Ok(await sources.AddAsync(function, kept, stop));
    }

    private static async Task<Ok<ProfileTree>> Tree(string service, string hash, string? from, ProfileViews views, CancellationToken stop)
    {
        ProfileView view = await views.OpenAsync(service, hash, stop), other = from is null
            ? view : await views.OpenAsync(service, from, stop);
        return TypedResults.Ok(await Task.Run(() => view.Tree(from is null ? null : other), stop));
    }
}
