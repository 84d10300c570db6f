using Microsoft.Data.Sqlite;
using Perforator.Branches;
using Perforator.Server.Storage;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Server;

/// <summary>The SQLite store keeps the contract.</summary>
public sealed class SqliteProfileStoreTests : ProfileStoreContract, IDisposable
{
    private readonly TemporaryFolder folder = new();
    private DataFolder data;

    public SqliteProfileStoreTests() => data = DataFolder.Open(folder["data"]);

    private protected override IProfileStore Store => data.Profiles;

    private async Task AddOneAsync()
    {
        byte[] encoded = BranchProfileCodec.Encode(Uploads.Set());
        Assert.True(await Store.AddAsync(BranchProfileCodec.ContentHash(encoded), encoded, Uploads.Set(), CancellationToken.None));
    }

    private void Reopen()
    {
        data.Dispose();
        data = DataFolder.Open(folder["data"]);
    }

    [Fact]
    public async Task Profiles_are_there_after_reopening()
    {
        await AddOneAsync();
        Reopen();
        Assert.Equal(10UL, (await Store.MergeAsync("search", BuildId.Parse("aa01"), default, CancellationToken.None))!.Profile.Samples);
    }

    [Fact]
    public async Task A_profile_damaged_on_the_disk_is_counted_as_lost_and_costs_only_itself()
    {
        await AddOneAsync();
        string blob = Assert.Single(Directory.GetFiles(folder["data/blobs/profiles"]));
        File.WriteAllBytes(blob, File.ReadAllBytes(blob)[..^1]);
        MergedProfile merged = (await Store.MergeAsync("search", BuildId.Parse("aa01"), default, CancellationToken.None))!;
        Assert.Equal((0UL, 1UL), (merged.Profile.Samples, merged.Losses.Total));
    }

    /// <summary>Sums of full chunks are kept; whatever is asked, in whatever order, they never change an answer.</summary>
    [Fact]
    public async Task Kept_sums_give_the_same_as_adding_up_anew()
    {
        FileBlobStore blobs = new(folder["chunked"]);
        using SqliteProfileStore store = new(folder["chunked.db"], blobs, chunkSize: 4);
        Random random = new(3);
        Dictionary<int, ulong> counts = [];
        for (int minute = 0; minute < 30; minute++)
        {
            string service = random.Next(4) == 0 ? "ads" : "search";
            BranchProfileSet set = Uploads.Set(service, count: (ulong)random.Next(1, 1000), minute: minute);
            if (service == "search")
                counts[minute] = set.TotalSamples;
            byte[] encoded = BranchProfileCodec.Encode(set);
            await store.AddAsync(BranchProfileCodec.ContentHash(encoded), encoded, set, CancellationToken.None);

            int first = random.Next(-1, minute), last = random.Next(first, minute + 1);
            TimeSpanFilter span = new(Uploads.Start.AddMinutes(first).AddSeconds(61), Uploads.Start.AddMinutes(last).AddSeconds(1));
            foreach ((TimeSpanFilter asked, IEnumerable<KeyValuePair<int, ulong>> expected) in new[]
            {
                (TimeSpanFilter.All, counts.AsEnumerable()), (span, counts.Where(c => c.Key > first && c.Key <= last)),
            })
            {
                MergedProfile? merged = await store.MergeAsync("search", BuildId.Parse("aa01"), asked, CancellationToken.None);
                Assert.Equal((expected.Count(), expected.Sum(static c => (long)c.Value)), ((int)(merged?.Count ?? 0), (long)(merged?.Profile.Samples ?? 0)));
            }
        }
        Assert.NotEmpty(Directory.GetFiles(folder["chunked/sums/search/aa01"]));
    }

    [Fact]
    public void A_database_of_a_newer_version_or_of_something_else_is_refused()
    {
        data.Dispose();
        using (SqliteConnection connection = new($"Data Source={folder["data/perforator.db"]};Pooling=false"))
        {
            connection.Open();
            using SqliteCommand command = connection.CreateCommand();
            command.CommandText = "PRAGMA user_version=99";
            command.ExecuteNonQuery();
        }
        Assert.Contains("newer perforator", Assert.Throws<UserErrorException>(() => DataFolder.Open(folder["data"])).Message, StringComparison.Ordinal);

        Directory.CreateDirectory(folder["other"]);
        folder.Write("other/perforator.db", "this is not a database, only a text of some length");
        Assert.Contains("cannot be used", Assert.Throws<UserErrorException>(() => DataFolder.Open(folder["other"])).Message, StringComparison.Ordinal);
    }

    public void Dispose()
    {
        data.Dispose();
        folder.Dispose();
    }
}

/// <summary>The file store keeps the contract.</summary>
public sealed class FileBlobStoreTests : BlobStoreContract, IDisposable
{
    private readonly TemporaryFolder folder = new();

    public FileBlobStoreTests() => Store = new FileBlobStore(folder.Path);

    private protected override IBlobStore Store { get; }

    public void Dispose() => folder.Dispose();
}
