using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Routing;
using Perforator.Api;
using Perforator.Server.Auth;
using Perforator.Server.Ingest;

namespace Perforator.Server.Http;

/// <summary><c>POST /api/v1/profiles</c>: takes one branch profile set.</summary>
internal static class ProfilesEndpoint
{
    public static void Map(IEndpointRouteBuilder routes) => routes.MapPost("/api/v1/profiles", Post)
        .Accepts<byte[]>(ApiMediaTypes.Branches)
        .WithSummary("Stores a branch profile set; answered once it is on the disk. Sending the same set again changes nothing.")
        .Requires(Role.Upload);

    private static async Task<Ok<UploadReceipt>> Post(
        HttpContext context, ProfileIngest ingest, ServerSettings settings, UploadBodies bodies)
    {
        // Routing lets a request without any content type through, which a foreign web page can send without asking first.
        if (context.Request.ContentType is null)
            throw new ApiException(
                StatusCodes.Status415UnsupportedMediaType, $"a profile is sent as content type {ApiMediaTypes.Branches}");
        LimitBody(context, settings.MaxProfileBytes);

        using UploadBodies.Body body = await bodies.ReadAsync(context.Request.Body, context.RequestAborted);
        UploadReceipt receipt = await ingest.AcceptAsync(body.Bytes, Authorise, context.RequestAborted);
        context.Items[Telemetry.RequestMetrics.ReceiptItem] = (receipt.Duplicate, body.Bytes.LongLength);
        return TypedResults.Ok(receipt);

        void Authorise(string service)
        {
            context.Items[AuditLog.ServiceItem] = service;
            AccessControl.Require(context.Caller(), Role.Upload, service);
        }
    }

    /// <summary>Lets a request send up to <paramref name="bytes"/>; more ends in status 413.</summary>
    public static void LimitBody(HttpContext context, long bytes)
    {
        if (context.Request.ContentLength > bytes)
            throw new ApiException(
                StatusCodes.Status413PayloadTooLarge,
                $"the upload has {context.Request.ContentLength} bytes; at most {bytes} are accepted");
        context.Features.GetRequiredFeature<IHttpMaxRequestBodySizeFeature>().MaxRequestBodySize = bytes;
    }
}
