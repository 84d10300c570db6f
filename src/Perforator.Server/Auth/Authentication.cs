using System.Security.Claims;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authentication.Certificate;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;

namespace Perforator.Server.Auth;

/// <summary>Finds out who sends a request: a scheme of ASP.NET Core's for each kind of credential in the access file.</summary>
internal static class Authentication
{
    private const string Dispatcher = "any";
    private const string CertificateScheme = "certificate";

    /// <summary>Adds the schemes that a file asks for.</summary>
    /// <exception cref="UserErrorException">A file that it names cannot be used.</exception>
    public static void Add(IServiceCollection services, AccessFile file)
    {
        AuthenticationBuilder schemes = services.AddAuthentication(Dispatcher);
        schemes.AddPolicyScheme(Dispatcher, null, options => options.ForwardDefaultSelector = context => SchemeOf(context.Request, file));
        schemes.AddScheme<StaticTokens.Settings, StaticTokens>(StaticTokens.SchemeName, options => options.Tokens = file.Tokens);
        for (int i = 0; i < file.Jwt.Count; i++)
        {
            AccessFile.IssuerEntry issuer = file.Jwt[i];
            IList<SecurityKey>? keys = issuer.Keys is { } path ? LoadKeys(path) : null;
            schemes.AddJwtBearer(JwtScheme(i), options =>
            {
                options.MapInboundClaims = false;
                options.TokenValidationParameters = new TokenValidationParameters
                {
                    ValidIssuer = issuer.Issuer,
                    ValidAudience = issuer.Audience,
                    IssuerSigningKeys = keys,
                    NameClaimType = JwtRegisteredClaimNames.Sub,
                    RequireExpirationTime = true,
                    RequireSignedTokens = true,
                };
                if (keys is null)
                    options.Authority = issuer.Issuer;
            });
        }
        if (file.Certificates is { } certificates)
        {
            X509Certificate2Collection authorities = LoadAuthorities(certificates.Authority);
            schemes.AddCertificate(CertificateScheme, options =>
            {
                options.AllowedCertificateTypes = CertificateTypes.Chained;
                options.ChainTrustValidationMode = X509ChainTrustMode.CustomRootTrust;
                options.CustomTrustStore = authorities;
                // Short-lived certificates are the field's answer; revocation lists would be fetched from wherever a certificate says.
                options.RevocationMode = X509RevocationMode.NoCheck;
                options.Events = new CertificateAuthenticationEvents
                {
                    OnCertificateValidated = static context =>
                    {
                        string name = context.ClientCertificate.GetNameInfo(X509NameType.SimpleName, forIssuer: false);
                        context.Principal = new ClaimsPrincipal(new ClaimsIdentity([new Claim(ClaimTypes.Name, name)], CertificateScheme));
                        context.Success();
                        return Task.CompletedTask;
                    },
                };
            });
        }
    }

    /// <summary>Who an authenticated principal is to us; null when the file names nobody like that.</summary>
    public static Caller? CallerOf(ClaimsPrincipal principal, AccessFile file)
    {
        if (principal.Identity is not ClaimsIdentity { IsAuthenticated: true } identity)
            return null;
        if (identity.AuthenticationType == StaticTokens.SchemeName)
            return file.Tokens.FirstOrDefault(entry => entry.Name == identity.Name) is { } token
                ? new Caller($"token {token.Name}", [token.ToGrant()]) : null;
        (string kind, IList<AccessFile.SubjectEntry> entries) = identity.AuthenticationType == CertificateScheme
            ? (CertificateScheme, file.Certificates!.Identities)
            : ("jwt", file.Jwt.FirstOrDefault(issuer => issuer.Issuer == identity.FindFirst(JwtRegisteredClaimNames.Iss)?.Value)?.Identities
                ?? []);
        string subject = identity.Name ?? "";
        List<Grant> grants = [.. entries.Where(entry => NamePattern.Fits(entry.Subject, subject)).Select(static entry => entry.ToGrant())];
        return grants.Count == 0 ? null : new Caller($"{kind} {subject}", grants);
    }

    private static string JwtScheme(int index) => $"jwt{index}";

    /// <summary>The scheme for the credential that a request presents. A token's issuer is read here and proved by the scheme.</summary>
    private static string SchemeOf(HttpRequest request, AccessFile file)
    {
        if (StaticTokens.BearerOf(request) is { } bearer)
        {
            JsonWebTokenHandler handler = new();
            if (handler.CanReadToken(bearer))
                for (int i = 0; i < file.Jwt.Count; i++)
                    if (IssuerOf(handler, bearer) == file.Jwt[i].Issuer)
                        return JwtScheme(i);
            return StaticTokens.SchemeName;
        }
        return file.Certificates is not null && request.HttpContext.Connection.ClientCertificate is not null
            ? CertificateScheme : StaticTokens.SchemeName;
    }

    private static string? IssuerOf(JsonWebTokenHandler handler, string token)
    {
        try
        {
            return handler.ReadJsonWebToken(token).Issuer;
        }
        catch (ArgumentException)
        {
            return null;
        }
    }

    private static IList<SecurityKey> LoadKeys(string path)
    {
        try
        {
            IList<SecurityKey> keys = new JsonWebKeySet(File.ReadAllText(path)).GetSigningKeys();
            return keys.Count > 0
                ? keys : throw new UserErrorException($"{path} (--auth, keys) holds no signing keys; give the issuer's JSON Web Key Set");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or System.Text.Json.JsonException)
        {
            throw new UserErrorException($"cannot use {path} (--auth, keys): {e.Message}", e);
        }
    }

    private static X509Certificate2Collection LoadAuthorities(string path)
    {
        X509Certificate2Collection authorities = [];
        try
        {
            authorities.ImportFromPemFile(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or CryptographicException)
        {
            throw new UserErrorException($"cannot use {path} (--auth, authority): {e.Message}", e);
        }
        return authorities.Count > 0
            ? authorities : throw new UserErrorException($"{path} (--auth, authority) holds no certificate in PEM form");
    }
}
