using System.Net;
using System.Text.Json;
using Perforator.Api;
using Perforator.Branches;
using Perforator.Tests.Infrastructure;
using Perforator.Tests.Server;

namespace Perforator.Tests.EndToEnd;

/// <summary>Selectors, jobs, history, names and differences over HTTP, by the typed client.</summary>
public sealed class ServiceApiTests : IClassFixture<LoopProgram>, IDisposable
{
    private readonly LoopProgram program;
    private readonly TemporaryFolder folder = new();
    private readonly ServerProcess server;
    private readonly ServerClient client;

    public ServiceApiTests(LoopProgram program)
    {
        this.program = program;
        server = ServerProcess.Start(folder["data"]);
        client = new ServerClient(server.Address);
    }

    private static CancellationToken Stop => CancellationToken.None;

    private async Task UploadAsync(ulong rounds, int minute, string cluster)
    {
        BranchProfileSet set = program.Recorded(rounds, minute);
        set.Labels["cluster"] = cluster;
        set.Labels["host"] = $"{cluster}-host";
        await server.UploadAsync(set);
    }

    private async Task<PgoAnswer> PgoAsync(string? selector = null, string? buildId = null) =>
        await client.GetPgoAsync("loop", new PgoRequest { Selector = selector, BuildId = buildId, HalfLifeDays = 0 }, Stop);

    private static async Task<ServerException> FailsAsync(Func<Task> request, ServerFailure failure)
    {
        ServerException error = await Assert.ThrowsAsync<ServerException>(request);
        Assert.Equal(failure, error.Failure);
        Assert.DoesNotContain('\n', error.Message);
        return error;
    }

    [Fact]
    public async Task Labels_select_and_what_was_generated_is_kept_named_and_compared()
    {
        await UploadAsync(1000, 0, "eu-1");
        await UploadAsync(500, 1, "us-1");
        await client.UploadBinaryAsync(program.BuildId, program.Binary, Stop);
        PgoAnswer all = await PgoAsync(), europe = await PgoAsync("{cluster=~\"eu-.*\"}");
        Assert.Equal(("loop", "loop{cluster=~\"eu-.*\"}"), (all.Selector, europe.Selector));
        Assert.NotEqual(all.Profile, europe.Profile);
        Assert.True(all.Ratio > europe.Ratio);
        Assert.Equal(
            (all.Profile, all.Generated, all.ReportText),
            ((await PgoAsync()).Profile, (await PgoAsync()).Generated, (await PgoAsync()).ReportText));
        Assert.DoesNotContain(folder.Path, all.Report.GetRawText(), StringComparison.Ordinal);
        Assert.NotEmpty(await client.GetResultAsync(all.Profile, Stop));
        Assert.Contains(
            "its labels are", (await FailsAsync(() => PgoAsync("{cluster=\"asia\"}"), ServerFailure.NotFound)).Message,
            StringComparison.Ordinal);
        Assert.Contains(
            "is not a selector", (await FailsAsync(() => PgoAsync("{cluster"), ServerFailure.Refused)).Message, StringComparison.Ordinal);

        ServiceDetail detail = await client.GetServiceAsync("loop", Stop);
        Assert.Equal(["eu-1", "us-1"], detail.Labels.Single(static label => label.Name == "cluster").Values);
        BuildSummary build = Assert.Single(detail.Builds);
        Assert.Equal((true, 2L, true, true), (build.Current, build.Hosts, build.HasBinary, build.HasDebugInfo));

        HistoryPage page = await client.GetHistoryAsync("loop", 1, null, Stop);
        HistoryEntry latest = Assert.Single(page.Entries);
        Assert.Equal((europe.Profile, 1L, program.BuildId.ToString()), (latest.Profile, latest.Uploads, Assert.Single(latest.Builds)));
        Assert.Equal(all.Profile, Assert.Single((await client.GetHistoryAsync("loop", 10, page.Before, Stop)).Entries).Profile);
        Assert.Equal(europe.ReportText, (await client.GetPgoAsync("loop", europe.Profile[..8], Stop)).ReportText);
        await FailsAsync(() => client.GetPgoAsync("loop", "00000000", Stop), ServerFailure.NotFound);
        await FailsAsync(() => client.GetPgoAsync("loop", "xyz", Stop), ServerFailure.Refused);

        Assert.Null((await client.PromoteAsync("loop", "stable", all.Profile[..10], Stop)).Previous);
        NamedProfile promoted = await client.PromoteAsync("loop", "stable", europe.Profile, Stop);
        Assert.Equal((europe.Profile, all.Profile), (promoted.Profile, promoted.Previous));
        Assert.Equal(promoted, await client.GetNameAsync("loop", "stable", Stop));
        Assert.Equal(["stable"], (await client.GetHistoryAsync("loop", 1, null, Stop)).Entries[0].Names);
        await client.DeleteNameAsync("loop", "stable", Stop);
        Assert.Empty(await client.ListNamesAsync("loop", Stop));
        await FailsAsync(() => client.GetNameAsync("loop", "stable", Stop), ServerFailure.NotFound);

        ProfileDiff same = await client.GetDiffAsync(
            "loop", all.Profile, all.Profile, Stop), diff = await client.GetDiffAsync("loop", all.Profile, europe.Profile, Stop);
        Assert.Equal((1.0, "Overlap: 100.00 %\n"), (same.Overlap, same.Text));
        Assert.Equal((all.Profile, europe.Profile), (diff.From, diff.To));
        FitAnswer fit = await client.GetFitAsync("loop", europe.Profile, program.BuildId.ToString(), Stop);
        Assert.Equal((1.0, program.BuildId.ToString()), (fit.Report.GetProperty("share").GetDouble(), fit.BuildId));
        await FailsAsync(() => client.GetFitAsync("loop", europe.Profile, "bb02", Stop), ServerFailure.Unusable);
    }

    private static async Task<List<string>> NamesByPagesAsync(ServerProcess server, Uri first)
    {
        List<string> names = [];
        for (Uri? at = first; at is not null;)
        {
            Assert.StartsWith(first.AbsolutePath, at.AbsolutePath, StringComparison.Ordinal);
            using HttpResponseMessage page = await server.Http.GetAsync(at);
            using JsonDocument body = JsonDocument.Parse(await page.Content.ReadAsStringAsync());
            names.AddRange(body.RootElement.EnumerateArray().Select(static one => one.GetProperty("service").GetString()!));
            at = page.Headers.TryGetValues("Link", out IEnumerable<string>? link) ? new Uri(at, link.Single().Split('<', '>')[1]) : null;
        }
        return names;
    }

    [Fact]
    public async Task Lists_come_by_pages_and_what_a_client_has_is_not_sent_again()
    {
        foreach (string service in (string[])["a", "b", "c"])
            await server.UploadAsync(program.Recorded(rounds: 10, service: service));
        Assert.Equal(["a", "b", "c"], await NamesByPagesAsync(server, new Uri(server.Address, "api/v1/services?limit=2")));
        // Also where a proxy has them below a path of its own.
        using (ServerProcess below = ServerProcess.Start(folder["below"], 0, "--path-prefix", "/perforator"))
        {
            foreach (string service in (string[])["a", "b", "c"])
                await below.UploadAsync(program.Recorded(rounds: 10, service: service));
            Assert.Equal(["a", "b", "c"], await NamesByPagesAsync(below, new Uri(below.Address, "perforator/api/v1/services?limit=1")));
        }
        foreach (string path in (string[])["api/v1/services", "api/v1/services/a", "api/v1/services/a/builds", "api/v1/services/a/history"])
        {
            using HttpResponseMessage first = await server.Http.GetAsync(path);
            using HttpRequestMessage again = new(HttpMethod.Get, path) { Headers = { IfNoneMatch = { first.Headers.ETag! } } };
            using HttpResponseMessage second = await server.Http.SendAsync(again);
            Assert.Equal((HttpStatusCode.NotModified, ""), (second.StatusCode, await second.Content.ReadAsStringAsync()));
        }
        using HttpResponseMessage refused = await server.Http.GetAsync("api/v1/services?limit=0");
        Assert.Equal(
            (HttpStatusCode.BadRequest, "application/problem+json"), (refused.StatusCode, refused.Content.Headers.ContentType?.MediaType));
    }

    [Fact]
    public async Task A_fleet_of_many_hosts_is_added_up_in_halves_and_each_host_is_told()
    {
        for (int host = 0; host < 12; host++)
            await UploadAsync(100, host, $"c{host}");
        await client.UploadBinaryAsync(program.BuildId, program.Binary, Stop);
        PgoAnswer fleet = await PgoAsync();
        Assert.Equal(12, fleet.Report.GetProperty("hosts").GetArrayLength());
        Assert.Equal(1200, fleet.Report.GetProperty("totalBranches").GetInt32());
        Assert.Equal(1.0, fleet.Report.GetProperty("convergence").GetDouble());
        await UploadAsync(100, 20, "c0");
        PgoAnswer few = await PgoAsync("{cluster=~\"c[0-7]\"}");
        Assert.Equal((8, 900), (few.Report.GetProperty("hosts").GetArrayLength(), few.Report.GetProperty("totalBranches").GetInt32()));
    }

    [Fact]
    public async Task A_host_whose_clock_is_ahead_does_not_take_over_and_its_profiles_count()
    {
        await UploadAsync(1000, 0, "eu-1");
        BranchProfileSet ahead = Uploads.Set("loop", "bb02", count: 10);
        ahead.End = DateTimeOffset.UtcNow.AddDays(3);
        await server.UploadAsync(ahead);
        IReadOnlyList<BuildSummary> builds = (await client.GetServiceAsync("loop", Stop)).Builds;
        Assert.True(builds.All(static build => build.LastSeen <= DateTimeOffset.UtcNow.AddMinutes(1)));
    }

    [Fact]
    public async Task A_stripped_binary_gives_way_to_a_full_one_and_a_debug_file_does_as_well()
    {
        await UploadAsync(1000, 0, "eu-1");
        string stripped = folder["stripped"], debug = folder["debug"];
        Tool.Run("llvm-objcopy-19", ["--strip-all", program.Binary, stripped]).Succeeded();
        Tool.Run("llvm-objcopy-19", ["--only-keep-debug", program.Binary, debug]).Succeeded();
        await client.UploadBinaryAsync(program.BuildId, stripped, Stop);
        Assert.Contains(
            "has no debug info", (await FailsAsync(() => PgoAsync(), ServerFailure.Unusable)).Message, StringComparison.Ordinal);
        await client.UploadBinaryAsync(program.BuildId, debug, Stop);
        PgoAnswer byDebugFile = await PgoAsync();
        await client.UploadBinaryAsync(program.BuildId, program.Binary, Stop);
        Assert.Equal(byDebugFile.Profile, (await PgoAsync()).Profile);
        Assert.Matches(
            $"^{program.BuildId} .*/loop\n{program.BuildId} .*/debug\n$",
            server.Cli("binaries", "put", program.Binary, debug).Succeeded().Output);
        Assert.Contains(
            "not an ELF file", server.Cli("binaries", "put", Tool.RepositoryRoot() + "/README.md").Error, StringComparison.Ordinal);
        using HttpResponseMessage again = await server.PutBinaryAsync(program.BuildId.ToString(), await File.ReadAllBytesAsync(stripped));
        Assert.Equal(HttpStatusCode.OK, again.StatusCode);
        Assert.True((await client.GetServiceAsync("loop", Stop)).Builds[0].HasDebugInfo);
    }

    [Fact]
    public async Task What_was_lost_from_the_store_is_healed_by_sending_it_again()
    {
        await UploadAsync(1000, 0, "eu-1");
        await client.UploadBinaryAsync(program.BuildId, program.Binary, Stop);
        string profile = (await PgoAsync()).Profile;
        foreach (string kind in (string[])["results", "packs", "binaries"])
            Directory.Delete(folder[$"data/blobs/{kind}"], recursive: true);
        await FailsAsync(() => PgoAsync(), ServerFailure.Unusable);
        await UploadAsync(1000, 0, "eu-1");
        await client.UploadBinaryAsync(program.BuildId, program.Binary, Stop);
        Assert.Equal(profile, (await PgoAsync()).Profile);
    }

    public void Dispose()
    {
        client.Dispose();
        server.Dispose();
        folder.Dispose();
    }
}
