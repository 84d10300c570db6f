using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Perforator.Branches;
using Perforator.Bytes;
using Perforator.Server.Auth;
using Perforator.Server.Storage;

namespace Perforator.Server.Http;

/// <summary>A request that cannot be served, with its status and one sentence for the person behind it.</summary>
internal sealed class ApiException : Exception
{
    public ApiException(int status, string detail) : base(detail) => Status = status;

    public int Status { get; }

    public static ApiException BadRequest(string detail) => new(StatusCodes.Status400BadRequest, detail);

    public static ApiException NotFound(string detail) => new(StatusCodes.Status404NotFound, detail);
}

/// <summary>A service that the server knows nothing of. Its answer names those there are, as far as the caller may see them.</summary>
internal sealed class UnknownServiceException(string service) : Exception($"service '{service}' is unknown")
{
    private const int MaxNames = 100;

    /// <summary>Says so to whoever asked.</summary>
    public async Task<ApiException> DescribeAsync(HttpContext context)
    {
        IReadOnlyList<ServiceTotals> all =
            await context.RequestServices.GetRequiredService<ServerStorage>().Profiles.ListServicesAsync(context.RequestAborted);
        string[] known = [.. all.Select(static one => one.Service).Where(name => context.Caller().Gives(Role.Read, name)).Take(MaxNames)];
        // A slash in a route's value stays escaped.
        string name = ProfileLabels.Printable(service.Replace("%2F", "/", StringComparison.OrdinalIgnoreCase), ProfileLabels.MaxNameLength);
        return ApiException.NotFound($"service '{name}' is unknown; " + (all.Count == 0
            ? "the server has no profiles yet; start an agent, or upload with record --service"
            : known.Length == 0 ? "the server has none that you may see" : $"known services: {string.Join(", ", known)}"));
    }
}

/// <summary>Turns whatever a request dies of into problem details (RFC 9457).</summary>
internal static class ProblemResponses
{
    public static async Task Handle(HttpContext context, RequestDelegate next)
    {
        try
        {
            await ServeAsync(context, next);
            if (context.Response.StatusCode >= 400 && !context.Response.HasStarted && context.Response.ContentLength is null)
                await Write(context, context.Response.StatusCode, Describe(context));
        }
        catch (Exception e) when (!context.Response.HasStarted && Describe(e) is { } problem)
        {
            if (e is IOException or UnauthorizedAccessException)
                LogOf(context)
                    .LogWarning("{Method} {Path} was answered {Status}: {Detail}", context.Request.Method, context.Request.Path, problem.Status, problem.Detail);
            context.Response.Clear();
            await Write(context, problem.Status, problem.Detail);
        }
        catch (Exception e) when (!context.Response.HasStarted && e is not OperationCanceledException)
        {
            LogOf(context).LogError(e, "{Method} {Path} failed", context.Request.Method, context.Request.Path);
            context.Response.Clear();
            await Write(context, StatusCodes.Status500InternalServerError, "the server failed at this request; its log on stderr says why");
        }
    }

    private static async Task ServeAsync(HttpContext context, RequestDelegate next)
    {
        try
        {
            await next(context);
        }
        catch (UnknownServiceException e)
        {
            throw await e.DescribeAsync(context);
        }
    }

    private static ILogger LogOf(HttpContext context) =>
        context.RequestServices.GetRequiredService<ILoggerFactory>().CreateLogger("Perforator");

    /// <summary>Says what routing refused before any of our code ran.</summary>
    private static string Describe(HttpContext context) => context.Response.StatusCode switch
    {
        StatusCodes.Status415UnsupportedMediaType =>
            $"content type '{context.Request.ContentType}' is not what {context.Request.Path} takes; see /api/v1/openapi.json",
        _ => $"{context.Request.Method} {context.Request.Path} is not part of the API; see /api/v1/openapi.json",
    };

    private static (int Status, string Detail)? Describe(Exception e) => e switch
    {
        ApiException api => (api.Status, api.Message),
        MalformedInputException { IsTooLarge: true } => (StatusCodes.Status413PayloadTooLarge, e.Message),
        // To be kept and sent to a newer server, and not, like what is damaged, to be thrown away.
        MalformedInputException { IsOtherVersion: true } => (StatusCodes.Status415UnsupportedMediaType, e.Message),
        MalformedInputException or UserErrorException => (StatusCodes.Status400BadRequest, e.Message),
        BadHttpRequestException bad => (bad.StatusCode, bad.Message),
        OperationCanceledException => null,
        Storage.StorageAwayException => (StatusCodes.Status503ServiceUnavailable, $"{e.Message}; send this again in a few seconds"),
        IOException or UnauthorizedAccessException =>
            (StatusCodes.Status507InsufficientStorage, $"the server cannot store or read its data: {e.Message}"),
        _ => null,
    };

    private static Task Write(HttpContext context, int status, string detail)
    {
        if (status is StatusCodes.Status503ServiceUnavailable or StatusCodes.Status507InsufficientStorage
            && context.Response.Headers.RetryAfter.Count == 0)
            context.Response.Headers.RetryAfter = "5";
        return TypedResults.Problem(detail, statusCode: status, title: ReasonPhrases.GetReasonPhrase(status)).ExecuteAsync(context);
    }
}
