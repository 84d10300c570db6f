using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Perforator.Api;
using Perforator.Server.Auth;
using Perforator.Server.Ingest;

namespace Perforator.Server.Http;

/// <summary>
/// <c>HEAD</c> and <c>PUT /api/v1/binaries/{buildId}</c>: executables, debug files and packages of split DWARF; a fuller one takes the
/// place of a stripped one.
/// </summary>
internal static class BinariesEndpoint
{
    private const string Route = "/api/v1/binaries/{buildId}";

    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapMethods(Route, [HttpMethods.Head], Head)
            .Produces(StatusCodes.Status200OK).Produces(StatusCodes.Status404NotFound)
            .WithSummary("Whether the server holds the binary, or the file of Repr-Digest; Upload-Offset says how much of that has come")
            .Requires(Role.Upload);
        routes.MapPut(Route, Put)
            .Accepts<byte[]>(ApiMediaTypes.Bytes)
            .Produces(StatusCodes.Status201Created).Produces(StatusCodes.Status200OK).Produces(StatusCodes.Status202Accepted)
            .WithSummary(
                "Stores a binary or debug file, which must be an ELF file of that build id, or (Content-Range) a part of it; 200 when one as good was there already, 202 while parts are missing").Requires(Role.Upload);
    }

    /// <summary>
    /// Whether the build's executable is there; of who says which file it would send (Repr-Digest), whether that is of no use any more.
    /// </summary>
    private static async Task<IResult> Head(string buildId, HttpContext context, BinaryIngest binaries, CancellationToken stop)
    {
        BuildId id = Parse(buildId);
        bool isThere;
        if (BinaryPart.DigestOf(context.Request) is not { } digest)
        {
            isThere = await binaries.HasAsync(id, stop);
        }
        else
        {
            (isThere, long received) = await binaries.FindAsync(id, digest, stop);
            isThere |= await IsCompleteAsync(id, context, binaries);
            context.Response.Headers[ApiHeaders.UploadOffset] = $"{received}";
        }
        return isThere ? TypedResults.Ok() : TypedResults.StatusCode(StatusCodes.Status404NotFound);
    }

    /// <summary>
    /// Whether nothing that could be sent is of use. A binary with skeleton units has debug info in it too, and is of no use without its
    /// package.
    /// </summary>
    private static async Task<bool> IsCompleteAsync(BuildId id, HttpContext context, BinaryIngest binaries) =>
        context.Request.Query["kind"] != ApiRoutes.SplitKind && await binaries.IsCompleteAsync(id, context.RequestAborted);

    private static async Task<IResult> Put(string buildId, HttpContext context, BinaryIngest binaries, ServerSettings settings)
    {
        ProfilesEndpoint.LimitBody(context, settings.MaxBinaryBytes);
        BuildId id = Parse(buildId);
        if (await IsCompleteAsync(id, context, binaries))
            return TypedResults.Ok();
        (bool? stored, long received) = BinaryPart.Of(context.Request, settings.MaxBinaryBytes) is { } part
            ? await binaries.AcceptPartAsync(id, part, context.Request.Body, context.RequestAborted)
            : (await binaries.AcceptAsync(id, context.Request.Body, context.RequestAborted), 0);
        if (stored is null)
            context.Response.Headers[ApiHeaders.UploadOffset] = $"{received}";
        return stored switch
        {
            true => TypedResults.StatusCode(StatusCodes.Status201Created),
            false => TypedResults.Ok(),
            null => TypedResults.StatusCode(StatusCodes.Status202Accepted),
        };
    }

    public static BuildId Parse(string text) => BuildId.TryParse(text, out BuildId id)
        ? id
        : throw ApiException.BadRequest($"'{ProfileText(text)}' is not a build id: an even number of hexadecimal digits is expected");

    private static string ProfileText(string text) => Branches.ProfileLabels.Printable(text, 100);
}
