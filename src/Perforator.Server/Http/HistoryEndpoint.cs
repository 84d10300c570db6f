using System.Globalization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Routing;
using Perforator.Api;
using Perforator.Server.Auth;
using Perforator.Server.Results;

namespace Perforator.Server.Http;

/// <summary>A service's generated profiles: history, names, differences.</summary>
internal static class HistoryEndpoint
{
    private const int MaxPage = 1000;

    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet(ApiRoutes.History, List).WithSummary("Profiles generated of a service, the latest first").WithEntityTag()
            .Requires(Role.Read);
        routes.MapGet(ApiRoutes.Names, Names).WithSummary("The names that stand for profiles of a service").WithEntityTag()
            .Requires(Role.Read);
        routes.MapGet(ApiRoutes.Name, Name)
            .WithSummary("What a name stands for").Requires(Role.Read);
        routes.MapPut(ApiRoutes.Name, Put)
            .WithSummary("Lets a name stand for a kept profile; the answer says for what it stood before").Requires(Role.Admin);
        routes.MapDelete(ApiRoutes.Name, Delete)
            .WithSummary("Takes a name away; the profile stays").Requires(Role.Admin);
        routes.MapGet(ApiRoutes.Diff, Diff)
            .WithSummary("What changed from one kept profile to another").Requires(Role.Read);
        routes.MapGet(ApiRoutes.Fit, Fit)
            .ProducesProblem(StatusCodes.Status409Conflict)
            .WithSummary("How well a kept profile fits a build's binary in the store").Requires(Role.Read);
    }

    private static async Task<Ok<HistoryPage>> List(
        string service, int? limit, string? before, HistoryOfService history, CancellationToken stop)
    {
        if (limit is <= 0 or > MaxPage)
            throw ApiException.BadRequest($"limit is 1 to {MaxPage}");
        long? from =
            before is null
                ? null : long.TryParse(before, CultureInfo.InvariantCulture, out long id)
                    ? id : throw ApiException.BadRequest("before is a page's own");
        return TypedResults.Ok(await history.ListAsync(service, limit ?? 50, from, stop));
    }

    private static async Task<Ok<IReadOnlyList<NamedProfile>>> Names(string service, HistoryOfService history, CancellationToken stop) =>
        TypedResults.Ok(await history.NamesAsync(service, stop));

    private static async Task<Ok<NamedProfile>> Name(string service, string name, HistoryOfService history, CancellationToken stop) =>
        TypedResults.Ok(await history.NameAsync(service, name, stop));

    private static async Task<Ok<NamedProfile>> Put(
        string service, string name, PromoteRequest body, HistoryOfService history, CancellationToken stop) =>
        TypedResults.Ok(await history.PromoteAsync(service, name, body.Hash ?? "", stop));

    private static async Task<NoContent> Delete(string service, string name, HistoryOfService history, CancellationToken stop)
    {
        await history.RemoveNameAsync(service, name, stop);
        return TypedResults.NoContent();
    }

    private static async Task<Ok<FitAnswer>> Fit(
        string service, string hash, string? buildId, HistoryOfService history, CancellationToken stop) =>
        TypedResults.Ok(await history.FitAsync(service, hash, buildId, stop));

    private static async Task<Ok<ProfileDiff>> Diff(
        string service, string from, string to, HistoryOfService history, CancellationToken stop) =>
        TypedResults.Ok(await history.DiffAsync(service, from, to, stop));
}
