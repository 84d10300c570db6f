using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Perforator.Api;

/// <summary>
/// What a client shows the server, from the environment: a token (<c>PERFORATOR_TOKEN</c> or <c>PERFORATOR_TOKEN_FILE</c>), a
/// certificate (<c>PERFORATOR_CLIENT_CERTIFICATE</c> and <c>PERFORATOR_CLIENT_KEY</c>), and whom it trusts beside the machine's
/// authorities (<c>PERFORATOR_CA_FILE</c>).
/// </summary>
internal static class ServerCredentials
{
    private const string Token = "PERFORATOR_TOKEN";
    private const string TokenFile = "PERFORATOR_TOKEN_FILE";
    private const string ClientCertificate = "PERFORATOR_CLIENT_CERTIFICATE";
    private const string ClientKey = "PERFORATOR_CLIENT_KEY";
    private const string AuthorityFile = "PERFORATOR_CA_FILE";

    /// <summary>Makes a handler present what there is.</summary>
    /// <exception cref="UserErrorException">A file that the environment names cannot be used.</exception>
    public static HttpMessageHandler AddTo(SocketsHttpHandler handler)
    {
        if (Variable(ClientCertificate) is { } certificate)
            handler.SslOptions.ClientCertificates = [Use(ClientCertificate, certificate, file => LoadWithKey(file, Variable(ClientKey)))];
        if (Variable(AuthorityFile) is { } authorities)
        {
            X509Certificate2Collection trusted = Use(AuthorityFile, authorities, static file =>
            {
                X509Certificate2Collection read = [];
                read.ImportFromPemFile(file);
                return read;
            });
            handler.SslOptions.CertificateChainPolicy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
            handler.SslOptions.CertificateChainPolicy.CustomTrustStore.AddRange(trusted);
        }
        return Variable(Token) is not null || Variable(TokenFile) is not null ? new Bearer(handler) : handler;
    }

    private static string? Variable(string name) => Environment.GetEnvironmentVariable(name) is { Length: > 0 } value ? value : null;

    private static X509Certificate2 LoadWithKey(string file, string? key)
    {
        using X509Certificate2 read = X509Certificate2.CreateFromPemFile(file, key);
        // A key that came from PEM is ephemeral, which TLS on some platforms cannot use.
        return X509CertificateLoader.LoadPkcs12(read.Export(X509ContentType.Pkcs12), null);
    }

    private static T Use<T>(string variable, string file, Func<string, T> load)
    {
        try
        {
            return load(file);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or CryptographicException)
        {
            throw new UserErrorException($"cannot use {file} ({variable}): {e.Message}", e);
        }
    }

    /// <summary>Adds the token to each request. A file is read each time: what puts it there (Kubernetes, Vault) renews it.</summary>
    private sealed class Bearer(HttpMessageHandler inner) : DelegatingHandler(inner)
    {
        protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            string token = Variable(Token) ?? Use(TokenFile, Variable(TokenFile)!, File.ReadAllText);
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token.Trim());
            return base.SendAsync(request, cancellationToken);
        }
    }
}
