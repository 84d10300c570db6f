using System.Reflection;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Routing;
using Perforator.Api;

namespace Perforator.Server.Http;

/// <summary><c>GET /health</c>: answers once the store is open.</summary>
internal static class HealthEndpoint
{
    public static void Map(IEndpointRouteBuilder routes) => routes.MapGet("/health", Get).WithSummary("Whether the server is up");

    private static Ok<Health> Get() => TypedResults.Ok(
        new Health("ok", typeof(HealthEndpoint).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? ""));
}
