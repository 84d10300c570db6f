using System.Diagnostics;
using Microsoft.AspNetCore.Http;
using Perforator.Api;

namespace Perforator.Server.Telemetry;

/// <summary>Counts what became of uploads, and who was turned away.</summary>
internal static class RequestMetrics
{
    /// <summary>
    /// Under this key of the request's items stands of a profile that was taken whether it was a duplicate, and its bytes.
    /// </summary>
    public const string ReceiptItem = "perforator.receipt";

    /// <summary>The middleware; stands before all that may refuse.</summary>
    public static async Task Handle(HttpContext context, RequestDelegate next)
    {
        bool isUpload =
            HttpMethods.IsPost(context.Request.Method) && context.Request.Path.Equals($"/{ApiRoutes.Profiles}", StringComparison.Ordinal);
        long start = Stopwatch.GetTimestamp();
        try
        {
            await next(context);
        }
        catch when (isUpload)
        {
            ServerMetrics.Refused("aborted");
            throw;
        }
        int status = context.Response.StatusCode;
        if (status is StatusCodes.Status401Unauthorized or StatusCodes.Status403Forbidden or StatusCodes.Status429TooManyRequests)
            ServerMetrics.AuthFailed(ReasonOf(status));
        if (!isUpload)
            return;
        if (context.Items[ReceiptItem] is (bool duplicate, long bytes) && status == StatusCodes.Status200OK)
            ServerMetrics.Uploaded(duplicate, bytes, Stopwatch.GetElapsedTime(start));
        else
            ServerMetrics.Refused(context.RequestAborted.IsCancellationRequested ? "aborted" : ReasonOf(status));
    }

    private static string ReasonOf(int status) => status switch
    {
        StatusCodes.Status400BadRequest => "malformed",
        StatusCodes.Status401Unauthorized => "unauthenticated",
        StatusCodes.Status403Forbidden => "forbidden",
        StatusCodes.Status408RequestTimeout => "slow",
        StatusCodes.Status413PayloadTooLarge => "too_large",
        StatusCodes.Status415UnsupportedMediaType => "media_type",
        StatusCodes.Status421MisdirectedRequest => "foreign_host",
        StatusCodes.Status429TooManyRequests => "rate_limited",
        StatusCodes.Status503ServiceUnavailable => "unavailable",
        StatusCodes.Status507InsufficientStorage => "storage",
        _ => "other",
    };
}
