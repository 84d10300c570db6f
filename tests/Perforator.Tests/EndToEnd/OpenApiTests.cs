using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using System.Text.RegularExpressions;
using Perforator.Api;
using Perforator.Branches;
using Perforator.Tests.Branches;
using Perforator.Tests.Infrastructure;
using Perforator.Tests.Server;

namespace Perforator.Tests.EndToEnd;

/// <summary>The OpenAPI document holds for errors: what a server answers is described there, by status and by schema.</summary>
public sealed partial class OpenApiTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    /// <summary>What the document says of errors, and whether answers are as it says.</summary>
    private sealed class Document : IDisposable
    {
        private readonly JsonDocument json;
        private readonly Dictionary<string, string> types;

        public Document(string text)
        {
            json = JsonDocument.Parse(text);
            types = json.RootElement.GetProperty("components").GetProperty("schemas").GetProperty("ProblemDetails")
                .GetProperty("properties").EnumerateObject()
                .ToDictionary(static member => member.Name, static member => member.Value.GetProperty("type").ToString());
        }

        /// <summary>All operations: path template and method, upper case.</summary>
        public IEnumerable<(string Path, string Method, JsonElement Responses)> Operations =>
            json.RootElement.GetProperty("paths").EnumerateObject()
            .SelectMany(static path =>
                path.Value.EnumerateObject().Select(one => (path.Name, one.Name.ToUpperInvariant(), one.Value.GetProperty("responses"))));

        public static bool HasProblem(JsonElement response) =>
            response.TryGetProperty("content", out JsonElement content)
            && content.GetProperty("application/problem+json").GetProperty("schema").GetProperty("$ref")
                .GetString() == "#/components/schemas/ProblemDetails";

        /// <summary>Fails unless an error is one that the document tells of.</summary>
        /// <param name="isNamed">Whether its status has to be named, as it is no exception.</param>
        public async Task CheckAsync(HttpResponseMessage response, string template, bool isNamed = true)
        {
            string body = await response.Content.ReadAsStringAsync(), status = $"{(int)response.StatusCode}";
            string what = $"{response.RequestMessage!.Method} {template}: {status} {body}";
            Assert.True((int)response.StatusCode >= 400, what);
            JsonElement responses =
                Operations.Single(one => one.Path == template && one.Method == response.RequestMessage.Method.Method).Responses;
            Assert.True(responses.TryGetProperty(status, out JsonElement described)
                || (!isNamed && responses.TryGetProperty("default", out described)), $"not described: {what}");
            Assert.True(HasProblem(described), what);
            Assert.Equal("application/problem+json", response.Content.Headers.ContentType?.MediaType);
            using JsonDocument problem = JsonDocument.Parse(body);
            foreach (string member in (string[])["title", "status", "detail"])
            {
                JsonElement value = problem.RootElement.GetProperty(member);
                Assert.Contains(value.ValueKind == JsonValueKind.Number ? "integer" : "string", types[member], StringComparison.Ordinal);
            }
            Assert.Equal((int)response.StatusCode, problem.RootElement.GetProperty("status").GetInt32());
            Assert.DoesNotContain('\n', problem.RootElement.GetProperty("detail").GetString()!);
        }

        public void Dispose() => json.Dispose();
    }

    [GeneratedRegex(@"\{[^}]+\}")]
    private static partial Regex Parameter();

    /// <summary>A path that names nothing there is.</summary>
    private static string Filled(string template) =>
        Parameter().Replace(template, static match => match.Value == "{hash}" ? new string('0', 64) : "nothing");

    private static HttpRequestMessage Request(
        string method, string path, string? mediaType = null, byte[]? body = null, string? bearer = null)
    {
        HttpRequestMessage request = new(new HttpMethod(method), path.TrimStart('/'));
        if (bearer is not null)
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", bearer);
        if (body is not null)
            request.Content = new ByteArrayContent(body)
            {
                Headers = { ContentType = mediaType is null ? null : MediaTypeHeaderValue.Parse(mediaType) }
            };
        return request;
    }

    [Fact]
    public async Task Every_operation_says_what_its_errors_look_like_and_answers_so()
    {
        using ServerProcess server = ServerProcess.Start(folder["data"]);
        using Document document = new(await server.Http.GetStringAsync("api/v1/openapi.json"));
        Assert.True(document.Operations.Count() > 25);
        foreach ((string path, string method, JsonElement responses) in document.Operations)
        {
            Assert.True(responses.TryGetProperty("default", out _), $"{method} {path}");
            foreach (JsonProperty response in responses.EnumerateObject())
                if (method != "HEAD" && (response.Name == "default" || response.Name[0] is '4' or '5'))
                    Assert.True(Document.HasProblem(response.Value), $"{method} {path} {response.Name}");
        }

        await server.UploadAsync(Uploads.Set());
        async Task Fails(HttpStatusCode status, HttpRequestMessage request, string template)
        {
            using (request)
            using (HttpResponseMessage response = await server.Http.SendAsync(request))
            {
                Assert.True(response.StatusCode == status, $"{request.Method} {request.RequestUri}: {response.StatusCode} {await response.Content.ReadAsStringAsync()}");
                await document.CheckAsync(response, template);
            }
        }

        // Whatever names a thing is answered 404 where there is none.
        foreach ((string template, string method, _) in document.Operations.Where(
            static one => one.Path.Contains('{', StringComparison.Ordinal) && one.Method is "GET" or "DELETE"))
        {
            string path = Filled(template) + (template.EndsWith("/diff", StringComparison.Ordinal) ? "?from=00000000&to=00000000" : "")
                + (template.EndsWith("/fit", StringComparison.Ordinal) ? "?hash=00000000" : "");
            await Fails(HttpStatusCode.NotFound, Request(method, path), template);
        }
        const string Profiles = "/api/v1/profiles", Binary = "/api/v1/binaries/{buildId}", Service = "/api/v1/services/{service}", Pgo = $"{Service}/pgo";
        await Fails(HttpStatusCode.BadRequest, Request("POST", Profiles, ApiMediaTypes.Branches, new byte[100]), Profiles);
        await Fails(HttpStatusCode.UnsupportedMediaType, Request("POST", Profiles, "text/plain", new byte[100]), Profiles);
        byte[] ofNewer = BranchProfileCodec.Encode(Uploads.Set());
        ofNewer[8]++;
        await Fails(HttpStatusCode.UnsupportedMediaType, Request("POST", Profiles, ApiMediaTypes.Branches, ofNewer), Profiles);
        await Fails(HttpStatusCode.RequestEntityTooLarge, Request(
            "POST", Profiles, ApiMediaTypes.Branches, BranchProfileCodecTests.Bomb(22_000_000)), Profiles);
        await Fails(HttpStatusCode.BadRequest, Request("PUT", "/api/v1/binaries/xyz", ApiMediaTypes.Bytes, new byte[100]), Binary);
        await Fails(HttpStatusCode.BadRequest, Request("PUT", "/api/v1/binaries/aa01", ApiMediaTypes.Bytes, new byte[100]), Binary);
        await Fails(HttpStatusCode.UnsupportedMediaType, Request("PUT", "/api/v1/binaries/aa01", "text/plain", new byte[100]), Binary);
        await Fails(HttpStatusCode.BadRequest, Request("GET", "/api/v1/plan"), "/api/v1/plan");
        await Fails(HttpStatusCode.BadRequest, Request("POST", "/api/v1/plan", "application/json", "{"u8.ToArray()), "/api/v1/plan");
        await Fails(HttpStatusCode.BadRequest, Request("GET", "/api/v1/services?limit=x"), "/api/v1/services");
        using (HttpResponseMessage response = await server.Http.GetAsync("api/v1/services?limit=x"))
            Assert.Contains(
                "limit", JsonSerializer.Deserialize(await response.Content.ReadAsStringAsync(), ApiJson.Default.Problem)!.Detail,
                StringComparison.Ordinal);
        foreach (string health in (string[])["healthz", "readyz", "health"])
        {
            using HttpRequestMessage head = Request("HEAD", health);
            using HttpResponseMessage response = await server.Http.SendAsync(head);
            Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        }
        await Fails(HttpStatusCode.Conflict, Request("GET", "/api/v1/services/search/pgo"), Pgo);
        await Fails(HttpStatusCode.BadRequest, Request("GET", "/api/v1/services/search/pgo?windowDays=many"), Pgo);
        await Fails(HttpStatusCode.NotFound, Request(
            "PUT", "/api/v1/services/search/names/n", "application/json",
            "{\"hash\":\"00000000\"}"u8.ToArray()), $"{Service}/names/{{name}}");
        await Fails(HttpStatusCode.BadRequest, Request("GET", "/api/v1/services/search/history?limit=0"), $"{Service}/history");
        await Fails(HttpStatusCode.BadRequest, Request("GET", "/api/v1/services/search/timeline?days=0"), $"{Service}/timeline");
        HttpRequestMessage foreign = Request("GET", "/api/v1/services");
        foreign.Headers.Host = "evil.example";
        await Fails(HttpStatusCode.MisdirectedRequest, foreign, "/api/v1/services");
        foreign = Request("POST", Profiles, ApiMediaTypes.Branches, BranchProfileCodec.Encode(Uploads.Set(minute: 1)));
        foreign.Headers.Add("Sec-Fetch-Site", "cross-site");
        await Fails(HttpStatusCode.Forbidden, foreign, Profiles);
        foreach (string broken in (string[])["results", "tmp"])
        {
            // A file where the server wants a folder: nothing can be stored.
            string path = folder[$"data/blobs/{broken}"];
            if (Directory.Exists(path))
                Directory.Delete(path, recursive: true);
            File.WriteAllText(path, "");
        }
        await Fails(HttpStatusCode.InsufficientStorage, Request(
            "POST", Profiles, ApiMediaTypes.Branches, BranchProfileCodec.Encode(Uploads.Set(minute: 1))), Profiles);
        // It answers for a second as it did when it last looked.
        for (int time = 0; time < 50 && (await server.Http.GetAsync("readyz")).IsSuccessStatusCode; time++)
            await Task.Delay(100);
        await Fails(HttpStatusCode.ServiceUnavailable, Request("GET", "/readyz"), "/readyz");
    }

    [Fact]
    public async Task Callers_who_are_unknown_may_not_or_ask_too_often_are_answered_as_it_says()
    {
        string access = folder.Write("access.yaml", $"""
            rate: {"{"} requests-per-second: 1, burst: 40 {"}"}
            tokens: [{"{"} name: sender, sha256: {ServerAccessTests.HashOf("a")}, roles: [upload] {"}"}]
            """);
        using ServerProcess server = ServerProcess.Start(folder["data"], 0, "--auth", access);
        using Document document = new(await server.Http.GetStringAsync("api/v1/openapi.json"));
        SortedSet<int> seen = [];
        foreach ((string template, string method, JsonElement responses) in document.Operations.Where(static one => one.Method == "GET"))
            foreach (string? bearer in (string?[])[null, "a"])
            {
                using HttpRequestMessage request = Request(method, Filled(template), bearer: bearer);
                using HttpResponseMessage response = await server.Http.SendAsync(request);
                bool isOpen = !responses.TryGetProperty("401", out _);
                Assert.Equal(isOpen, response.IsSuccessStatusCode);
                if (!isOpen)
                    await document.CheckAsync(response, template);
                seen.Add((int)response.StatusCode);
            }
        for (int i = 0; i < 45; i++)
        {
            using HttpRequestMessage request = Request("GET", "/api/v1/services", bearer: "a");
            using HttpResponseMessage response = await server.Http.SendAsync(request);
            await document.CheckAsync(response, "/api/v1/services");
            seen.Add((int)response.StatusCode);
        }
        // Who may ask for a plan has named no host.
        Assert.Equal([200, 400, 401, 403, 429], seen);
    }

    public void Dispose() => folder.Dispose();
}
