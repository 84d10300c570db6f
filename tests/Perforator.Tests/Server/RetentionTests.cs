using System.Security.Cryptography;
using Perforator.Api;
using Perforator.Branches;
using Perforator.Server;
using Perforator.Server.Results;
using Perforator.Server.Retention;
using Perforator.Server.Storage;
using Perforator.Server.Storage.Embedded;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Server;

/// <summary>Adding up, forgetting and collecting change no answer before they must.</summary>
public sealed class RetentionTests : IAsyncLifetime, IDisposable
{
    private sealed class SetTime : TimeProvider
    {
        public DateTimeOffset Now { get; set; } = Uploads.Start;

        public override DateTimeOffset GetUtcNow() => Now;
    }

    private readonly TemporaryFolder folder = new();
    private readonly SetTime time = new();
    private ServerStorage storage = null!;
    private ProfileReader reader = null!;
    private BlockBuilder blocks = null!;
    private Collector collector = null!;

    private static CancellationToken Stop => CancellationToken.None;

    public async Task InitializeAsync()
    {
        storage = await EmbeddedStorage.OpenAsync(folder["data"], time, Stop);
        reader = new ProfileReader(storage);
        ServerSettings settings = new(folder["data"], ApiRoutes.DefaultAddress)
        {
            KeepUploads = TimeSpan.FromDays(2),
            KeepSums = TimeSpan.FromDays(20),
            Grace = TimeSpan.FromHours(1),
        };
        blocks = new BlockBuilder(storage, reader, settings, time);
        collector = new Collector(storage, settings, time);
    }

    /// <summary>Stores uploads in one pack.</summary>
    private async Task UploadAsync(params BranchProfileSet[] sets)
    {
        byte[][] encoded = [.. sets.Select(BranchProfileCodec.Encode)];
        byte[] pack = [.. encoded.SelectMany(static bytes => bytes)];
        string key = ObjectKeys.Pack(Convert.ToHexStringLower(SHA256.HashData(pack)));
        await storage.Objects.PutAsync(key, pack, Stop);
        for (int i = 0, start = 0; i < sets.Length; start += encoded[i++].Length)
            await storage.Profiles.AddAsync(New(sets[i], encoded[i]) with { Object = key, StartAt = start }, Stop);
    }

    private NewUpload New(BranchProfileSet set, byte[] encoded) =>
        NewUpload.Of(BranchProfileCodec.ContentHash(encoded), encoded.Length, set, time.Now > set.End ? time.Now : set.End);

    /// <summary>Stores an upload as it was before there were packs.</summary>
    private async Task UploadAloneAsync(BranchProfileSet set)
    {
        byte[] encoded = BranchProfileCodec.Encode(set);
        NewUpload upload = New(set, encoded);
        await storage.Objects.PutAsync(ObjectKeys.Upload(upload.Hash), encoded, Stop);
        await storage.Profiles.AddAsync(upload, Stop);
    }

    private static string HashOf(BranchProfileSet set) => BranchProfileCodec.ContentHash(BranchProfileCodec.Encode(set));

    private int Packs => Directory.GetFiles(folder["data/blobs/packs"]).Length;

    /// <summary>All that an answer is made of, and what is lost in it.</summary>
    private Task<(string Uploads, string Sums, long Lost)> AnswerAsync(string? selector = null) =>
        ProfileReader.WithoutDamageAsync(() => AnswerOnceAsync(selector));

    private async Task<(string Uploads, string Sums, long Lost)> AnswerOnceAsync(string? selector)
    {
        SelectedProfiles selected = await reader.SelectAsync("search", new PgoRequest { Selector = selector, WindowDays = 1000 }, Stop);
        (SortedDictionary<string, ulong> sums, long lost) = await reader.SumAsync(
            selected, static () => new SortedDictionary<string, ulong>(StringComparer.Ordinal),
            static (sum, read) =>
            {
                foreach (BranchProfile profile in read.Set.Profiles.Values)
                    foreach (PairCount branch in profile.Branches.Sorted())
                        Count(sum, $"{read.Day} {string.Join(',', read.Labels)} {profile.BuildId} {branch.First} {branch.Second}", branch.Count);
            },
            static (sum, other) =>
            {
                foreach ((string key, ulong count) in other)
                    Count(sum, key, count);
            }, Stop);
        return (selected.Uploads.ToString(), string.Join('\n', sums), lost);

        static void Count(SortedDictionary<string, ulong> sum, string key, ulong count) => sum[key] = sum.GetValueOrDefault(key) + count;
    }

    [Fact]
    public async Task Adding_up_hours_and_days_and_forgetting_what_went_in_changes_no_answer()
    {
        Random random = new(7);
        for (int minute = 0; minute < 3 * 24 * 60; minute += random.Next(5, 90))
            await UploadAsync(
                Uploads.Set(count: (ulong)random.Next(1, 1000), minute: minute, buildId: random.Next(3) == 0
                    ? "bb02" : "aa01", host: $"node-{random.Next(3)}"));
        (string, string, long) all = await AnswerAsync(), one = await AnswerAsync("{host=\"node-1\"}");
        Assert.NotEqual(all, one);
        for (int hour = 0; hour < 100; hour += 7)
        {
            time.Now = Uploads.Start.AddHours(hour);
            await blocks.RunAsync(Stop);
            Assert.Equal((all, one), (await AnswerAsync(), await AnswerAsync("{host=\"node-1\"}")));
        }
        SelectedProfiles selected = await reader.SelectAsync("search", new PgoRequest { WindowDays = 1000 }, Stop);
        Assert.Equal(
            (0, 4), (selected.Profiles.Uploads.Count, selected.Profiles.Parts.Select(static part => part.Object).Distinct().Count()));

        // Old uploads go, a while after they were unlisted, and the sums stay.
        int files = Packs;
        await collector.RunAsync(Stop);
        Assert.Equal(files, Packs);
        time.Now = time.Now.AddHours(2);
        await collector.RunAsync(Stop);
        Assert.InRange(Packs, 1, files - 1);
        Assert.Equal(4, Directory.GetFiles(folder["data/blobs/sums"]).Length);
        Assert.Equal((all, one), (await AnswerAsync(), await AnswerAsync("{host=\"node-1\"}")));

        // What lies further back than sums are kept goes altogether.
        await UploadAsync(Uploads.Set(minute: 60 * 24 * 22));
        await collector.RunAsync(Stop);
        Assert.DoesNotContain(
            (await storage.Profiles.ListBuildDaysAsync("search", Stop)),
            static day => day.Day <= DateOnly.FromDateTime(Uploads.Start.AddDays(1).DateTime));
        time.Now = time.Now.AddHours(2);
        await collector.RunAsync(Stop);
        Assert.Equal(2, Directory.GetFiles(folder["data/blobs/sums"]).Length);
    }

    [Fact]
    public async Task A_damaged_sum_is_made_again_and_a_damaged_upload_costs_only_itself_until_it_is_sent_again()
    {
        BranchProfileSet first = Uploads.Set(), second = Uploads.Set(minute: 1);
        await UploadAsync(first, second);
        string pack = Assert.Single(Directory.GetFiles(folder["data/blobs/packs"]));
        (string, string, long) whole = await AnswerAsync();
        time.Now = Uploads.Start.AddDays(2);
        Assert.Equal(2, await blocks.RunAsync(Stop));
        string sum =
            Assert.Single(Directory.GetFiles(folder["data/blobs/sums"]), static file => file.EndsWith("-day", StringComparison.Ordinal));
        File.WriteAllBytes(sum, File.ReadAllBytes(sum)[..^3]);
        Assert.Equal(whole, await AnswerAsync());
        Assert.True(File.Exists(sum.Replace("/sums/", "/quarantine/sums/", StringComparison.Ordinal)));

        byte[] damaged = File.ReadAllBytes(pack);
        damaged[BranchProfileCodec.Encode(first).Length / 2] ^= 1;
        File.WriteAllBytes(pack, damaged);
        Assert.Equal(1, (await AnswerAsync()).Lost);
        Assert.Equal(damaged, File.ReadAllBytes(pack));
        Assert.Equal(
            damaged[..BranchProfileCodec.Encode(first).Length],
            File.ReadAllBytes(folder[$"data/blobs/{ObjectKeys.Quarantined(ObjectKeys.Upload(HashOf(first)))}"]));
        Assert.Equal(2, await blocks.RunAsync(Stop));
        Assert.Equal(1, (await AnswerAsync()).Lost);
        await UploadAsync(first);
        Assert.Equal(whole, await AnswerAsync());
    }

    [Fact]
    public async Task A_pack_that_is_cut_off_or_vanished_costs_what_was_in_it_until_that_is_sent_again()
    {
        BranchProfileSet[] sets = [.. Enumerable.Range(0, 6).Select(static i => Uploads.Set(count: (ulong)i + 1, minute: i))];
        await UploadAsync(sets[..3]);
        string pack = Assert.Single(Directory.GetFiles(folder["data/blobs/packs"]));
        await UploadAsync(sets[3..5]);
        await UploadAloneAsync(sets[5]);
        (string, string, long) whole = await AnswerAsync();
        File.WriteAllBytes(pack, File.ReadAllBytes(pack)[..^3]);
        Assert.Equal(1, (await AnswerAsync()).Lost);
        File.Delete(pack);
        Assert.Equal(3, (await AnswerAsync()).Lost);
        File.WriteAllText(folder[$"data/blobs/{ObjectKeys.Upload(HashOf(sets[5]))}"], "damaged");
        Assert.Equal(4, (await AnswerAsync()).Lost);
        Assert.False(File.Exists(folder[$"data/blobs/{ObjectKeys.Upload(HashOf(sets[5]))}"]));
        await UploadAsync(sets[5], sets[1]);
        Assert.Equal(2, (await AnswerAsync()).Lost);
        await UploadAsync(sets[0], sets[2]);
        Assert.Equal(whole, await AnswerAsync());
    }

    /// <summary>
    /// Uploads of two services alternate in packs; what lies close together is fetched at once, and each gets what is its own.
    /// </summary>
    [Fact]
    public async Task Neighbours_in_a_pack_are_fetched_at_once()
    {
        const int Count = 60;
        await UploadAsync(
            [.. Enumerable.Range(0, Count)
                .Select(static i => Uploads.Set(i % 2 == 0 ? "search" : "other", count: (ulong)i + 1, minute: i))]);
        RecordingStore counting = new(storage.Objects);
        reader = new ProfileReader(storage with { Objects = counting });
        (_, string sums, long lost) = await AnswerAsync();
        Assert.Equal(0, lost);
        Assert.Equal((ulong)Enumerable.Range(0, Count).Where(static i => i % 2 == 0).Sum(static i => i + 1), sums.Split('\n')
            .Where(static line => line.Contains("1040", StringComparison.Ordinal))
            .Aggregate(0UL, static (sum, line) => sum + CountOf(line)));
        // Each CPU has a run of it.
        Assert.InRange(counting.Reads, 1, Environment.ProcessorCount);

        static ulong CountOf(string line) =>
            ulong.Parse(line.Split(',')[^1].Trim(' ', ']'), System.Globalization.CultureInfo.InvariantCulture);
    }

    /// <summary>A database of yesterday over the objects of today, which were added up further since.</summary>
    [Fact]
    public async Task A_restored_backup_adds_up_what_it_knows_and_what_is_sent_again_and_nothing_else()
    {
        for (int minute = 0; minute < 100; minute += 10)
            await UploadAsync(Uploads.Set(count: (ulong)minute + 1, minute: minute));
        time.Now = Uploads.Start.AddHours(3);
        Assert.Equal(2, await blocks.RunAsync(Stop));
        (string, string, long) before = await AnswerAsync();
        Sql($"VACUUM INTO '{folder["backup.db"]}'");

        BranchProfileSet[] later = [Uploads.Set(count: 7, minute: 5), Uploads.Set(count: 9, minute: 180)];
        foreach (BranchProfileSet set in later)
            await UploadAsync(set);
        time.Now = Uploads.Start.AddDays(2);
        await blocks.RunAsync(Stop);
        await collector.RunAsync(Stop);
        (string, string, long) after = await AnswerAsync();
        Assert.NotEqual(before, after);

        await storage.DisposeAsync();
        foreach (string file in Directory.GetFiles(folder["data"], "perforator.db*"))
            File.Delete(file);
        File.Move(folder["backup.db"], folder["data/perforator.db"]);
        await InitializeAsync();
        Assert.Equal(before, await AnswerAsync());
        foreach (BranchProfileSet set in later)
            await UploadAsync(set);
        Assert.Equal(after, await AnswerAsync());
        await blocks.RunAsync(Stop);
        Assert.Equal(after, await AnswerAsync());
    }

    /// <summary>
    /// Objects of yesterday under the database of today: what is missing is told, and counts again once it is sent again.
    /// </summary>
    [Fact]
    public async Task Restored_objects_without_their_database_are_told_as_lost_until_they_are_sent_again()
    {
        BranchProfileSet[] sets = [.. Enumerable.Range(0, 6).Select(i => Uploads.Set(count: (ulong)i + 1, minute: i * 20))];
        foreach (BranchProfileSet set in sets[..3])
            await UploadAsync(set);
        Tool.Run("cp", ["-r", folder["data/blobs"], folder["backup"]]).Succeeded();
        foreach (BranchProfileSet set in sets[3..])
            await UploadAsync(set);
        time.Now = Uploads.Start.AddDays(2);
        await blocks.RunAsync(Stop);
        (string, string, long) whole = await AnswerAsync();

        await storage.DisposeAsync();
        Directory.Delete(folder["data/blobs"], recursive: true);
        Directory.Move(folder["backup"], folder["data/blobs"]);
        await InitializeAsync();
        Assert.Equal(3, (await AnswerAsync()).Lost);
        await blocks.RunAsync(Stop);
        Assert.Equal(3, (await AnswerAsync()).Lost);
        foreach (BranchProfileSet set in sets)
            await UploadAsync(set);
        Assert.Equal(whole, await AnswerAsync());
        await blocks.RunAsync(Stop);
        Assert.Equal(whole, await AnswerAsync());
    }

    private void Sql(string command)
    {
        using Microsoft.Data.Sqlite.SqliteConnection connection = new($"Data Source={folder["data/perforator.db"]};Pooling=false");
        connection.Open();
        using Microsoft.Data.Sqlite.SqliteCommand sql = connection.CreateCommand();
        sql.CommandText = command;
        sql.ExecuteNonQuery();
    }

    public async Task DisposeAsync() => await storage.DisposeAsync();

    public void Dispose() => folder.Dispose();
}
