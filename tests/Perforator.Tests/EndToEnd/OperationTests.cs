using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Perforator.Api;
using Perforator.Branches;
using Perforator.Server.Storage;
using Perforator.Tests.Infrastructure;
using Perforator.Tests.Server;

namespace Perforator.Tests.EndToEnd;

/// <summary>What a server tells whoever operates it: health, metrics, traces and logs.</summary>
public sealed partial class OperationTests(LoopProgram program) : IClassFixture<LoopProgram>
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private static async Task<(HttpStatusCode Status, string Body)> GetAsync(ServerProcess server, string path)
    {
        using HttpResponseMessage response = await server.Http.GetAsync(path);
        return (response.StatusCode, await response.Content.ReadAsStringAsync());
    }

    private static async Task WaitForAsync(Func<Task<bool>> condition, Func<string> otherwise)
    {
        using CancellationTokenSource late = new(Patience);
        while (!await condition())
        {
            Assert.False(late.IsCancellationRequested, otherwise());
            await Task.Delay(100);
        }
    }

    /// <summary>The value of a metric, summed over its series with some labels.</summary>
    private static double Value(string metrics, string name, string label = "") => metrics.Split('\n')
        .Where(line => line.StartsWith(name + "{", StringComparison.Ordinal) && line.Contains(label, StringComparison.Ordinal))
        .Sum(static line =>
            double.Parse(
                line[(line.LastIndexOf('}') + 1)..].Split(' ', StringSplitOptions.RemoveEmptyEntries)[0], CultureInfo.InvariantCulture));

    [SkippableFact]
    public async Task Metrics_are_what_was_uploaded_refused_and_generated_in_the_form_that_prometheus_wants()
    {
        Tool.Require("promtool");
        using TemporaryFolder folder = new();
        using ServerProcess server = ServerProcess.Start(folder["data"]);
        byte[] first = BranchProfileCodec.Encode(program.Recorded(rounds: 1000)), second = BranchProfileCodec.Encode(
            program.Recorded(rounds: 1000, minute: 1, service: "other"));
        foreach (byte[] profile in new[] { first, second, first })
            using (HttpResponseMessage response = await server.PostAsync(profile))
                Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        using (HttpResponseMessage response = await server.PostAsync(first[..^10]))
            Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        using (StringContent text = new("x"))
        using (HttpResponseMessage response = await server.Http.PostAsync("api/v1/profiles", text))
            Assert.Equal(HttpStatusCode.UnsupportedMediaType, response.StatusCode);
        byte[] binary = await File.ReadAllBytesAsync(program.Binary);
        using (HttpResponseMessage response = await server.PutBinaryAsync(program.BuildId.ToString(), binary))
            Assert.Equal(HttpStatusCode.Created, response.StatusCode);
        using ServerClient client = new(server.Address);
        await client.GetPgoAsync("loop", new PgoRequest(), CancellationToken.None);

        string metrics = (await GetAsync(server, "metrics")).Body;
        Assert.Equal(
            (2, 1), (Value(
                metrics, "perforator_uploads_total",
                "outcome=\"added\""), Value(metrics, "perforator_uploads_total", "outcome=\"duplicate\"")));
        Assert.Equal(first.Length + second.Length, Value(metrics, "perforator_upload_size_bytes_total"));
        Assert.Equal(
            (1, 1), (Value(
                metrics, "perforator_uploads_refused_total",
                "reason=\"malformed\""), Value(metrics, "perforator_uploads_refused_total", "reason=\"media_type\"")));
        Assert.Equal(3, Value(metrics, "perforator_upload_duration_seconds_count"));
        Assert.Equal(
            (1, binary.Length), (Value(metrics, "perforator_binaries_total"), Value(metrics, "perforator_binary_size_bytes_total")));
        Assert.Equal(
            (1, 1), (Value(
                metrics, "perforator_generations_total",
                "outcome=\"done\""), Value(metrics, "perforator_generation_duration_seconds_count")));
        Assert.Equal(
            (0, 0), (Value(metrics, "perforator_tasks", "state=\"queued\""), Value(metrics, "perforator_tasks", "state=\"running\"")));
        Assert.Equal(
            (0, 2), (Value(metrics, "perforator_services", "state=\"fresh\""), Value(metrics, "perforator_services", "state=\"silent\"")));
        Assert.Equal(
            Uploads.Start.AddMinutes(2).ToUnixTimeSeconds(),
            Value(metrics, "perforator_service_last_seen_timestamp_seconds", "service=\"other\""));
        Assert.Equal(0, Value(metrics, "perforator_uploads_inflight_bytes"));
        foreach (string name in (string[])["perforator_disk_free_bytes", "dotnet_process_memory_working_set_bytes", "http_server_request_duration_seconds_count"])
            Assert.True(Value(metrics, name) > 0, name);
        ToolResult check = Tool.Run("promtool", ["check", "metrics"], metrics);
        Assert.Equal((0, "", ""), (check.ExitCode, check.Output, check.Error));

        // What docs/operation.md lists is there by that name, or has not happened yet.
        string[] documented =
            [.. MetricName().Matches(await File.ReadAllTextAsync(Path.Combine(Tool.RepositoryRoot(), "docs", "operation.md")))
                .Select(static match => match.Value).Distinct()];
        string[] present = [.. MetricName().Matches(metrics).Select(static match => HistogramPart().Replace(match.Value, "")).Distinct()];
        Assert.Empty(present.Except(documented));
    }

    [Fact]
    public async Task Health_tells_the_version_with_its_commit()
    {
        using TemporaryFolder folder = new();
        using ServerProcess server = ServerProcess.Start(folder["data"]);
        string version = Tool.Cli("--version").Succeeded().Output.Trim();
        foreach (string path in (string[])["health", "healthz", "readyz"])
        {
            (HttpStatusCode status, string body) = await GetAsync(server, path);
            Assert.Equal(
                (HttpStatusCode.OK, new Health("ok", version)), (status, JsonSerializer.Deserialize(body, ApiJson.Default.Health)));
        }
    }

    [Fact]
    public async Task A_full_disk_is_told_by_readyz_and_health_until_there_is_room_and_logged_as_json()
    {
        using TemporaryFolder folder = new();
        string data = folder["data"];
        Directory.CreateDirectory(data);
        using ServerProcess server = ServerProcess.Start(
            ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", "mount -t tmpfs -o size=16m tmpfs \"$0\" && exec \"$@\"", data],
            new Dictionary<string, string>(), data, 0, "--log-format", "json");
        Assert.Equal(HttpStatusCode.OK, (await GetAsync(server, "readyz")).Status);
        string ballast = $"/proc/{server.Id}/root{data}/ballast";
        Assert.Throws<IOException>(() => File.WriteAllBytes(ballast, new byte[32 << 20]));
        foreach (string path in (string[])["readyz", "health"])
        {
            (HttpStatusCode status, string body) = (HttpStatusCode.OK, "");
            await WaitForAsync(
                async () => ((status, body) = await GetAsync(server, path)).status == HttpStatusCode.ServiceUnavailable,
                () => $"{path} answers {status}");
            Assert.Contains(
                "objects: the disk of ", JsonSerializer.Deserialize(body, ApiJson.Default.Problem)!.Detail, StringComparison.Ordinal);
            Assert.Contains("is full", body, StringComparison.Ordinal);
        }
        Assert.Equal(HttpStatusCode.OK, (await GetAsync(server, "healthz")).Status);
        using (HttpResponseMessage response = await server.PostAsync(BranchProfileCodec.Encode(Uploads.Set())))
            Assert.Equal(HttpStatusCode.InsufficientStorage, response.StatusCode);
        await WaitForAsync(() => Task.FromResult(server.Error.Contains("507", StringComparison.Ordinal)), () => server.Error);
        foreach (string line in server.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            using JsonDocument entry = JsonDocument.Parse(line);
            Assert.Contains("was answered", entry.RootElement.GetProperty("Message").GetString(), StringComparison.Ordinal);
            Assert.Matches("^[0-9a-f]{32}$", entry.RootElement.GetProperty("Scopes")[0].GetProperty("TraceId").GetString());
        }
        Assert.True(Value((await GetAsync(server, "metrics")).Body, "perforator_storage_errors_total") > 0);
        File.Delete(ballast);
        await WaitForAsync(async () => (await GetAsync(server, "readyz")).Status == HttpStatusCode.OK, () => "readyz stays as it was");
    }

    [Fact]
    public async Task What_does_not_answer_is_named_and_asked_once_for_all_who_ask()
    {
        using TemporaryFolder folder = new();
        ServerStorage stuck = new(null!, null!, null!, null!, null!, null!, null!)
        {
            Demand = null!,
            Agents = null!,
            Fleet = null!,
            Parts = [new StoragePart(
                "database", static _ => Task.Delay(Timeout.Infinite, CancellationToken.None)),
                new StoragePart("objects", static _ => throw new IOException("gone"))],
        };
        StorageReadiness readiness = new(stuck, TimeProvider.System);
        Task<IReadOnlyDictionary<string, string>> one = readiness.FailuresAsync(CancellationToken.None), other = readiness.FailuresAsync(CancellationToken.None);
        Assert.Equal(
            ["database: no answer for 5 s", "objects: gone"], (await one).Select(static failure => $"{failure.Key}: {failure.Value}"));
        Assert.Same(await one, await other);
    }

    [Fact]
    public async Task Traces_go_to_where_opentelemetry_s_variables_say()
    {
        using TemporaryFolder folder = new();
        using HttpListener receiver = new();
        int port = FreePort();
        receiver.Prefixes.Add($"http://127.0.0.1:{port}/");
        receiver.Start();
        StringBuilder received = new();
        Task receiving = Task.Run(async () =>
        {
            while (received.ToString() is var text
                && !(Mentions(text, "generate") && Mentions(text, "ingest") && Mentions(text, "POST /api/v1/profiles")))
            {
                HttpListenerContext context = await receiver.GetContextAsync();
                Assert.Equal("/v1/traces", context.Request.Url!.AbsolutePath);
                using MemoryStream body = new();
                await context.Request.InputStream.CopyToAsync(body);
                received.Append(Encoding.Latin1.GetString(body.ToArray()));
                context.Response.Close();
            }
        });
        Dictionary<string, string> variables = new()
        {
            ["OTEL_EXPORTER_OTLP_ENDPOINT"] = $"http://127.0.0.1:{port}",
            ["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/protobuf",
            ["OTEL_BSP_SCHEDULE_DELAY"] = "100",
        };
        using ServerProcess server = ServerProcess.Start([], variables, folder["data"]);
        await server.UploadAsync(program.Recorded(rounds: 1000));
        using (HttpResponseMessage response =
            await server.PutBinaryAsync(program.BuildId.ToString(), await File.ReadAllBytesAsync(program.Binary)))
            Assert.Equal(HttpStatusCode.Created, response.StatusCode);
        using ServerClient client = new(server.Address);
        await client.GetPgoAsync("loop", new PgoRequest(), CancellationToken.None);
        await receiving.WaitAsync(Patience);
        Assert.True(Mentions(received.ToString(), "perforator"));

        // A string of protobuf: its length, then its bytes.
        static bool Mentions(string text, string name) => text.Contains((char)name.Length + name, StringComparison.Ordinal);
    }

    private static int FreePort()
    {
        using System.Net.Sockets.TcpListener listener = new(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    [GeneratedRegex("perforator_[a-z_]+")]
    private static partial Regex MetricName();

    [GeneratedRegex("_(bucket|sum|count)$")]
    private static partial Regex HistogramPart();
}
