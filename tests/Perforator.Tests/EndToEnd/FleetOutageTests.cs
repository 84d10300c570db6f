using System.Net;
using System.Text.Json;
using System.Text.RegularExpressions;
using Perforator.Api;
using Perforator.Branches;
using Perforator.Tests.Infrastructure;
using Perforator.Tests.Server;

namespace Perforator.Tests.EndToEnd;

/// <summary>
/// The database or the objects of a fleet go away and come back: the reason is told, what does not need them is served, nothing
/// acknowledged is lost.
/// </summary>
public sealed class FleetOutageTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    private readonly SortedSet<int> acknowledged = [];
    private int sent;

    private static BranchProfileSet Numbered(int number)
    {
        BranchProfileSet set = Uploads.Set(minute: number);
        set.Profiles.Values.Single().AddBranch(new(0x10000 + (ulong)number), new(0x2000), 1);
        return set;
    }

    /// <summary>Uploads the next profile; gives the reason when it is refused.</summary>
    private async Task<string?> UploadAsync(ServerProcess server)
    {
        int number = ++sent;
        using HttpResponseMessage response = await server.PostAsync(BranchProfileCodec.Encode(Numbered(number)));
        string body = await response.Content.ReadAsStringAsync();
        if (response.IsSuccessStatusCode)
        {
            acknowledged.Add(number);
            return null;
        }
        Assert.True(response.StatusCode == HttpStatusCode.ServiceUnavailable, $"{response.StatusCode}: {body}");
        Assert.NotNull(response.Headers.RetryAfter);
        return JsonSerializer.Deserialize(body, ApiJson.Default.Problem)!.Detail!;
    }

    private async Task UntilAcceptedAsync(ServerProcess server)
    {
        DateTime end = DateTime.UtcNow + Patience;
        while (await UploadAsync(server) is { } reason)
        {
            Assert.True(DateTime.UtcNow < end, reason);
            await Task.Delay(100);
        }
    }

    /// <summary>
    /// Waits until /readyz tells of one part that cannot be written to, or of none; what /metrics tells, it tells meanwhile as well.
    /// </summary>
    private static async Task UntilReadyAsync(ServerProcess server, string? failing = null)
    {
        DateTime end = DateTime.UtcNow + Patience;
        while (true)
        {
            using HttpResponseMessage response = await server.Http.GetAsync("readyz");
            string body = await response.Content.ReadAsStringAsync();
            using JsonDocument told = JsonDocument.Parse(body);
            string[] failures =
                told.RootElement.TryGetProperty("failures", out JsonElement parts)
                    ? [.. parts.EnumerateObject().Select(static part => part.Name)] : [];
            Assert.Equal(failures.Length == 0 ? HttpStatusCode.OK : HttpStatusCode.ServiceUnavailable, response.StatusCode);
            if (failing is null ? failures.Length == 0 : failures is [var only] && only == failing)
                break;
            Assert.True(DateTime.UtcNow < end, body);
            await Task.Delay(100);
        }
        while (true)
        {
            string metrics = await server.Http.GetStringAsync("metrics");
            if (metrics.Contains("perforator_disk_free_bytes{", StringComparison.Ordinal)
                && (failing is null
                    || Regex.IsMatch(metrics, $"perforator_storage_errors_total\\{{[^}}]*part=\"{failing}\"[^}}]*\\}} [1-9]"))
                && (failing == "database" || Regex.IsMatch(metrics, "perforator_services\\{[^}]*\\} [1-9]")))
                return;
            Assert.True(DateTime.UtcNow < end, metrics);
            await Task.Delay(100);
        }
    }

    private async Task CheckAsync(ServerProcess server)
    {
        BranchProfile sum =
            BranchProfileCodec.Decode(
                await server.Http.GetByteArrayAsync("api/v1/services/search/branches?windowDays=1000")).Profiles.Values.Single();
        PairCount[] numbered = [.. sum.Branches.Sorted().Where(static row => !row.First.IsExternal && row.First.Value > 0x10000)];
        Assert.Empty(sum.Losses.ByReason);
        Assert.All(numbered, static row => Assert.Equal(1UL, row.Count));
        Assert.Empty(acknowledged.Except(numbered.Select(static row => (int)(row.First.Value - 0x10000))));
    }

    [Fact]
    public async Task A_database_that_goes_and_comes_back_or_whose_standby_takes_over_loses_nothing()
    {
        using TemporaryFolder folder = new();
        using PostgresPair database = new();
        using ServerProcess server = ServerProcess.Start(folder["data"], 0, "--database", database.Url, "--objects", Engines.NewObjects());
        for (int i = 0; i < 10; i++)
            Assert.Null(await UploadAsync(server));

        await UntilReadyAsync(server);

        database.Kill(0);
        Assert.Contains("database", await UploadAsync(server), StringComparison.Ordinal);
        await UntilReadyAsync(server, failing: "database");
        using (HttpResponseMessage response = await server.Http.GetAsync("healthz"))
            Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        database.Promote();
        await UntilAcceptedAsync(server);
        await UntilReadyAsync(server);
        await CheckAsync(server);

        // The one that is left stops and starts.
        database.Kill(1);
        Assert.Contains("database", await UploadAsync(server), StringComparison.Ordinal);
        using (HttpResponseMessage response = await server.Http.GetAsync("api/v1/services"))
        {
            Assert.Equal(HttpStatusCode.ServiceUnavailable, response.StatusCode);
            Assert.Contains("127.0.0.1", await response.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        }
        database.Start(1);
        await UntilAcceptedAsync(server);
        await CheckAsync(server);
        Assert.Equal(0, server.Terminate());
    }

    [Fact]
    public async Task Objects_that_are_away_busy_or_slow_are_named_and_what_needs_none_is_served()
    {
        using TemporaryFolder folder = new();
        string objects = Engines.NewObjects();
        int at = objects.IndexOf("endpoint=", StringComparison.Ordinal) + "endpoint=".Length;
        using SwitchedProxy proxy = new(new Uri(objects[at..]));
        using ServerProcess server =
            ServerProcess.Start(folder["data"], 0, "--database", Engines.NewDatabase(), "--objects", objects[..at] + proxy.Address);
        for (int i = 0; i < 5; i++)
            Assert.Null(await UploadAsync(server));
        foreach (ProxyMode mode in (ProxyMode[])[ProxyMode.Refuse, ProxyMode.Busy])
        {
            proxy.Mode = mode;
            Assert.Contains("s3://", await UploadAsync(server), StringComparison.Ordinal);
            await UntilReadyAsync(server, failing: "objects");
            Assert.Contains("search", await server.Http.GetStringAsync("api/v1/services"), StringComparison.Ordinal);
            proxy.Mode = ProxyMode.Pass;
            await UntilAcceptedAsync(server);
            await UntilReadyAsync(server);
        }
        await CheckAsync(server);

        // Many wait for objects that say nothing; others do not wait for them.
        proxy.Mode = ProxyMode.Hang;
        Task<string?>[] waiting = [.. Enumerable.Range(0, 20).Select(_ => UploadAsync(server))];
        for (int i = 0; i < 10; i++)
            Assert.Contains("search", await server.Http.GetStringAsync("api/v1/services"), StringComparison.Ordinal);
        Assert.DoesNotContain(waiting, static upload => upload.IsCompleted);
        await UntilReadyAsync(server, failing: "objects");
        proxy.Mode = ProxyMode.Pass;
        await Task.WhenAll(waiting);
        await UntilAcceptedAsync(server);
        await CheckAsync(server);
        Assert.Equal(0, server.Terminate());
    }

    /// <summary>A database that takes connections and says nothing, as one that is stopped or behind a network that drops all.</summary>
    [Fact]
    public async Task A_database_that_says_nothing_is_told_and_holds_up_nobody_for_good()
    {
        using TemporaryFolder folder = new();
        UriBuilder database = new(Engines.NewDatabase());
        using SwitchedProxy proxy = new(database.Uri);
        database.Port = new Uri(proxy.Address).Port;
        string[] fleet = ["--database", database.Uri.ToString(), "--objects", Engines.NewObjects()];
        using ServerProcess server = ServerProcess.Start(
            folder["api"], 0,
            [.. fleet, "--role", "api"]), worker = ServerProcess.Start(folder["worker"], 0, [.. fleet, "--role", "worker"]);
        Assert.Null(await UploadAsync(server));
        proxy.Mode = ProxyMode.Hang;
        Task<string?>[] waiting = [.. Enumerable.Range(0, 30).Select(_ => UploadAsync(server))];
        foreach (ServerProcess one in (ServerProcess[])[server, worker])
        {
            await UntilReadyAsync(one, failing: "database");
            using HttpResponseMessage alive = await one.Http.GetAsync("healthz");
            Assert.Equal(HttpStatusCode.OK, alive.StatusCode);
        }
        proxy.Mode = ProxyMode.Pass;
        await Task.WhenAll(waiting);
        await UntilAcceptedAsync(server);
        foreach (ServerProcess one in (ServerProcess[])[server, worker])
            await UntilReadyAsync(one);
        await CheckAsync(server);
        Assert.Equal((0, 0), (server.Terminate(), worker.Terminate()));
    }
}
