using System.Security.Claims;
using System.Security.Cryptography;
using System.Text;
using System.Text.Encodings.Web;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Perforator.Server.Auth;

/// <summary>Accepts the static tokens of the access file, each known by its hash alone.</summary>
internal sealed class StaticTokens : AuthenticationHandler<StaticTokens.Settings>
{
    /// <summary>The name of the scheme.</summary>
    public const string SchemeName = "token";

    private const string Prefix = "Bearer ";

    /// <summary>Which tokens there are.</summary>
    public sealed class Settings : AuthenticationSchemeOptions
    {
        /// <summary>Who bears which token.</summary>
        public IList<AccessFile.TokenEntry> Tokens { get; set; } = [];
    }

    public StaticTokens(IOptionsMonitor<Settings> options, ILoggerFactory logger, UrlEncoder encoder) : base(options, logger, encoder) { }

    /// <summary>The bearer token of a request, or null.</summary>
    public static string? BearerOf(HttpRequest request) =>
        request.Headers.Authorization.ToString() is { Length: > 7 } header && header.StartsWith(Prefix, StringComparison.OrdinalIgnoreCase)
            ? header[Prefix.Length..].Trim()
            : null;

    protected override Task<AuthenticateResult> HandleAuthenticateAsync()
    {
        if (BearerOf(Request) is not { } token)
            return Task.FromResult(AuthenticateResult.NoResult());
        byte[] hash = SHA256.HashData(Encoding.UTF8.GetBytes(token));
        AccessFile.TokenEntry? bearer = null;
        // All are compared, in constant time: how long it takes tells nothing of them.
        foreach (AccessFile.TokenEntry entry in Options.Tokens)
            if (CryptographicOperations.FixedTimeEquals(hash, Convert.FromHexString(entry.Sha256)))
                bearer ??= entry;
        if (bearer is null)
            return Task.FromResult(AuthenticateResult.Fail("the token is not known here"));
        ClaimsPrincipal principal = new(new ClaimsIdentity([new Claim(ClaimTypes.Name, bearer.Name)], Scheme.Name));
        return Task.FromResult(AuthenticateResult.Success(new AuthenticationTicket(principal, Scheme.Name)));
    }
}
