using System.Buffers.Text;
using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Perforator.Tests.Infrastructure;

/// <summary>An authority of a test's own: it signs certificates of servers and clients, and JSON Web Tokens.</summary>
internal sealed class TestAuthority : IDisposable
{
    private readonly RSA key = RSA.Create(2048);

    public TestAuthority(string name = "test authority")
    {
        CertificateRequest request = new($"CN={name}", key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        Root = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(2));
    }

    /// <summary>Its own certificate.</summary>
    public X509Certificate2 Root { get; }

    /// <summary>Its public key as a JSON Web Key Set.</summary>
    public string KeySet
    {
        get
        {
            RSAParameters parameters = key.ExportParameters(false);
            return new JsonObject
            {
                ["keys"] = new JsonArray(new JsonObject
                {
                    ["kty"] = "RSA",
                    ["kid"] = "k1",
                    ["use"] = "sig",
                    ["alg"] = "RS256",
                    ["n"] = Base64Url.EncodeToString(parameters.Modulus),
                    ["e"] = Base64Url.EncodeToString(parameters.Exponent),
                }),
            }.ToJsonString();
        }
    }

    /// <summary>Makes a certificate for localhost and 127.0.0.1, or for a client of that name, valid for a day.</summary>
    public X509Certificate2 Issue(string name)
    {
        using RSA own = RSA.Create(2048);
        CertificateRequest request = new($"CN={name}", own, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        SubjectAlternativeNameBuilder names = new();
        names.AddDnsName("localhost");
        names.AddIpAddress(IPAddress.Loopback);
        request.CertificateExtensions.Add(names.Build());
        using X509Certificate2 signed =
            request.Create(Root, DateTimeOffset.UtcNow.AddHours(-1), DateTimeOffset.UtcNow.AddDays(1), RandomNumberGenerator.GetBytes(8));
        using X509Certificate2 withKey = signed.CopyWithPrivateKey(own);
        return X509CertificateLoader.LoadPkcs12(withKey.Export(X509ContentType.Pkcs12), null, X509KeyStorageFlags.Exportable);
    }

    /// <summary>Makes a JSON Web Token (RS256).</summary>
    public string Token(string issuer, string audience, string subject, TimeSpan validFor)
    {
        string head = Encode(new JsonObject { ["alg"] = "RS256", ["typ"] = "JWT", ["kid"] = "k1" });
        DateTimeOffset now = DateTimeOffset.UtcNow;
        string body = Encode(new JsonObject
        {
            ["iss"] = issuer,
            ["aud"] = audience,
            ["sub"] = subject,
            ["nbf"] = Math.Min(now.ToUnixTimeSeconds(), (now + validFor).ToUnixTimeSeconds()) - 7200,
            ["exp"] = (now + validFor).ToUnixTimeSeconds(),
        });
        string signature =
            Base64Url.EncodeToString(
                key.SignData(Encoding.ASCII.GetBytes($"{head}.{body}"), HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1));
        return $"{head}.{body}.{signature}";
    }

    private static string Encode(JsonObject part) =>
        Base64Url.EncodeToString(Encoding.UTF8.GetBytes(part.ToJsonString(JsonSerializerOptions.Default)));

    public void Dispose()
    {
        Root.Dispose();
        key.Dispose();
    }
}
