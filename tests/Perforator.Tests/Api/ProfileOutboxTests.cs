using System.Net.Http.Headers;
using Perforator.Api;
using Perforator.Api.Uploading;
using Perforator.Branches;
using Perforator.Tests.Infrastructure;
using Perforator.Tests.Server;

namespace Perforator.Tests.Api;

public sealed class ProfileOutboxTests : IDisposable
{
    private static readonly OutboxLimits Limits = new() { Age = TimeSpan.FromDays(100_000) };

    private readonly TemporaryFolder folder = new();
    private readonly List<string> said = [];

    /// <summary>A server that keeps what it is sent, each content once, unless it is told to fail.</summary>
    private sealed class Receiver : IProfileUpload
    {
        public Dictionary<string, BranchProfileSet> Received { get; } = [];

        public Func<BranchProfileSet, ServerException?> Fails { get; set; } = static _ => null;

        public ulong Samples => Received.Values.Aggregate(0UL, static (sum, set) => sum + set.TotalSamples);

        public Task<UploadReceipt> SendProfileAsync(byte[] encoded, CancellationToken stop)
        {
            BranchProfileSet set = BranchProfileCodec.Decode(encoded);
            if (Fails(set) is { } failure)
                throw failure;
            Received[BranchProfileCodec.ContentHash(encoded)] = set;
            return Task.FromResult(new UploadReceipt("", false, []));
        }

        public Task SendBinariesAsync(IReadOnlyList<BuildId> builds, UploadReceipt receipt, CancellationToken stop) => Task.CompletedTask;
    }

    private string Folder => folder["spool"];

    private string[] Files => Directory.GetFiles(Folder, "*.branches");

    private ProfileOutbox Open(OutboxLimits? limits = null) => new(new Spool(Folder), limits ?? Limits, said.Add);

    [Fact]
    public async Task What_is_added_is_on_the_disk_until_it_is_acknowledged()
    {
        Receiver server = new();
        using (ProfileOutbox outbox = Open())
        {
            outbox.Add(Uploads.Set(minute: 1));
            outbox.Add(Uploads.Set(minute: 2, service: "ads"));
            Assert.Equal(2, Files.Length);
        }
        // The process has ended without a word; the next one sends what it finds.
        using ProfileOutbox next = Open();
        Assert.Equal(2, next.Waiting.Profiles);
        Assert.Null(await next.SendAsync(server, CancellationToken.None));
        Assert.Equal(20UL, server.Samples);
        Assert.Empty(Files);
        Assert.Equal(["2 profiles of an earlier run wait in " + Folder + " and will be sent"], said);
    }

    [Fact]
    public async Task Profiles_of_a_service_that_cannot_be_sent_add_up_and_those_that_were_offered_stay_as_they_are()
    {
        Receiver server = new() { Fails = static _ => new ServerException(ServerFailure.Unreachable, "away") };
        ProfileOutbox outbox = Open();
        outbox.Add(Uploads.Set(minute: 0));
        Assert.Equal("away", await outbox.SendAsync(server, CancellationToken.None));
        string offered = Assert.Single(Files);
        for (int minute = 1; minute <= 8; minute++)
            outbox.Add(Uploads.Set(minute: minute));
        Assert.Equal(2, Files.Length);
        Assert.Contains(offered, Files);
        string sum = Assert.Single(Files, file => file != offered);
        byte[] content = File.ReadAllBytes(sum);
        Assert.Equal(80UL, BranchProfileCodec.Decode(content).TotalSamples);
        outbox.Dispose();

        // Killed after the sum was written and before its parts were deleted: they count once.
        using (ProfileOutbox another = new(new Spool(folder["parts"]), Limits, said.Add))
            another.Add(Uploads.Set(minute: 3));
        string part = Directory.GetFiles(folder["parts"], "*.branches")[0];
        File.Copy(part, Path.Combine(Folder, Path.GetFileName(part)));
        server.Fails = static _ => null;
        using ProfileOutbox next = Open();
        Assert.Null(await next.SendAsync(server, CancellationToken.None));
        Assert.Equal((2, 90UL), (server.Received.Count, server.Samples));
        Assert.Empty(Files);
    }

    [Fact]
    public async Task What_is_too_much_or_too_old_is_dropped_oldest_first_and_the_next_profile_tells_so()
    {
        Receiver server = new();
        using (ProfileOutbox full = Open())
            for (int minute = 0; minute < 5; minute++)
                full.Add(Uploads.Set(minute: minute, count: 100 + (ulong)minute));
        long size = new FileInfo(Files[0]).Length;
        using ProfileOutbox outbox = Open(Limits with { SpoolBytes = size * 7 / 2 });
        Assert.Equal((2, 201UL, 3), (outbox.DroppedProfiles, outbox.DroppedSamples, outbox.Waiting.Profiles));
        Assert.Contains(said, static line => line.StartsWith("dropped 2 profiles with 201 branch stacks", StringComparison.Ordinal));
        outbox.Add(Uploads.Set(minute: 9));
        Assert.Null(await outbox.SendAsync(server, CancellationToken.None));
        Assert.Equal(201UL, Assert.Single(server.Received.Values, static set => set.Losses.Total != 0).Losses[ProfileOutbox.Dropped]);

        using ProfileOutbox old = new(null, Limits with { Age = TimeSpan.FromMinutes(1) }, said.Add);
        old.Add(Uploads.Set());
        Assert.Equal((1, 0), (old.DroppedProfiles, old.Waiting.Profiles));
    }

    [Fact]
    public async Task What_a_dropped_profile_would_have_told_of_others_is_told_by_a_later_one()
    {
        Receiver server = new();
        long size;
        using (ProfileOutbox first = Open())
        {
            first.Add(Uploads.Set(minute: 0));
            size = new FileInfo(Files[0]).Length;
        }
        using ProfileOutbox outbox = Open(Limits with { SpoolBytes = size * 15 / 8 });
        for (int minute = 1; minute < 5; minute++)
            outbox.Add(Uploads.Set(minute: minute));
        Assert.Equal((4, 40UL, 1), (outbox.DroppedProfiles, outbox.DroppedSamples, outbox.Waiting.Profiles));
        // That of minute 0, which minute 2's would have told, and minute 2's own; those of minutes 1 and 3 are told by the next.
        Assert.Null(await outbox.SendAsync(server, CancellationToken.None));
        Assert.Equal(20UL, Assert.Single(server.Received.Values).Losses[ProfileOutbox.Dropped]);
        outbox.Add(Uploads.Set(minute: 5));
        Assert.Null(await outbox.SendAsync(server, CancellationToken.None));
        Assert.Equal(40UL, server.Received.Values.Aggregate(0UL, static (sum, set) => sum + set.Losses[ProfileOutbox.Dropped]));
    }

    [Fact]
    public async Task A_damaged_file_is_noticed_at_the_start_and_costs_only_itself()
    {
        using (ProfileOutbox outbox = Open())
            for (int minute = 0; minute < 3; minute++)
                outbox.Add(Uploads.Set(minute: minute));
        string damaged = Files.Order(StringComparer.Ordinal).First();
        byte[] content = File.ReadAllBytes(damaged);
        content[^3] ^= 1;
        File.WriteAllBytes(damaged, content);
        File.WriteAllText(Path.Combine(Folder, ".x.branches.y.part"), "half");
        File.WriteAllText(Path.Combine(Folder, "mine.branches"), "not an agent's");
        Receiver server = new();
        using ProfileOutbox next = Open();
        Assert.Equal(1, next.DroppedProfiles);
        Assert.Contains($"dropped {damaged}: it is damaged", said);
        Assert.Null(await next.SendAsync(server, CancellationToken.None));
        Assert.Equal(20UL, server.Samples);
        Assert.Equal([".lock", "mine.branches"], Directory.GetFiles(Folder).Select(Path.GetFileName).Order());
    }

    [Fact]
    public async Task Without_a_usable_spool_profiles_wait_in_memory_and_go_to_the_disk_once_it_can_be_used()
    {
        File.WriteAllText(Folder, "in the way");
        using ProfileOutbox outbox = Open();
        Assert.StartsWith($"the spool {Folder} cannot be used: ", Assert.Single(said), StringComparison.Ordinal);
        for (int minute = 0; minute < 9; minute++)
            outbox.Add(Uploads.Set(minute: minute));
        Assert.Equal(2, outbox.Waiting.Profiles);
        Assert.Equal(outbox.Waiting.Bytes, outbox.Waiting.InMemory);
        Assert.Single(said);

        File.Delete(Folder);
        outbox.Add(Uploads.Set(minute: 10));
        Assert.Equal((3, 0L), (Files.Length, outbox.Waiting.InMemory));
        Assert.Equal($"the spool {Folder} is used again", said[^1]);
        using ProfileOutbox second = Open();
        Assert.Contains(said, line => line.StartsWith($"the spool {Folder} is another agent's", StringComparison.Ordinal));
        Receiver server = new();
        Assert.Null(await outbox.SendAsync(server, CancellationToken.None));
        Assert.Equal(100UL, server.Samples);
    }

    [Fact]
    public async Task One_service_that_the_server_does_not_take_does_not_hold_up_the_others()
    {
        Receiver server = new()
        {
            Fails = static set => set.Service switch
            {
                "a" => new ServerException(ServerFailure.Forbidden, "not yours"),
                "b" => new ServerException(ServerFailure.Refused, "too large"),
                _ => null,
            },
        };
        using ProfileOutbox outbox = Open();
        foreach (string service in (string[])["a", "b", "c"])
            outbox.Add(Uploads.Set(service));
        Assert.NotNull(await outbox.SendAsync(server, CancellationToken.None));
        Assert.Equal("c", Assert.Single(server.Received.Values).Service);
        // What may be allowed later waits; what is refused as it is never will be taken.
        Assert.Equal((1, 1), (outbox.Waiting.Profiles, outbox.DroppedProfiles));
    }

    [Fact]
    public void Pauses_between_attempts_grow_differ_and_are_as_long_as_the_server_says()
    {
        Assert.All(Enumerable.Range(0, 100), static attempt =>
        {
            TimeSpan full = TimeSpan.FromSeconds(Math.Min(60, 0.5 * Math.Pow(2, attempt)));
            Assert.InRange(ServerClient.PauseBefore(attempt, null), full / 2, full);
        });
        TimeSpan[] told =
            [.. Enumerable.Range(0, 100)
                .Select(static _ => ServerClient.PauseBefore(0, new RetryConditionHeaderValue(TimeSpan.FromSeconds(20))))];
        Assert.All(told, static pause => Assert.InRange(pause, TimeSpan.FromSeconds(20), TimeSpan.FromSeconds(30)));
        Assert.True(told.Distinct().Count() > 90);
        Assert.InRange(
            ServerClient.PauseBefore(0, new RetryConditionHeaderValue(TimeSpan.FromDays(9))), TimeSpan.FromMinutes(10),
            TimeSpan.FromMinutes(15));
    }

    public void Dispose() => folder.Dispose();
}
