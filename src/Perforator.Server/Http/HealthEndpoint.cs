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
        routes.MapGet("/healthz", static () => TypedResults.Ok(new Health("ok", PgoResults.Tool))).WithSummary("Whether the server is alive");
        routes.MapGet("/readyz", Ready)
            .Produces<Health>().ProducesProblem(StatusCodes.Status503ServiceUnavailable)
            .WithSummary("Whether all that keeps the data can be written to; 503 says which part cannot, and why");
        routes.MapGet($"/{ApiRoutes.Health}", Ready)
            .Produces<Health>().ProducesProblem(StatusCodes.Status503ServiceUnavailable)
            .WithSummary("As /readyz");
    }

    private static async Task<IResult> Ready(HttpContext context, StorageReadiness readiness, CancellationToken stop)
    {
        context.Response.Headers.CacheControl = "no-store";
        IReadOnlyDictionary<string, string> failures = await readiness.FailuresAsync(stop);
        return failures.Count == 0
            ? TypedResults.Ok(new Health("ok", PgoResults.Tool))
            : TypedResults.Problem(
                string.Join("; ", failures.Select(static failure => $"{failure.Key}: {failure.Value}")), statusCode: StatusCodes.Status503ServiceUnavailable,
                extensions: new Dictionary<string, object?> { ["version"] = PgoResults.Tool, ["failures"] = failures });
    }
}
