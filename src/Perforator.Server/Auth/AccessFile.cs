using YamlDotNet.Core;
using YamlDotNet.Serialization;
using YamlDotNet.Serialization.NamingConventions;

namespace Perforator.Server.Auth;

/// <summary>
/// Who may do what, as the file of <c>serve --auth</c> has it. docs/security.md describes the file; <see cref="Load"/> refuses what it
/// does not understand, naming line and key.
/// </summary>
public sealed record AccessFile
{
    /// <summary>Callers that present a token of their own.</summary>
    public IList<TokenEntry> Tokens { get; init; } = [];

    /// <summary>Issuers of JSON Web Tokens.</summary>
    public IList<IssuerEntry> Jwt { get; init; } = [];

    /// <summary>Client certificates, or null where none are asked for.</summary>
    public CertificatesEntry? Certificates { get; init; }

    /// <summary>How many requests a caller may send.</summary>
    public RateEntry Rate { get; init; } = new();

    /// <summary>A static token, of which only the hash is known.</summary>
    public sealed record TokenEntry : IdentityEntry
    {
        /// <summary>How the audit log names its bearer.</summary>
        public string Name { get; init; } = "";

        /// <summary>SHA-256 of the token, in hexadecimal. Tokens are long and random, so that a plain hash will do.</summary>
        public string Sha256 { get; init; } = "";
    }

    /// <summary>An issuer of JSON Web Tokens: an OpenID provider, or Kubernetes with its service accounts.</summary>
    public sealed record IssuerEntry
    {
        /// <summary>
        /// The claim <c>iss</c>, and where the issuer's OpenID configuration is unless <see cref="Keys"/> says otherwise.
        /// </summary>
        public string Issuer { get; init; } = "";

        /// <summary>The claim <c>aud</c>: a token made for another service is refused.</summary>
        public string Audience { get; init; } = "";

        /// <summary>A file with the issuer's keys as a JSON Web Key Set, for servers that cannot reach the issuer.</summary>
        public string? Keys { get; init; }

        /// <summary>Whose tokens are taken.</summary>
        public IList<SubjectEntry> Identities { get; init; } = [];
    }

    /// <summary>Client certificates of one authority.</summary>
    public sealed record CertificatesEntry
    {
        /// <summary>A PEM file with the certificates of the authorities that sign clients' ones.</summary>
        public string Authority { get; init; } = "";

        /// <summary>Whose certificates are taken.</summary>
        public IList<SubjectEntry> Identities { get; init; } = [];
    }

    /// <summary>What an identity may do.</summary>
    public abstract record IdentityEntry
    {
        /// <summary>upload, read or admin.</summary>
        public IList<Role> Roles { get; init; } = [];

        /// <summary>Patterns of the names of the services meant; all by default.</summary>
        public IList<string> Services { get; init; } = ["*"];

        internal Grant ToGrant() => new([.. Roles], [.. Services]);
    }

    /// <summary>Identities whose subject fits a pattern.</summary>
    public sealed record SubjectEntry : IdentityEntry
    {
        /// <summary>A pattern of the claim <c>sub</c>, or of a certificate's common name; '*' stands for any text.</summary>
        public string Subject { get; init; } = "";
    }

    /// <summary>A token bucket for each caller.</summary>
    public sealed record RateEntry
    {
        /// <summary>Requests a second in the long run.</summary>
        public int RequestsPerSecond { get; init; } = 100;

        /// <summary>Requests that may come at once.</summary>
        public int Burst { get; init; } = 1000;
    }

    /// <summary>Reads and checks the file.</summary>
    /// <exception cref="UserErrorException">It cannot be read, or says something that makes no sense; the message names file, line and
    /// key.</exception>
    public static AccessFile Load(string path)
    {
        AccessFile file;
        try
        {
            IDeserializer yaml =
                new DeserializerBuilder().WithNamingConvention(HyphenatedNamingConvention.Instance).WithEnforceRequiredMembers()
                .WithDuplicateKeyChecking().WithCaseInsensitivePropertyMatching().Build();
            using StreamReader text = new(path);
            file = yaml.Deserialize<AccessFile?>(text) ?? throw Wrong(path, "it is empty");
        }
        catch (YamlException e)
        {
            throw new UserErrorException($"{path}, line {e.Start.Line}: {Reason(e)}; docs/security.md shows such a file", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UserErrorException($"cannot read {path} (--auth): {e.Message}", e);
        }
        file.Check(path);
        return file;
    }

    private void Check(string path)
    {
        if (Tokens.Count == 0 && Jwt.Count == 0 && Certificates is null)
            throw Wrong(path, "it names nobody: give tokens, jwt or certificates");
        foreach (TokenEntry token in Tokens)
        {
            Require(token.Name, "tokens: name");
            if (token.Sha256.Length != 64 || !token.Sha256.All(char.IsAsciiHexDigit))
                throw Wrong(path, $"token {token.Name}: sha256 is not 64 hexadecimal digits; printf %s \"$TOKEN\" | sha256sum makes them");
            CheckIdentity(token, $"token {token.Name}");
        }
        foreach (IssuerEntry issuer in Jwt)
        {
            Require(issuer.Issuer, "jwt: issuer");
            Require(issuer.Audience, $"issuer {issuer.Issuer}: audience");
            if (issuer.Keys is null && !issuer.Issuer.StartsWith("https://", StringComparison.Ordinal))
                throw Wrong(path, $"issuer {issuer.Issuer} is no https:// address, so its keys cannot be fetched: name a file with them under keys");
            CheckSubjects(issuer.Identities, $"issuer {issuer.Issuer}");
        }
        if (Certificates is { } certificates)
        {
            Require(certificates.Authority, "certificates: authority");
            CheckSubjects(certificates.Identities, "certificates");
        }
        if (Rate.RequestsPerSecond < 1 || Rate.Burst < 1)
            throw Wrong(path, "rate: requests-per-second and burst are 1 or more");

        void CheckSubjects(IList<SubjectEntry> identities, string where)
        {
            if (identities.Count == 0)
                throw Wrong(path, $"{where}: identities are missing, so nobody could use it");
            foreach (SubjectEntry identity in identities)
            {
                Require(identity.Subject, $"{where}: subject");
                CheckIdentity(identity, $"{where}, {identity.Subject}");
            }
        }

        void CheckIdentity(IdentityEntry identity, string where)
        {
            if (identity.Roles.Count == 0)
                throw Wrong(path, $"{where}: roles are missing; they are upload, read and admin");
        }

        void Require(string value, string key)
        {
            if (value.Length == 0)
                throw Wrong(path, $"{key} is missing");
        }
    }

    private static UserErrorException Wrong(string path, string problem) => new($"{path} (--auth): {problem}");

    private static string Reason(YamlException e) => (e.InnerException ?? e).Message.ReplaceLineEndings(" ");
}
