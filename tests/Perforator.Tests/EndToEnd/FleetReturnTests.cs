using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Perforator.Api;
using Perforator.Api.Uploading;
using Perforator.Branches;
using Perforator.Tests.Infrastructure;
using Perforator.Tests.Server;

namespace Perforator.Tests.EndToEnd;

/// <summary>
/// A fleet whose server was away comes back at once, each host with all that has waited: in front of the server stands one that takes only
/// so many at a time and loses answers, and the server itself is killed in between.
/// </summary>
public sealed class FleetReturnTests : IDisposable
{
    /// <summary>Of each host and service.</summary>
    private const int Intervals = 3;

    /// <summary>That have waited in all; PERFORATOR_TEST_RETURNING says another number, such as half a million.</summary>
    private static int Waiting { get; } =
        int.TryParse(Environment.GetEnvironmentVariable("PERFORATOR_TEST_RETURNING"), out int all) ? all : 432;

    /// <summary>What a timer of the runtime may come early: its clock goes by the kernel's ticks, of 100 a second or more.</summary>
    private static readonly TimeSpan TimerStep = TimeSpan.FromMilliseconds(10);

    private static int Hosts { get; } = Math.Clamp(Waiting / 18, 24, 1000);

    private static int Services { get; } = Math.Max(6, Waiting / Hosts / Intervals);

    /// <summary>Every tenth host has no room for all of it.</summary>
    private static bool IsShort(int host) => host % 10 == 0;

    private static BranchProfileSet Interval(int host, int service, int interval)
    {
        BranchProfileSet set = Uploads.Set($"service-{service}", count: 10, minute: interval, host: $"node-{host}");
        set.Profiles.Values.Single().AddBranch(new(0x10000 + (ulong)((host * Intervals) + interval)), new(0x2000), 1);
        return set;
    }

    /// <summary>What balancers do to a server's clients.</summary>
    private sealed class Balancer : IDisposable
    {
        private const int AtATime = 6;

        private readonly HttpListener listener = new();
        private readonly HttpClient http = new(new SocketsHttpHandler { UseProxy = false });
        private readonly Func<Uri> server;
        private readonly ConcurrentDictionary<string, long> sentAway = new(StringComparer.Ordinal);
        private int underWay, forwarded, put, swallowed, failed;

        public Balancer(Func<Uri> server)
        {
            this.server = server;
            using (TcpListener free = new(IPAddress.Loopback, 0))
            {
                free.Start();
                Address = new Uri($"http://{free.LocalEndpoint}/");
            }
            listener.Prefixes.Add(Address.ToString());
            listener.Start();
            _ = Task.Run(AcceptAsync);
        }

        public Uri Address { get; }

        public int Requests { get; private set; }

        /// <summary>Requests that were told to come later.</summary>
        public int SentAway => Volatile.Read(ref put);

        /// <summary>Answers of the server that nobody got.</summary>
        public int Swallowed => Volatile.Read(ref swallowed);

        /// <summary>Requests that the server was away for.</summary>
        public int Failed => Volatile.Read(ref failed);

        /// <summary>Requests that came again before the time they were told.</summary>
        public ConcurrentBag<TimeSpan> TooEarly { get; } = [];

        public void Dispose()
        {
            listener.Close();
            http.Dispose();
        }

        private async Task AcceptAsync()
        {
            try
            {
                while (true)
                {
                    HttpListenerContext context = await listener.GetContextAsync();
                    Requests++;
                    _ = Task.Run(() => AnswerAsync(context));
                }
            }
            catch (Exception e) when (e is HttpListenerException or ObjectDisposedException)
            {
            }
        }

        private async Task AnswerAsync(HttpListenerContext context)
        {
            using MemoryStream body = new();
            await context.Request.InputStream.CopyToAsync(body);
            string hash = BranchProfileCodec.ContentHash(body.ToArray());
            if (sentAway.TryRemove(hash, out long when) && Stopwatch.GetElapsedTime(when) is var waited
                && waited < TimeSpan.FromSeconds(1) - TimerStep)
                TooEarly.Add(waited);
            try
            {
                if (Interlocked.Increment(ref underWay) > AtATime)
                {
                    sentAway[hash] = Stopwatch.GetTimestamp();
                    context.Response.StatusCode = Interlocked.Increment(ref put) % 2 == 0 ? 429 : 503;
                    context.Response.AddHeader("Retry-After", "1");
                    context.Response.Close();
                    return;
                }
                using ByteArrayContent content = new(body.ToArray());
                content.Headers.ContentType = new(ApiMediaTypes.Branches);
                using HttpResponseMessage answer = await http.PostAsync(new Uri(server(), context.Request.RawUrl), content);
                if (Interlocked.Increment(ref forwarded) % 11 == 0)
                {
                    Interlocked.Increment(ref swallowed);
                    context.Response.StatusCode = (int)HttpStatusCode.GatewayTimeout;
                    context.Response.Close();
                    return;
                }
                byte[] bytes = await answer.Content.ReadAsByteArrayAsync();
                context.Response.StatusCode = (int)answer.StatusCode;
                context.Response.ContentType = $"{answer.Content.Headers.ContentType}";
                context.Response.Close(bytes, willBlock: false);
            }
            catch (HttpRequestException)
            {
                Interlocked.Increment(ref failed);
                context.Response.StatusCode = (int)HttpStatusCode.BadGateway;
                context.Response.Close();
            }
            finally
            {
                Interlocked.Decrement(ref underWay);
            }
        }
    }

    private readonly TemporaryFolder folder = new();

    [Fact]
    public async Task A_fleet_that_comes_back_at_once_waits_as_it_is_told_and_each_interval_counts_once_or_is_told_as_lost()
    {
        Uri address;
        using (ServerProcess before = ServerProcess.Start(folder["data"]))
            address = before.Address;
        using Balancer balancer = new(() => address);
        long one = BranchProfileCodec.Encode(Interval(1, 1, 1)).Length;
        OutboxLimits all = new() { Age = TimeSpan.FromDays(100_000) };
        ProfileOutbox[] hosts = [.. Enumerable.Range(0, Hosts).Select(host => new ProfileOutbox(
            new Spool(folder[$"spool/{host}"]), IsShort(host) ? all with { SpoolBytes = one * Services * 3 / 4 } : all, static _ => { }))];
        ServerClient[] clients = [.. hosts.Select(_ => new ServerClient(balancer.Address, retries: int.MaxValue))];
        try
        {
            Parallel.For(0, Hosts, host =>
            {
                for (int interval = 0; interval < Intervals; interval++)
                    for (int service = 0; service < Services; service++)
                        hosts[host].Add(Interval(host, service, interval));
            });
            Task<string?>[] sending =
                [.. hosts.Select((outbox, i) => Task.Run(() => outbox.SendAsync(new Sending(clients[i]), CancellationToken.None)))];
            // All of them have met a server that is not there.
            await UntilAsync(() => balancer.SentAway + balancer.Failed >= Hosts);
            using (ServerProcess first = ServerProcess.Start(folder["data"], address.Port))
            {
                await UntilAsync(() => balancer.Swallowed > 1);
                first.Kill();
            }
            using ServerProcess server = ServerProcess.Start(folder["data"], address.Port);
            Assert.All(await Task.WhenAll(sending), Assert.Null);

            Assert.True(balancer.SentAway > 0 && balancer.Swallowed > 1);
            // Whatever is sent is an interval that was not acknowledged before.
            Assert.Equal(
                hosts.Sum(static outbox => outbox.Sent) + balancer.SentAway + balancer.Swallowed + balancer.Failed, balancer.Requests);

            HashSet<(int Service, ulong Interval)> counted = [];
            ulong told = 0;
            for (int service = 0; service < Services; service++)
            {
                byte[] bytes = await server.Http.GetByteArrayAsync($"api/v1/services/service-{service}/branches?windowDays=1000");
                BranchProfileSet set = BranchProfileCodec.Decode(bytes);
                BranchProfile sum = set.Profiles.Values.Single();
                PairCount[] intervals = [.. sum.Branches.Sorted().Where(static row => !row.First.IsExternal && row.First.Value >= 0x10000)];
                Assert.All(intervals, static row => Assert.Equal(1UL, row.Count));
                Assert.Equal(10UL * (ulong)intervals.Length, sum.Samples);
                counted.UnionWith(intervals.Select(row => (service, row.First.Value)));
                told += set.Losses[ProfileOutbox.Dropped] + sum.Losses[ProfileOutbox.Dropped];
            }
            int dropped = hosts.Sum(static outbox => outbox.DroppedProfiles);
            Assert.Equal(Hosts * Services * Intervals, counted.Count + dropped);
            Assert.Equal(10UL * (ulong)dropped, hosts.Aggregate(0UL, static (sum, outbox) => sum + outbox.DroppedSamples));
            Assert.True(dropped >= Services, $"{dropped} were dropped");
            Assert.InRange(told, 10UL, 10UL * (ulong)dropped);
            Assert.Empty(balancer.TooEarly);
        }
        finally
        {
            foreach (ProfileOutbox outbox in hosts)
                outbox.Dispose();
            foreach (ServerClient client in clients)
                client.Dispose();
        }
    }

    private static async Task UntilAsync(Func<bool> isSo)
    {
        for (DateTime end = DateTime.UtcNow.AddMinutes(3); !isSo(); await Task.Delay(20))
            Assert.True(DateTime.UtcNow < end, "nothing arrives");
    }

    private sealed class Sending(ServerClient client) : IProfileUpload
    {
        public Task<UploadReceipt> SendProfileAsync(byte[] encoded, CancellationToken stop) => client.UploadProfileAsync(encoded, stop);

        public Task SendBinariesAsync(IReadOnlyList<BuildId> builds, UploadReceipt receipt, CancellationToken stop) => Task.CompletedTask;
    }

    public void Dispose() => folder.Dispose();
}
