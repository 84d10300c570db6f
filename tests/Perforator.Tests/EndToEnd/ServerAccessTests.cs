using System.Diagnostics;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using Perforator.Api;
using Perforator.Branches;
using Perforator.Tests.Infrastructure;
using Perforator.Tests.Server;

namespace Perforator.Tests.EndToEnd;

/// <summary>Who may do what with a real server, what it listens on, and what of the web it keeps out.</summary>
public class ServerAccessTests
{
    private const string Issuer = "https://issuer.test";

    private static HttpRequestMessage Request(HttpMethod method, string path, string? bearer = null, byte[]? profile = null)
    {
        HttpRequestMessage request = new(method, path);
        if (bearer is not null)
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", bearer);
        if (profile is not null)
            request.Content = new ByteArrayContent(profile) { Headers = { ContentType = new MediaTypeHeaderValue(ApiMediaTypes.Branches) } };
        return request;
    }

    private static async Task<HttpStatusCode> StatusAsync(HttpClient client, HttpRequestMessage request)
    {
        using (request)
        using (HttpResponseMessage response = await client.SendAsync(request))
            return response.StatusCode;
    }

    private static byte[] Profile(string service) => BranchProfileCodec.Encode(Uploads.Set(service));

    internal static string HashOf(string token) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(token)));

    [Fact]
    public async Task Each_credential_does_what_its_roles_say_and_nothing_else()
    {
        using TemporaryFolder folder = new();
        using TestAuthority authority = new();
        using TestAuthority stranger = new("another authority");
        folder.Write("keys.json", authority.KeySet);
        folder.Write("ca.pem", authority.Root.ExportCertificatePem());
        using (X509Certificate2 own = authority.Issue("localhost"))
        {
            folder.Write("server.pem", own.ExportCertificatePem());
            folder.Write("server.key", own.GetRSAPrivateKey()!.ExportPkcs8PrivateKeyPem());
        }
        string access = folder.Write("access.yaml", $"""
            tokens:
              - name: build farm
                sha256: {HashOf("token-of-the-farm")}
                roles: [read]
                services: ["search*"]
              - name: operator
                sha256: {HashOf("token-of-the-operator")}
                roles: [admin]
            jwt:
              - issuer: {Issuer}
                audience: perforator
                keys: {folder["keys.json"]}
                identities:
                  - subject: "system:serviceaccount:perforator:agent"
                    roles: [upload]
            certificates:
              authority: {folder["ca.pem"]}
              identities:
                - subject: "agent-*"
                  roles: [upload]
                  services: [ads]
            """);
        using ServerProcess server = ServerProcess.Start(folder["data"], 0,
            "--listen", "https://127.0.0.1:0", "--tls-certificate", folder["server.pem"], "--tls-key", folder["server.key"], "--auth", access,
            "--audit-log", folder["audit"]);
        Assert.Equal("https", server.Address.Scheme);
        using HttpClient https = server.Client(trusted: authority.Root);
        string agent = authority.Token(Issuer, "perforator", "system:serviceaccount:perforator:agent", TimeSpan.FromHours(1));

        Task<HttpStatusCode> Get(string path, string? bearer) => StatusAsync(https, Request(HttpMethod.Get, path, bearer));
        Task<HttpStatusCode> Upload(string service, string? bearer) =>
            StatusAsync(https, Request(HttpMethod.Post, "api/v1/profiles", bearer, Profile(service)));

        // Nobody, and credentials that prove nothing.
        foreach (string open in (string[])["health", "healthz", "readyz"])
            Assert.Equal(HttpStatusCode.OK, await Get(open, null));
        Assert.Equal(HttpStatusCode.Unauthorized, await Get("metrics", null));
        Assert.Equal(HttpStatusCode.Forbidden, await Get("metrics", "token-of-the-farm"));
        Assert.Equal(HttpStatusCode.OK, await Get("metrics", "token-of-the-operator"));
        Assert.Equal(HttpStatusCode.Unauthorized, await Get("api/v1/services", null));
        Assert.Equal(HttpStatusCode.Unauthorized, await Get("api/v1/services", "token-of-the-far"));
        Assert.Equal(
            HttpStatusCode.Unauthorized,
            await Upload(
                "search", authority.Token(Issuer, "perforator", "system:serviceaccount:perforator:agent", TimeSpan.FromHours(-1))));
        Assert.Equal(
            HttpStatusCode.Unauthorized,
            await Upload(
                "search", authority.Token(Issuer, "another service", "system:serviceaccount:perforator:agent", TimeSpan.FromHours(1))));
        Assert.Equal(
            HttpStatusCode.Unauthorized,
            await Upload("search", stranger.Token(Issuer, "perforator", "system:serviceaccount:perforator:agent", TimeSpan.FromHours(1))));
        Assert.Equal(
            HttpStatusCode.Unauthorized,
            await Upload("search", authority.Token(Issuer, "perforator", "system:serviceaccount:other:agent", TimeSpan.FromHours(1))));

        // A token of an issuer that may upload.
        Assert.Equal(HttpStatusCode.OK, await Upload("search", agent));
        Assert.Equal(HttpStatusCode.OK, await Upload("ads", agent));
        Assert.Equal(HttpStatusCode.Forbidden, await Get("api/v1/services", agent));

        // A token that may read some services.
        Assert.Equal(HttpStatusCode.OK, await Get("api/v1/services/search", "token-of-the-farm"));
        Assert.Equal(HttpStatusCode.Forbidden, await Get("api/v1/services/ads", "token-of-the-farm"));
        Assert.Equal(HttpStatusCode.Forbidden, await Upload("search", "token-of-the-farm"));
        using (HttpRequestMessage request = Request(HttpMethod.Get, "api/v1/services", "token-of-the-farm"))
        using (HttpResponseMessage response = await https.SendAsync(request))
        {
            string listed = await response.Content.ReadAsStringAsync();
            Assert.Contains("\"search\"", listed, StringComparison.Ordinal);
            Assert.DoesNotContain("\"ads\"", listed, StringComparison.Ordinal);
        }
        // Nor does a mistyped name tell of others'.
        using (HttpRequestMessage request = Request(HttpMethod.Get, "api/v1/services/search-2/pgo", "token-of-the-farm"))
        using (HttpResponseMessage response = await https.SendAsync(request))
        {
            string told = await response.Content.ReadAsStringAsync();
            Assert.Contains("known services: search\"", told, StringComparison.Ordinal);
        }
        Assert.Equal(HttpStatusCode.OK, await Get("api/v1/services/ads", "token-of-the-operator"));

        // Certificates: of the authority and the name meant, of another name, of another authority.
        using (X509Certificate2 certificate = authority.Issue("agent-7"))
        using (HttpClient client = server.Client(certificate, authority.Root))
        {
            Assert.Equal(HttpStatusCode.OK, await StatusAsync(client, Request(HttpMethod.Post, "api/v1/profiles", null, Profile("ads"))));
            Assert.Equal(
                HttpStatusCode.Forbidden, await StatusAsync(client, Request(HttpMethod.Post, "api/v1/profiles", null, Profile("search"))));
        }
        using (X509Certificate2 certificate = authority.Issue("somebody"))
        using (HttpClient client = server.Client(certificate, authority.Root))
            Assert.Equal(
                HttpStatusCode.Unauthorized, await StatusAsync(client, Request(HttpMethod.Post, "api/v1/profiles", null, Profile("ads"))));
        using (X509Certificate2 certificate = stranger.Issue("agent-7"))
        using (HttpClient client = server.Client(certificate, authority.Root))
            Assert.Equal(
                HttpStatusCode.Unauthorized, await StatusAsync(client, Request(HttpMethod.Post, "api/v1/profiles", null, Profile("ads"))));

        // The CLI shows what its environment has, and checks the server's certificate.
        Dictionary<string, string> environment =
            new() { ["PERFORATOR_CA_FILE"] = folder["ca.pem"], ["PERFORATOR_TOKEN"] = "token-of-the-operator" };
        string[] list = ["services", "--json", "--server", server.Address.ToString()];
        Assert.Contains("\"ads\"", Tool.Run(Tool.Perforator, list, environment: environment).Succeeded().Output, StringComparison.Ordinal);
        environment.Remove("PERFORATOR_TOKEN");
        ToolResult refused = Tool.Run(Tool.Perforator, list, environment: environment);
        Assert.Equal(1, refused.ExitCode);
        Assert.Contains("PERFORATOR_TOKEN", refused.Error, StringComparison.Ordinal);
        Assert.Equal(1, Tool.Run(Tool.Perforator, list).ExitCode);

        Assert.Equal(0, server.Terminate());
        string audit = File.ReadAllText(folder["audit"]);
        Assert.Matches(
            "\"caller\":\"jwt system:serviceaccount:perforator:agent\".*\"path\":\"/api/v1/profiles\".*\"status\":200,\"service\":\"ads\"",
            audit);
        Assert.Matches("\"caller\":\"token build farm\".*\"status\":403", audit);
        Assert.Matches("\"caller\":\"unknown\".*\"status\":401", audit);
        Assert.DoesNotContain("anybody", audit, StringComparison.Ordinal);
        Assert.DoesNotContain("token-of-the", audit, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_caller_that_sends_too_much_is_told_to_wait_and_others_are_served()
    {
        using TemporaryFolder folder = new();
        string access = folder.Write("access.yaml", $"""
            rate: {"{"} requests-per-second: 1, burst: 5 {"}"}
            tokens:
              - {"{"} name: eager, sha256: {HashOf("a")}, roles: [read] {"}"}
              - {"{"} name: calm, sha256: {HashOf("b")}, roles: [read] {"}"}
            """);
        using ServerProcess server = ServerProcess.Start(folder["data"], 0, "--auth", access);
        List<HttpStatusCode> answers = [];
        for (int i = 0; i < 12; i++)
            answers.Add(await StatusAsync(server.Http, Request(HttpMethod.Get, "api/v1/services", "a")));
        Assert.Contains(HttpStatusCode.OK, answers);
        Assert.Contains(HttpStatusCode.TooManyRequests, answers);
        Assert.Equal(HttpStatusCode.OK, await StatusAsync(server.Http, Request(HttpMethod.Get, "api/v1/services", "b")));
    }

    [Fact]
    public async Task Pages_of_others_reach_no_server_on_loopback()
    {
        using TemporaryFolder folder = new();
        using ServerProcess server = ServerProcess.Start(folder["data"], 0, "--host", "perforator.example");
        async Task<HttpStatusCode> As(string host)
        {
            HttpRequestMessage request = Request(HttpMethod.Get, "api/v1/services");
            request.Headers.Host = host;
            return await StatusAsync(server.Http, request);
        }
        Assert.Equal(HttpStatusCode.MisdirectedRequest, await As("evil.example"));
        Assert.Equal(HttpStatusCode.OK, await As("localhost:7733"));
        Assert.Equal(HttpStatusCode.OK, await As("perforator.example"));
        Assert.Equal(HttpStatusCode.OK, await As("[::1]"));

        // What fetch(…, {mode: 'no-cors', body: new Blob([…])}) sends: no content type, and the browser's word that it is another site's.
        using (HttpRequestMessage untyped = new(HttpMethod.Post, "api/v1/profiles") { Content = new ByteArrayContent(Profile("search")) })
            Assert.Equal(HttpStatusCode.UnsupportedMediaType, (await server.Http.SendAsync(untyped)).StatusCode);
        HttpRequestMessage foreign = Request(HttpMethod.Post, "api/v1/profiles", null, Profile("search"));
        foreign.Headers.Add("Sec-Fetch-Site", "cross-site");
        Assert.Equal(HttpStatusCode.Forbidden, await StatusAsync(server.Http, foreign));
        Assert.Equal("[]", (await server.Http.GetStringAsync("api/v1/services")).Trim());
    }

    [Fact]
    public async Task An_audit_line_that_its_file_does_not_take_is_in_the_log()
    {
        using TemporaryFolder folder = new();
        using ServerProcess server = ServerProcess.Start(folder["data"], 0, "--audit-log", "/dev/full");
        for (int i = 0; i < 3; i++)
            await server.UploadAsync(Uploads.Set(minute: i));
        Assert.Equal(0, server.Terminate());
        Assert.Equal(
            3, server.Error.Split("the audit log cannot be written to (No space left on device", StringSplitOptions.None).Length - 1);
        Assert.Contains("\"path\":\"/api/v1/profiles\"", server.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("http://example.com:17744", "not an address of this machine")]
    [InlineData("http://0.0.0.0:17744", "--auth FILE, or --insecure")]
    [InlineData("https://127.0.0.1:0", "--tls-certificate and --tls-key")]
    [InlineData("http://127.0.0.1:0/path", "has a path or a user")]
    public void What_cannot_be_listened_on_is_said_in_one_line(string listen, string reason)
    {
        using TemporaryFolder folder = new();
        ToolResult result = Tool.Cli("serve", "--data", folder["data"], "--listen", listen);
        Assert.Equal((1, ""), (result.ExitCode, result.Output));
        Assert.Contains(reason, result.Error, StringComparison.Ordinal);
        Assert.Single(result.Error.Trim().Split('\n'));
    }

    [Theory]
    [InlineData("tokens:\n  - name: x\n    sha256: 12\n    roles: [read]\n", "64 hexadecimal digits")]
    [InlineData("tokens:\n  - name: x\n    roless: [read]\n", "line 3")]
    [InlineData("tokens:\n  - name: x\n    roles: [reader]\n", "line 3")]
    [InlineData("rate: { burst: 3 }\n", "names nobody")]
    [InlineData("jwt:\n  - issuer: http://x\n    audience: y\n    identities: [{ subject: z, roles: [read] }]\n", "no https:// address")]
    public void A_mistake_in_the_access_file_is_named_with_its_place(string yaml, string reason)
    {
        using TemporaryFolder folder = new();
        ToolResult result = Tool.Cli("serve", "--data", folder["data"], "--port", "0", "--auth", folder.Write("access.yaml", yaml));
        Assert.Equal((1, ""), (result.ExitCode, result.Output));
        Assert.Contains(reason, result.Error, StringComparison.Ordinal);
        Assert.Single(result.Error.Trim().Split('\n'));
    }

    [Fact]
    public async Task A_server_told_to_end_finishes_the_requests_under_way()
    {
        using TemporaryFolder folder = new();
        using ServerProcess server = ServerProcess.Start(folder["data"]);
        byte[] profile = Profile("search");
        using TcpClient client = new(server.Address.Host, server.Address.Port);
        NetworkStream stream = client.GetStream();
        await stream.WriteAsync(Encoding.ASCII.GetBytes(
            $"POST /api/v1/profiles HTTP/1.1\r\nHost: localhost\r\nContent-Type: {ApiMediaTypes.Branches}\r\nContent-Length: {profile.Length}\r\n\r\n"));
        await stream.WriteAsync(profile.AsMemory(0, profile.Length - 1));
        await Task.Delay(200);
        Task<int> end = Task.Run(server.Terminate);
        // Longer than the two seconds that a process of the command line is given by default.
        await Task.Delay(2500);
        Assert.False(end.IsCompleted);
        await stream.WriteAsync(profile.AsMemory(profile.Length - 1));
        byte[] answer = new byte[200];
        int n = await stream.ReadAsync(answer);
        Assert.StartsWith("HTTP/1.1 200", Encoding.ASCII.GetString(answer, 0, n), StringComparison.Ordinal);
        client.Close();
        Assert.Equal(0, await end);
    }

    [Fact]
    public async Task Bodies_that_begin_wrongly_or_claim_too_much_cost_nothing()
    {
        using TemporaryFolder folder = new();
        using ServerProcess server = ServerProcess.Start(folder["data"]);
        byte[] wrong = new byte[60 << 20];
        long before = ResidentKib(server.Id);
        await Task.WhenAll(Enumerable.Range(0, 20).Select(async _ =>
        {
            try
            {
                Assert.Equal(
                    HttpStatusCode.BadRequest, await StatusAsync(server.Http, Request(HttpMethod.Post, "api/v1/profiles", null, wrong)));
            }
            catch (HttpRequestException)
            {
                // The server need not read what it has refused.
            }
        }));
        Assert.True(ResidentKib(server.Id) - before < 300 << 10, "twenty refused bodies of 60 MiB were kept in memory");
        Assert.Equal(
            HttpStatusCode.OK, await StatusAsync(server.Http, Request(HttpMethod.Post, "api/v1/profiles", null, Profile("search"))));
    }

    private static long ResidentKib(int process)
    {
        using Process server = Process.GetProcessById(process);
        return server.WorkingSet64 >> 10;
    }
}
