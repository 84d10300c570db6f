using System.Collections.Concurrent;
using Perforator.Branches;
using Perforator.Tests.Infrastructure;
using Perforator.Tests.Server;

namespace Perforator.Tests.EndToEnd;

/// <summary>kill -9 of the server loses nothing it has acknowledged, and leaves nothing half-stored.</summary>
public class ServerDurabilityTests
{
    private const int Rounds = 6;
    private const int Clients = 3;

    /// <summary>
    /// Clients upload as fast as they can, each profile with a branch of its own, until the server is killed at a random moment. After
    /// a restart every acknowledged profile is there once, those under way are there whole or not at all.
    /// </summary>
    [Fact]
    public async Task Acknowledged_profiles_survive_kill_9_at_random_moments()
    {
        using TemporaryFolder folder = new();
        Random random = new(2026);
        ConcurrentDictionary<int, bool> acknowledged = [];
        int sent = 0;
        for (int round = 0; round < Rounds; round++)
        {
            using ServerProcess server = ServerProcess.Start(folder["data"]);
            await CheckAsync(server, acknowledged, sent);
            Task[] clients = [.. Enumerable.Range(0, Clients).Select(_ => Task.Run(async () =>
            {
                while (true)
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
            server.Kill();
            await Task.WhenAll(clients);
        }
        using ServerProcess last = ServerProcess.Start(folder["data"]);
        await CheckAsync(last, acknowledged, sent);
    }

    private static BranchProfileSet Numbered(int number)
    {
        BranchProfileSet set = Uploads.Set(minute: number);
        set.Profiles.Values.Single().AddBranch(new(0x10000 + (ulong)number), new(0x2000), 1);
        return set;
    }

    private static async Task CheckAsync(ServerProcess server, ConcurrentDictionary<int, bool> acknowledged, int sent)
    {
        if (acknowledged.IsEmpty)
            return;
        BranchProfile sum = BranchProfileCodec.Decode(await server.Http.GetByteArrayAsync("api/v1/services/search/branches")).Profiles.Values.Single();
        PairCount[] numbered = [.. sum.Branches.Sorted().Where(static row => !row.First.IsExternal && row.First.Value > 0x10000)];
        Assert.Empty(sum.Losses.ByReason);
        Assert.All(numbered, static row => Assert.Equal(1UL, row.Count));
        Assert.Empty(acknowledged.Keys.Except(numbered.Select(static row => (int)(row.First.Value - 0x10000))));
        Assert.InRange(numbered.Length, acknowledged.Count, sent);
        Assert.Equal(10UL * (ulong)numbered.Length, sum.Samples);
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
            Assert.True(SpinWait.SpinUntil(() => Directory.GetFiles(temporary).Length > 0, TimeSpan.FromSeconds(30)), "the upload never began");
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
