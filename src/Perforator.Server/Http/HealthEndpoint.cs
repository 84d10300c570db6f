using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Perforator.Api;
using Perforator.Server.Results;
using Perforator.Server.Storage;

namespace Perforator.Server.Http;

/// <summary>How the server is, for whoever asks: <c>/healthz</c>, <c>/readyz</c> and <c>/health</c>.</summary>
internal static class HealthEndpoint
{
    public static void Map(IEndpointRouteBuilder routes)
    {
        Map(routes, "/healthz", static () => TypedResults.Ok(new Health("ok", PgoResults.Tool)), "Whether the server is alive");
        Map(routes, "/readyz", Ready, "Whether all that keeps the data can be written to; 503 says which part cannot, and why");
        Map(routes, $"/{ApiRoutes.Health}", Ready, "As /readyz");
    }

    private static void Map(IEndpointRouteBuilder routes, string path, Delegate handler, string summary)
    {
        routes.MapGet(path, handler).Produces<Health>().WithSummary(summary);
        // Load balancers ask so.
        routes.MapMethods(path, [HttpMethods.Head], handler).ExcludeFromDescription();
    }

    private static async Task<IResult> Ready(HttpContext context, StorageReadiness readiness, CancellationToken stop)
    {
        context.Response.Headers.CacheControl = "no-store";
        IReadOnlyDictionary<string, string> failures = await readiness.FailuresAsync(stop);
        return failures.Count == 0
            ? TypedResults.Ok(new Health("ok", PgoResults.Tool))
            : TypedResults.Problem(
                string.Join("; ", failures.Select(static failure => $"{failure.Key}: {failure.Value}")),
                statusCode: StatusCodes.Status503ServiceUnavailable,
                extensions: new Dictionary<string, object?> { ["version"] = PgoResults.Tool, ["failures"] = failures });
    }
}
