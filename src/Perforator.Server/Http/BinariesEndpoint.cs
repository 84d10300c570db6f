using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Perforator.Api;
using Perforator.Server.Auth;
using Perforator.Server.Ingest;

namespace Perforator.Server.Http;

/// <summary><c>HEAD</c> and <c>PUT /api/v1/binaries/{buildId}</c>: executables, debug files and packages of split DWARF; a fuller one takes the place of a stripped one.</summary>
internal static class BinariesEndpoint
{
    private const string Route = "/api/v1/binaries/{buildId}";

    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapMethods(Route, [HttpMethods.Head], Head)
            .Produces(StatusCodes.Status200OK).Produces(StatusCodes.Status404NotFound)
            .WithSummary("Whether the server holds the binary").Requires(Role.Upload);
        routes.MapPut(Route, Put)
            .Accepts<byte[]>(ApiMediaTypes.Bytes)
            .Produces(StatusCodes.Status201Created).Produces(StatusCodes.Status200OK)
            .ProducesProblem(StatusCodes.Status400BadRequest).ProducesProblem(StatusCodes.Status413PayloadTooLarge)
            .WithSummary("Stores a binary or debug file, which must be an ELF file of that build id; 200 when one as good was there already").Requires(Role.Upload);
    }

    private static async Task<IResult> Head(string buildId, BinaryIngest binaries, CancellationToken stop) =>
        await binaries.HasAsync(Parse(buildId), stop) ? TypedResults.Ok() : TypedResults.StatusCode(StatusCodes.Status404NotFound);

    private static async Task<IResult> Put(string buildId, HttpContext context, BinaryIngest binaries, ServerSettings settings)
    {
        ProfilesEndpoint.LimitBody(context, settings.MaxBinaryBytes);
        BuildId id = Parse(buildId);
        // A binary with skeleton units has debug info in it too, and is of no use without its package.
        if (context.Request.Query["kind"] != ApiRoutes.SplitKind && await binaries.IsCompleteAsync(id, context.RequestAborted))
            return TypedResults.Ok();
        return await binaries.AcceptAsync(id, context.Request.Body, context.RequestAborted)
            ? TypedResults.StatusCode(StatusCodes.Status201Created)
            : TypedResults.Ok();
    }

    public static BuildId Parse(string text) => BuildId.TryParse(text, out BuildId id)
        ? id
        : throw ApiException.BadRequest($"'{ProfileText(text)}' is not a build id: an even number of hexadecimal digits is expected");

    private static string ProfileText(string text) => Branches.ProfileLabels.Printable(text, 100);
}
