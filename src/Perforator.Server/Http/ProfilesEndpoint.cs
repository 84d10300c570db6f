using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Routing;
using Perforator.Server.Ingest;

namespace Perforator.Server.Http;

/// <summary><c>POST /api/v1/profiles</c>: takes one branch profile set.</summary>
internal static class ProfilesEndpoint
{
    public static void Map(IEndpointRouteBuilder routes) => routes.MapPost("/api/v1/profiles", Post)
        .Accepts<byte[]>(ApiMediaTypes.Branches)
        .ProducesProblem(StatusCodes.Status400BadRequest)
        .ProducesProblem(StatusCodes.Status413PayloadTooLarge)
        .WithSummary("Stores a branch profile set; answered once it is on the disk. Sending the same set again changes nothing.");

    private static async Task<Ok<UploadReceipt>> Post(HttpContext context, ProfileIngest ingest, ServerSettings settings)
    {
        LimitBody(context, settings.MaxProfileBytes);
        using MemoryStream body = new();
        await context.Request.Body.CopyToAsync(body, context.RequestAborted);
        return TypedResults.Ok(await ingest.AcceptAsync(body.ToArray(), context.RequestAborted));
    }

    /// <summary>Lets a request send up to <paramref name="bytes"/>; more ends in status 413.</summary>
    public static void LimitBody(HttpContext context, long bytes)
    {
        if (context.Request.ContentLength > bytes)
            throw new ApiException(StatusCodes.Status413PayloadTooLarge, $"the upload has {context.Request.ContentLength} bytes; at most {bytes} are accepted");
        context.Features.GetRequiredFeature<IHttpMaxRequestBodySizeFeature>().MaxRequestBodySize = bytes;
    }
}
