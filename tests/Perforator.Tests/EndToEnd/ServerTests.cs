using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Perforator.Api;
using Perforator.Branches;
using Perforator.Tests.Infrastructure;
using Perforator.Tests.Server;

namespace Perforator.Tests.EndToEnd;

/// <summary>A real server process on loopback, spoken to over HTTP and by the CLI.</summary>
public class ServerTests
{
    private static async Task<string> DetailAsync(HttpResponseMessage response)
    {
        Assert.Equal("application/problem+json", response.Content.Headers.ContentType?.MediaType);
        string body = await response.Content.ReadAsStringAsync();
        return JsonSerializer.Deserialize(body, ApiJson.Default.Problem)!.Detail!;
    }

    private static ServiceDetail Service(ServerProcess server, string service) =>
        JsonSerializer.Deserialize(server.Cli("services", service, "--json").Succeeded().Output, ApiJson.Default.ServiceDetail)!;

    private static bool IsEmpty(ServerProcess server) => server.Cli("services", "--json").Succeeded().Output.Trim() == "[]";

    [Fact]
    public async Task Uploads_are_listed_and_a_repeated_one_counts_once()
    {
        using TemporaryFolder folder = new();
        using ServerProcess server = ServerProcess.Start(folder["data"]);
        UploadReceipt first = await server.UploadAsync(Uploads.Set());
        Assert.Equal((false, "aa01"), (first.Duplicate, Assert.Single(first.WantedBinaries)));
        UploadReceipt again = await server.UploadAsync(Uploads.Set());
        Assert.Equal((first.Id, true), (again.Id, again.Duplicate));
        await server.UploadAsync(Uploads.Set(minute: 1));
        await server.UploadAsync(Uploads.Set(service: "ads", buildId: "bb01"));

        BuildSummary build = Assert.Single(Service(server, "search").Builds);
        Assert.Equal(
            ("aa01", "/opt/search", 2L, 20UL, 20UL, false),
            (build.BuildId, build.Path, build.Profiles, build.Samples, build.Branches, build.HasBinary));
        Assert.Equal((Uploads.Start, Uploads.Start.AddMinutes(2)), (build.FirstSeen, build.LastSeen));
        string table = server.Cli("services").Succeeded().Output;
        Assert.Matches(@"ads +1 +1 +10 .*\n.*search +1 +2 +20 ", table);
        Assert.Equal(0, server.Terminate());
        Assert.Equal("", server.Error.Trim());
    }

    [Fact]
    public async Task A_truncated_damaged_or_foreign_upload_is_refused_and_stores_nothing()
    {
        using TemporaryFolder folder = new();
        using ServerProcess server = ServerProcess.Start(folder["data"]);
        byte[] encoded = BranchProfileCodec.Encode(Uploads.Set());

        using (HttpResponseMessage response = await server.PostAsync(encoded[..^10]))
            Assert.Equal(
                (HttpStatusCode.BadRequest, true),
                (response.StatusCode, (await DetailAsync(response)).Contains("truncated", StringComparison.Ordinal)));
        using (HttpResponseMessage response = await server.PostAsync("<html>"u8.ToArray()))
            Assert.Contains("not a branch profile file", await DetailAsync(response), StringComparison.Ordinal);
        BranchProfileSet nameless = Uploads.Set();
        nameless.Labels.Remove("service");
        using (HttpResponseMessage response = await server.PostAsync(BranchProfileCodec.Encode(nameless)))
            Assert.Contains("names no service", await DetailAsync(response), StringComparison.Ordinal);
        using (HttpResponseMessage response = await server.PostAsync(BranchProfileCodec.Encode(Uploads.Set(service: "../../etc"))))
            Assert.Contains("cannot name a service", await DetailAsync(response), StringComparison.Ordinal);
        BranchProfileSet empty = Uploads.Set();
        empty.Profiles.Clear();
        empty.Add(new BranchProfile(BuildId.Parse("aa01"), "/opt/search"));
        using (HttpResponseMessage response = await server.PostAsync(BranchProfileCodec.Encode(empty)))
            Assert.Contains("holds no branches", await DetailAsync(response), StringComparison.Ordinal);

        // The connection breaks in the middle of the body.
        using (TcpClient client = new(server.Address.Host, server.Address.Port))
        {
            await client.GetStream().WriteAsync(Encoding.ASCII.GetBytes(
                $"POST /api/v1/profiles HTTP/1.1\r\nHost: x\r\nContent-Type: {ApiMediaTypes.Branches}\r\nContent-Length: {encoded.Length}\r\n\r\n"));
            await client.GetStream().WriteAsync(encoded.AsMemory(0, encoded.Length / 2));
        }

        Assert.True(IsEmpty(server));
        Assert.Equal(0, server.Terminate());
        Assert.False(Directory.Exists(folder["data/blobs/profiles"]));
        Assert.Empty(Directory.GetFiles(folder["data/blobs/tmp"]));
    }

    [Fact]
    public async Task An_unknown_service_is_told_with_the_known_ones()
    {
        using TemporaryFolder folder = new();
        using ServerProcess server = ServerProcess.Start(folder["data"]);
        await server.UploadAsync(Uploads.Set());
        await server.UploadAsync(Uploads.Set(service: "ads"));
        ToolResult result = server.Cli("services", "serach");
        Assert.Equal((1, ""), (result.ExitCode, result.Output));
        Assert.Equal("perforator: service 'serach' is unknown; known services: ads, search\n", result.Error);
    }

    [Fact]
    public void A_server_that_cannot_be_reached_is_named()
    {
        ToolResult result = Tool.Cli("services", "--server", "http://127.0.0.1:1");
        Assert.Equal(1, result.ExitCode);
        Assert.Matches(
            @"^perforator: cannot reach the server http://127\.0\.0\.1:1/: nothing listens there; start one with 'perforator serve', .*\n$",
            result.Error);

        result = Tool.Cli("services", "--server", "127.0.0.1:7733");
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("is not an http:// or https:// address", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_is_not_part_of_the_api_is_answered_as_a_problem()
    {
        using TemporaryFolder folder = new();
        using ServerProcess server = ServerProcess.Start(folder["data"]);
        using (HttpResponseMessage response = await server.Http.GetAsync("nothing/here"))
            Assert.Contains("not part of the API", await DetailAsync(response), StringComparison.Ordinal);
        using (StringContent text = new("x"))
        using (HttpResponseMessage response = await server.Http.PostAsync("api/v1/profiles", text))
            Assert.Contains("content type", await DetailAsync(response), StringComparison.Ordinal);
        string openApi = await server.Http.GetStringAsync("api/v1/openapi.json");
        foreach (string route in (string[])["/api/v1/profiles", "/api/v1/binaries/{buildId}", "/api/v1/services/{service}"])
            Assert.Contains($"\"{route}\"", openApi, StringComparison.Ordinal);
        Assert.Contains("\"ok\"", await server.Http.GetStringAsync("health"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_service_that_is_unknown_is_named_as_it_was_asked_for_beside_those_there_are()
    {
        using TemporaryFolder folder = new();
        using ServerProcess server = ServerProcess.Start(folder["data"]);
        await server.UploadAsync(Uploads.Set());
        ToolResult result = server.Cli("services", "team/search & co");
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("service 'team/search & co' is unknown; known services: search\n", result.Error, StringComparison.Ordinal);
    }

    /// <summary>Earlier versions made the folder and the database readable by all.</summary>
    [Fact]
    public async Task A_data_folder_that_is_open_to_others_is_closed_or_refused()
    {
        using TemporaryFolder folder = new();
        string data = folder["data"];
        using (ServerProcess server = ServerProcess.Start(data))
        {
            await server.UploadAsync(Uploads.Set());
            server.Kill();
        }
        string[] files = [.. Directory.GetFiles(data)], folders = [data, .. Directory.GetDirectories(data)];
        Assert.True(files.Length > 2, "what kill -9 leaves is beside the database");
        Tool.Run("chmod", ["755", .. folders]).Succeeded();
        Tool.Run("chmod", ["644", .. files]).Succeeded();
        using (ServerProcess server = ServerProcess.Start(data))
        {
            Assert.All(folders, static path => Assert.Equal("700", ModeOf(path)));
            Assert.All(files, static path => Assert.Equal("600", ModeOf(path)));
            Assert.Contains("search", await server.Http.GetStringAsync("api/v1/services"), StringComparison.Ordinal);
            server.Terminate();
        }
        File.WriteAllText(folder["data/notes.txt"], "of somebody else");
        Tool.Run("chmod", ["755", data]).Succeeded();
        ToolResult result = Tool.Cli("serve", "--data", data, "--port", "0");
        Assert.Equal((1, ""), (result.ExitCode, result.Output));
        Assert.Equal(
            $"perforator: {data} is open to others (mode 755) and holds more than a server's data (notes.txt): chmod 700 it, or choose another --data folder\n", result.Error);
        Assert.Equal("755", ModeOf(data));
    }

    private static string ModeOf(string path) => Tool.Run("stat", ["-c%a", path]).Succeeded().Output.Trim();

    [Fact]
    public void A_data_folder_serves_one_server_at_a_time()
    {
        using TemporaryFolder folder = new();
        using ServerProcess server = ServerProcess.Start(folder["data"]);
        ToolResult result = Tool.Cli("serve", "--data", folder["data"], "--port", "0");
        Assert.Equal(1, result.ExitCode);
        Assert.StartsWith($"perforator: another perforator serve uses {folder["data"]};", result.Error, StringComparison.Ordinal);
    }
}
