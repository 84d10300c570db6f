using System.Collections.Concurrent;
using Perforator.Branches;
using Perforator.Tests.Infrastructure;
using Perforator.Tests.Server;

namespace Perforator.Tests.EndToEnd;

/// <summary>kill -9 of the server, or of a worker, loses nothing it has acknowledged, and leaves nothing half-stored.</summary>
public class ServerDurabilityTests
{
    private const int Clients = 3;

    /// <summary>How many kills; PERFORATOR_TEST_KILLS says another number.</summary>
    private static int Kills { get; } =
    int.TryParse(Environment.GetEnvironmentVariable("PERFORATOR_TEST_KILLS"), out int kills) ? kills : 6;

    private static readonly string[] Compacting = ["--compact-every", "0.05"];

    /// <summary>
    /// Clients upload as fast as they can, each profile with a branch of its own, while hours and days are added up, until the server is
    /// killed at a random moment. After a restart every acknowledged profile is there once, those under way are there whole or not at all.
    /// </summary>
    [Fact]
    public async Task Acknowledged_profiles_survive_kill_9_at_random_moments()
    {
        using TemporaryFolder folder = new();
        Load load = new();
        for (int kill = 0; kill < Kills; kill++)
        {
            using ServerProcess server = ServerProcess.Start(folder["data"], 0, Compacting);
            await load.CheckAsync(server);
            await load.RunAsync(server, server);
        }
        using ServerProcess last = ServerProcess.Start(folder["data"], 0, Compacting);
        await load.CheckAsync(last);
        Assert.NotEmpty(Directory.GetFiles(folder["data/blobs/sums"]));
    }

    /// <summary>The same with PostgreSQL and S3: of a server and the worker that adds up, one is killed after the other.</summary>
    [Fact]
    public async Task A_fleet_counts_once_what_it_acknowledged_whichever_of_its_processes_is_killed()
    {
        using TemporaryFolder folder = new();
        string[] fleet = ["--database", Engines.NewDatabase(), "--objects", Engines.NewObjects(), .. Compacting];
        ServerProcess Start(string role) => ServerProcess.Start(folder[role], 0, [.. fleet, "--role", role]);
        Load load = new();
        ServerProcess api = Start("api"), worker = Start("worker");
        try
        {
            for (int kill = 0; kill < Kills; kill++)
            {
                ServerProcess killed = kill % 2 == 0 ? api : worker;
                await load.RunAsync(api, killed);
                killed.Dispose();
                if (killed == api)
                    api = Start("api");
                else
                    worker = Start("worker");
                await load.CheckAsync(api);
            }
        }
        finally
        {
            api.Dispose();
            worker.Dispose();
        }
    }

    /// <summary>Numbered profiles, each of which is acknowledged once at most.</summary>
    private sealed class Load
    {
        private readonly ConcurrentDictionary<int, bool> acknowledged = [];
        private readonly Random random = new(2026);
        private int sent;

        /// <summary>Uploads from several clients until a process is killed.</summary>
        public async Task RunAsync(ServerProcess server, ServerProcess killed)
        {
            using CancellationTokenSource enough = new();
            Task[] clients = [.. Enumerable.Range(0, Clients).Select(_ => Task.Run(async () =>
            {
                while (!enough.IsCancellationRequested)
                {
                    int number = Interlocked.Increment(ref sent);
                    try
                    {
                        await server.UploadAsync(Numbered(number));
                    }
                    catch (HttpRequestException)
                    {
                        return;
                    }
                    acknowledged[number] = true;
                }
            }))];
            int before = acknowledged.Count;
            Assert.True(SpinWait.SpinUntil(() => acknowledged.Count > before, TimeSpan.FromSeconds(60)), "no upload was acknowledged");
            await Task.Delay(random.Next(300));
            killed.Kill();
            await Task.Delay(random.Next(50));
            await enough.CancelAsync();
            await Task.WhenAll(clients);
        }

        public async Task CheckAsync(ServerProcess server)
        {
            if (acknowledged.IsEmpty)
                return;
            BranchProfile sum =
                BranchProfileCodec.Decode(
                    await server.Http.GetByteArrayAsync("api/v1/services/search/branches?windowDays=1000")).Profiles.Values.Single();
            PairCount[] numbered = [.. sum.Branches.Sorted().Where(static row => !row.First.IsExternal && row.First.Value > 0x10000)];
            Assert.Empty(sum.Losses.ByReason);
            Assert.All(numbered, static row => Assert.Equal(1UL, row.Count));
            Assert.Empty(acknowledged.Keys.Except(numbered.Select(static row => (int)(row.First.Value - 0x10000))));
            Assert.InRange(numbered.Length, acknowledged.Count, sent);
            Assert.Equal(10UL * (ulong)numbered.Length, sum.Samples);
        }

        /// <summary>Some twenty a day, over three days: hours that were added up get more.</summary>
        private static BranchProfileSet Numbered(int number)
        {
            BranchProfileSet set = Uploads.Set(minute: number * 67 % 4320);
            set.Profiles.Values.Single().AddBranch(new(0x10000 + (ulong)number), new(0x2000), 1);
            return set;
        }
    }

    [Fact]
    public async Task A_binary_upload_cut_by_kill_9_leaves_nothing_behind()
    {
        using TemporaryFolder folder = new();
        using (ServerProcess server = ServerProcess.Start(folder["data"]))
        {
            using BlockedStream body = new(await File.ReadAllBytesAsync(Tool.Perforator));
            using StreamContent content = new(body);
            content.Headers.ContentType = new("application/octet-stream");
            Task<HttpResponseMessage> put = server.Http.PutAsync("api/v1/binaries/aa01", content);
            string temporary = folder["data/blobs/tmp"];
            Assert.True(
                SpinWait.SpinUntil(() => Directory.GetFiles(temporary).Length > 0, TimeSpan.FromSeconds(30)), "the upload never began");
            server.Kill();
            body.Release();
            await Assert.ThrowsAsync<HttpRequestException>(() => put);
        }
        using ServerProcess restarted = ServerProcess.Start(folder["data"]);
        using HttpRequestMessage head = new(HttpMethod.Head, "api/v1/binaries/aa01");
        using HttpResponseMessage response = await restarted.Http.SendAsync(head);
        Assert.Equal(System.Net.HttpStatusCode.NotFound, response.StatusCode);
        Assert.Empty(Directory.GetFiles(folder["data/blobs/tmp"]));
    }

    /// <summary>Gives its bytes at once and its end only when released.</summary>
    private sealed class BlockedStream(byte[] bytes) : MemoryStream(bytes)
    {
        private readonly TaskCompletionSource released = new();

        public void Release() => released.TrySetResult();

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            int n = await base.ReadAsync(buffer, cancellationToken);
            if (n == 0)
                await released.Task;
            return n;
        }
    }
}
