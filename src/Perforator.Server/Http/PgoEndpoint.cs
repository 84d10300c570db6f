using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Routing;
using Perforator.Api;
using Perforator.Generation;
using Perforator.SampleProfiles;
using Perforator.Server.Auth;
using Perforator.Server.Results;

namespace Perforator.Server.Http;

/// <summary>
/// <c>GET /api/v1/services/{service}/pgo</c>: generates the service's sample profile; <c>GET /api/v1/results/{hash}</c>: its bytes.
/// </summary>
internal static class PgoEndpoint
{
    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/api/v1/services/{service}/pgo", Get)
            .ProducesProblem(StatusCodes.Status400BadRequest).ProducesProblem(StatusCodes.Status404NotFound).ProducesProblem(StatusCodes.Status409Conflict)
            .WithSummary("The sample profile of a service's current build: its report and the hash under which its bytes are").Requires(Role.Read);
        routes.MapGet("/api/v1/results/{hash}", GetBytes)
            .Produces<byte[]>(StatusCodes.Status200OK, ApiMediaTypes.Bytes).ProducesProblem(StatusCodes.Status404NotFound)
            .WithSummary("A generated sample profile, by the SHA-256 of its bytes").Requires(Role.Read);
    }

    private static async Task<Ok<PgoAnswer>> Get(
        string service, string? buildId, DateTimeOffset? since, DateTimeOffset? until, string? format, bool? symbolList, PgoResults results, CancellationToken stop) =>
        TypedResults.Ok(await results.GetAsync(service, buildId, new(since, until), Form(format, symbolList ?? false), stop));

    private static async Task<PhysicalFileHttpResult> GetBytes(string hash, HttpContext context, PgoResults results)
    {
        string? found = hash.Length == 64 && hash.All(char.IsAsciiHexDigitLower) ? await results.FindBytesAsync(hash, context.RequestAborted) : null;
        string path = found ?? throw ApiException.NotFound("there is no such result; ask for the pgo profile again");
        context.Response.Headers.CacheControl = "private, max-age=31536000, immutable";
        return TypedResults.PhysicalFile(path, ApiMediaTypes.Bytes);
    }

    private static ProfileForm Form(string? format, bool hasSymbolList) => format switch
    {
        null or "extbinary" => new(SampleProfileFormat.ExtBinary, hasSymbolList),
        "text" when hasSymbolList => throw ApiException.BadRequest("the text format cannot hold a symbol list; ask for extbinary, or without symbolList"),
        "text" => new(SampleProfileFormat.Text),
        _ => throw ApiException.BadRequest($"format '{Branches.ProfileLabels.Printable(format, 40)}' is not known; it is extbinary or text"),
    };
}
