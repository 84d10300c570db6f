using System.Threading.RateLimiting;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Perforator.Server.Http;

namespace Perforator.Server.Auth;

/// <summary>The role that a route asks for; a route without one is open to everybody.</summary>
internal sealed record RequiredRole(Role Role);

/// <summary>
/// Lets a request through to its route when its caller has the route's role: 401 without a credential that is known, 403 without the role
/// on the service in the route, 429 when the caller sends too much.
/// </summary>
internal sealed class AccessControl : IDisposable
{
    private readonly AccessFile? file;
    private readonly PartitionedRateLimiter<string> rates;

    /// <param name="file">Who may do what; null where nobody is asked who they are.</param>
    public AccessControl(AccessFile? file)
    {
        this.file = file;
        AccessFile.RateEntry rate = file?.Rate ?? new();
        rates = PartitionedRateLimiter.Create<string, string>(caller => RateLimitPartition.GetTokenBucketLimiter(caller, _ => new TokenBucketRateLimiterOptions
        {
            TokenLimit = rate.Burst,
            TokensPerPeriod = Math.Max(1, rate.RequestsPerSecond / 10),
            ReplenishmentPeriod = TimeSpan.FromSeconds(rate.RequestsPerSecond >= 10 ? 0.1 : 1.0 / rate.RequestsPerSecond),
            QueueLimit = 0,
        }));
    }

    /// <summary>The middleware; stands behind routing.</summary>
    public async Task Handle(HttpContext context, RequestDelegate next)
    {
        if (context.GetEndpoint()?.Metadata.GetMetadata<RequiredRole>() is { Role: var role })
        {
            Caller caller = await CallerOfAsync(context);
            context.Features.Set(caller);
            if (!caller.Gives(role))
                throw Forbidden(caller, role, null);
            if (context.Request.RouteValues.TryGetValue("service", out object? value) && value is string service)
                Require(caller, role, service);
        }
        await next(context);
    }

    /// <summary>Refuses what a caller may not do with a service.</summary>
    /// <exception cref="ApiException">403.</exception>
    public static void Require(Caller caller, Role role, string service)
    {
        if (!caller.Gives(role, service))
            throw Forbidden(caller, role, service);
    }

    private async Task<Caller> CallerOfAsync(HttpContext context)
    {
        if (file is null)
            return Caller.Anybody;
        AuthenticateResult result = await context.AuthenticateAsync();
        Caller? caller = result.Succeeded ? Authentication.CallerOf(result.Principal, file) : null;
        string name = caller?.Name ?? $"unknown at {context.Connection.RemoteIpAddress}";
        using RateLimitLease lease = rates.AttemptAcquire(name);
        if (!lease.IsAcquired)
        {
            context.Response.OnStarting(() =>
            {
                context.Response.Headers.RetryAfter = "1";
                return Task.CompletedTask;
            });
            throw new ApiException(StatusCodes.Status429TooManyRequests,
                $"{name} sends more than {file.Rate.RequestsPerSecond} requests a second; send fewer, or raise rate in the server's --auth file");
        }
        if (caller is not null)
            return caller;
        context.Response.OnStarting(() =>
        {
            context.Response.Headers.WWWAuthenticate = "Bearer";
            return Task.CompletedTask;
        });
        throw new ApiException(StatusCodes.Status401Unauthorized, result.Succeeded
            ? $"{result.Principal.Identity?.Name} proved who it is, but the server's --auth file gives it no role"
            : $"the server wants to know who you are{Why(result)}: give a token by PERFORATOR_TOKEN or PERFORATOR_TOKEN_FILE, or a client certificate");
    }

    private static string Why(AuthenticateResult result) => result.Failure switch
    {
        null => "",
        Microsoft.IdentityModel.Tokens.SecurityTokenExpiredException => " and the token has expired",
        Microsoft.IdentityModel.Tokens.SecurityTokenInvalidAudienceException => " and the token was made for another service (aud)",
        Microsoft.IdentityModel.Tokens.SecurityTokenSignatureKeyNotFoundException =>
            " and no key that this server has of the token's issuer, or can fetch there now, made its signature",
        Microsoft.IdentityModel.Tokens.SecurityTokenException => " and the token cannot be trusted",
        { Message: var message } => $" and {message}",
    };

    private static ApiException Forbidden(Caller caller, Role role, string? service) => new(StatusCodes.Status403Forbidden,
        $"{caller.Name} has not the role {role.ToString().ToLowerInvariant()}{(service is null ? "" : $" for {Branches.ProfileLabels.Printable(service, 100)}")}; the server's --auth file gives roles");

    public void Dispose() => rates.Dispose();
}

/// <summary>What routes say of access.</summary>
internal static class AccessControlRoutes
{
    /// <summary>Lets only callers with a role through.</summary>
    public static TBuilder Requires<TBuilder>(this TBuilder route, Role role)
        where TBuilder : IEndpointConventionBuilder
    {
        route.Add(endpoint => endpoint.Metadata.Add(new RequiredRole(role)));
        return route;
    }

    /// <summary>Who sends this request.</summary>
    public static Caller Caller(this HttpContext context) => context.Features.Get<Caller>() ?? Auth.Caller.Anybody;
}
