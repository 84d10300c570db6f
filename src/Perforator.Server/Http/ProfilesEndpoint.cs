using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Routing;
using Perforator.Api;
using Perforator.Branches;
using Perforator.Server.Auth;
using Perforator.Server.Ingest;

namespace Perforator.Server.Http;

/// <summary><c>POST /api/v1/profiles</c>: takes one branch profile set.</summary>
internal static class ProfilesEndpoint
{
    public static void Map(IEndpointRouteBuilder routes) => routes.MapPost("/api/v1/profiles", Post)
        .Accepts<byte[]>(ApiMediaTypes.Branches)
        .ProducesProblem(StatusCodes.Status400BadRequest)
        .ProducesProblem(StatusCodes.Status413PayloadTooLarge)
        .ProducesProblem(StatusCodes.Status503ServiceUnavailable)
        .WithSummary("Stores a branch profile set; answered once it is on the disk. Sending the same set again changes nothing.")
        .Requires(Role.Upload);

    private static async Task<Ok<UploadReceipt>> Post(HttpContext context, ProfileIngest ingest, ServerSettings settings, InFlightBytes inFlight)
    {
        // Routing lets a request without any content type through, which a foreign web page can send without asking first.
        if (context.Request.ContentType is null)
            throw new ApiException(StatusCodes.Status415UnsupportedMediaType, $"a profile is sent as content type {ApiMediaTypes.Branches}");
        LimitBody(context, settings.MaxProfileBytes);

        // What begins wrongly, or would need too much, is refused before more of it is read.
        byte[] start = new byte[BranchProfileEnvelope.Length];
        int n = await context.Request.Body.ReadAtLeastAsync(start, start.Length, throwOnEndOfStream: false, context.RequestAborted);
        BranchProfileEnvelope envelope = BranchProfileEnvelope.Parse(start.AsSpan(0, n));
        envelope.RequireAtMost(settings.MaxProfileMessageBytes);
        if (envelope.CompressedLength > (ulong)settings.MaxProfileBytes)
            throw new ApiException(StatusCodes.Status413PayloadTooLarge, $"the upload has {envelope.CompressedLength} bytes; at most {settings.MaxProfileBytes} are accepted");
        using InFlightBytes.Share share = await inFlight.TakeAsync(MemoryOf(envelope), context.RequestAborted);
        byte[] body = new byte[start.Length + (int)envelope.CompressedLength];
        start.CopyTo(body, 0);
        n += await context.Request.Body.ReadAtLeastAsync(body.AsMemory(n), body.Length - n, throwOnEndOfStream: false, context.RequestAborted);
        if (await context.Request.Body.ReadAsync(new byte[1], context.RequestAborted) != 0)
            throw ApiException.BadRequest("the upload is longer than it says itself");
        UploadReceipt receipt = await ingest.AcceptAsync(n == body.Length ? body : body[..n], Authorise, context.RequestAborted);
        context.Items[Telemetry.RequestMetrics.ReceiptItem] = (receipt.Duplicate, body.LongLength);
        return TypedResults.Ok(receipt);

        void Authorise(string service)
        {
            context.Items[AuditLog.ServiceItem] = service;
            AccessControl.Require(context.Caller(), Role.Upload, service);
        }
    }

    /// <summary>
    /// What an upload needs until it is stored: its bytes, the message, twice while it is checked, and a counter of some 64 bytes for
    /// what takes at least 3 bytes of the message.
    /// </summary>
    private static long MemoryOf(BranchProfileEnvelope envelope) =>
        (long)(envelope.CompressedLength + (2 * envelope.MessageLength) + (envelope.MessageLength / 3 * 64));

    /// <summary>Lets a request send up to <paramref name="bytes"/>; more ends in status 413.</summary>
    public static void LimitBody(HttpContext context, long bytes)
    {
        if (context.Request.ContentLength > bytes)
            throw new ApiException(StatusCodes.Status413PayloadTooLarge, $"the upload has {context.Request.ContentLength} bytes; at most {bytes} are accepted");
        context.Features.GetRequiredFeature<IHttpMaxRequestBodySizeFeature>().MaxRequestBodySize = bytes;
    }
}
