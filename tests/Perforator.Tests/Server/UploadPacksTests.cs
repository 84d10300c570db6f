using System.Collections.Concurrent;
using Perforator.Branches;
using Perforator.Server.Ingest;
using Perforator.Server.Storage;
using Perforator.Server.Storage.Embedded;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Server;

/// <summary>Counts what is asked of a store, and holds up what is put while <see cref="Gate"/> is closed.</summary>
internal sealed class RecordingStore(IObjectStore? inner) : IObjectStore
{
    private int puts, reads;

    public ConcurrentDictionary<string, byte[]> Objects { get; } = [];

    /// <summary>Lets puts through; an exception makes them fail.</summary>
    public TaskCompletionSource Gate { get; set; } = new();

    /// <summary>How often something was read.</summary>
    public int Reads => reads;

    /// <summary>How often something began to be put.</summary>
    public int Puts => puts;

    public async Task PutAsync(string key, ReadOnlyMemory<byte> content, CancellationToken stop)
    {
        Interlocked.Increment(ref puts);
        await Gate.Task;
        Objects[key] = content.ToArray();
    }

    public Task<byte[]?> ReadAsync(string key, long offset, int length, CancellationToken stop)
    {
        Interlocked.Increment(ref reads);
        return inner is null
            ? Task.FromResult(
                Objects.TryGetValue(key, out byte[]? bytes)
                    ? bytes.AsSpan((int)offset, Math.Min(length, bytes.Length - (int)offset)).ToArray() : null)
            : inner.ReadAsync(key, offset, length, stop);
    }

    public Task PutFileAsync(string key, string file, CancellationToken stop) => throw new NotSupportedException();

    public Task<Stream?> OpenAsync(string key, CancellationToken stop) => throw new NotSupportedException();

    public Task<LocalObject?> LeaseAsync(string key, CancellationToken stop) => throw new NotSupportedException();

    public Task<StoredObject?> StatAsync(string key, CancellationToken stop) => throw new NotSupportedException();

    public IAsyncEnumerable<StoredObject> ListAsync(string prefix, CancellationToken stop) => throw new NotSupportedException();

    public Task QuarantineAsync(string key, CancellationToken stop) => throw new NotSupportedException();

    public Task DeleteAsync(string key, CancellationToken stop) => throw new NotSupportedException();
}

/// <summary>Uploads that come together share an object; one that comes alone waits for nobody.</summary>
public sealed class UploadPacksTests : IAsyncLifetime, IDisposable
{
    private readonly TemporaryFolder folder = new();
    private readonly RecordingStore store = new(null);
    private ServerStorage storage = null!;
    private UploadPacks packs = null!;

    public async Task InitializeAsync()
    {
        storage = await EmbeddedStorage.OpenAsync(folder["data"], TimeProvider.System, CancellationToken.None);
        packs = new UploadPacks(storage with { Objects = store });
    }

    private static byte[] Encoded(int number) => BranchProfileCodec.Encode(Uploads.Set(minute: number));

    private Task<bool> StoreAsync(int number) => StoreAsync(Uploads.Set(minute: number), Encoded(number));

    private async Task<bool> StoreAsync(BranchProfileSet set, byte[] encoded) => (await packs.StoreAsync(New(set, encoded), encoded)).IsNew;

    private static NewUpload New(BranchProfileSet set, byte[] encoded) =>
        NewUpload.Of(BranchProfileCodec.ContentHash(encoded), encoded.Length, set, Uploads.Start.AddDays(1));

    private async Task<byte[]> StoredAsync(byte[] encoded)
    {
        (UploadState state, ObjectSlice place) = await storage.Profiles.FindAsync(
            BranchProfileCodec.ContentHash(encoded), CancellationToken.None);
        Assert.Equal(UploadState.Kept, state);
        return store.Objects[place.Object].AsSpan((int)place.Start, (int)place.Length).ToArray();
    }

    /// <summary>Begins to store uploads, and waits until some packs are held up in the store.</summary>
    private async Task<Task<bool>[]> BeginAsync(int count, int packs = 1)
    {
        Task<bool>[] begun = [.. Enumerable.Range(0, count).Select(StoreAsync)];
        for (int i = 0; i < 60_000 && store.Puts < packs; i++)
            await Task.Delay(1);
        Assert.DoesNotContain(begun, static one => one.IsCompleted);
        return begun;
    }

    [Fact]
    public async Task What_comes_while_others_are_put_goes_into_few_objects_and_each_is_found_where_the_index_tells()
    {
        Task<bool>[] begun = await BeginAsync(200, packs: 3);
        store.Gate.SetResult();
        Assert.All(await Task.WhenAll(begun), Assert.True);
        // The first has what had come, those that did not wait for it 64 each, the last one what is left.
        Assert.InRange(store.Objects.Count, 4, 6);
        Assert.All(store.Objects.Keys, static key => Assert.StartsWith("packs/", key, StringComparison.Ordinal));
        Assert.True(await StoreAsync(1000));
        foreach (int number in (int[])[.. Enumerable.Range(0, 200), 1000])
            Assert.Equal(Encoded(number), await StoredAsync(Encoded(number)));
        Assert.Equal(
            Encoded(1000),
            store.Objects[(await storage.Profiles.FindAsync(
                BranchProfileCodec.ContentHash(Encoded(1000)), CancellationToken.None)).Place.Object]);
    }

    [Fact]
    public async Task A_pack_waits_for_the_one_under_way_unless_it_is_full()
    {
        Task<bool>[] begun = await BeginAsync(60);
        await Task.Delay(100);
        Assert.Equal(1, store.Puts);
        Task<bool>[] more = [.. Enumerable.Range(60, 70).Select(StoreAsync)];
        for (int i = 0; i < 60_000 && store.Puts < 2; i++)
            await Task.Delay(1);
        Assert.Equal(2, store.Puts);
        store.Gate.SetResult();
        Assert.All(await Task.WhenAll([.. begun, .. more]), Assert.True);
    }

    [Fact]
    public async Task Each_is_told_which_of_its_binaries_are_lacking()
    {
        await storage.Binaries.AddAsync(
            new(BuildId.Parse("aa01"), BinaryKind.Executable, "binaries/aa01", 1, 1, false, Uploads.Start), false, CancellationToken.None);
        await storage.Binaries.AddAsync(
            new(BuildId.Parse("bb02"), BinaryKind.Debug, "binaries/bb02.debug", 1, 0, true, Uploads.Start), false, CancellationToken.None);
        BranchProfileSet[] sets = [.. ((string[])["aa01", "bb02", "cc03"]).Select(static id => Uploads.Set(buildId: id))];
        sets[0].Add(new BranchProfile(BuildId.Parse("dd04"), "/lib/mapped-only.so"));
        Task<StoredUpload>[] begun =
        [
            .. sets.Select(static set => (Set: set, Encoded: BranchProfileCodec.Encode(set)))
                .Select(one => packs.StoreAsync(New(one.Set, one.Encoded), one.Encoded)),
        ];
        store.Gate.SetResult();
        Assert.Equal(["", "bb02", "cc03"], (await Task.WhenAll(begun)).Select(static one => string.Join(' ', one.Lacking)));
    }

    [Fact]
    public async Task What_has_many_bytes_goes_by_itself()
    {
        // Whoever reads them finds them damaged; they are stored as they come.
        byte[][] large =
            [.. Enumerable.Range(0, 20).Select(static i => (byte[])[.. Encoded(i), .. new byte[i == 19 ? 5_000_000 : 600_000]])];
        Task<bool>[] begun = [.. large.Select((bytes, i) => StoreAsync(Uploads.Set(minute: i), bytes))];
        store.Gate.SetResult();
        Assert.All(await Task.WhenAll(begun), Assert.True);
        foreach (byte[] bytes in large)
            Assert.Equal(bytes, await StoredAsync(bytes));
        Assert.Contains(store.Objects.Values, pack => pack.Length == large[19].Length);
        Assert.All(store.Objects.Values, pack => Assert.True(pack.Length <= 2 << 20 || pack.Length == large[19].Length));
    }

    [Fact]
    public async Task Those_that_wait_behind_a_store_that_is_away_are_told_with_it_and_later_ones_are_stored()
    {
        // Fewer than a pack, so that one is under way and all others wait behind it.
        Task<bool>[] begun = await BeginAsync(60);
        TaskCompletionSource first = store.Gate;
        store.Gate = new();
        first.SetException(new StorageAwayException("s3://here does not answer", new IOException()));
        foreach (Task<bool> one in begun)
            await Assert.ThrowsAsync<StorageAwayException>(() => one.WaitAsync(TimeSpan.FromMinutes(1)));
        Assert.Empty(await storage.Profiles.ListServicesAsync(CancellationToken.None));
        store.Gate.SetResult();
        Assert.True(await StoreAsync(7));
        store.Gate = new();
        store.Gate.SetException(new IOException("the disk is full"));
        Task<bool>[] full = [.. Enumerable.Range(8, 20).Select(StoreAsync)];
        foreach (Task<bool> one in full)
            Assert.Contains("full", (await Assert.ThrowsAsync<IOException>(() => one)).Message, StringComparison.Ordinal);
    }

    /// <summary>A name that a database does not take is refused earlier; were it not, it would fail alone.</summary>
    [Fact]
    public async Task What_cannot_be_stored_keeps_the_others_from_nothing()
    {
        byte[] bad = Encoded(500);
        NewUpload unnamed = New(Uploads.Set(minute: 500), bad) with { Hash = null! };
        Task<bool>[] begun = await BeginAsync(20);
        Task<StoredUpload> refused = packs.StoreAsync(unnamed, bad);
        Task<bool>[] behind = [.. Enumerable.Range(20, 20).Select(StoreAsync)];
        store.Gate.SetResult();
        await Assert.ThrowsAnyAsync<Exception>(() => refused);
        Assert.All(await Task.WhenAll([.. begun, .. behind]), Assert.True);
        Assert.Equal(40, Assert.Single(await storage.Profiles.ListServicesAsync(CancellationToken.None)).Uploads);
    }

    [Fact]
    public async Task The_same_upload_at_the_same_time_counts_once()
    {
        Task<bool>[] begun = [.. Enumerable.Range(0, 50).Select(_ => StoreAsync(1))];
        store.Gate.SetResult();
        Assert.Single(await Task.WhenAll(begun), static added => added);
        Assert.Equal(1, Assert.Single(await storage.Profiles.ListServicesAsync(CancellationToken.None)).Uploads);
        Assert.Equal(Encoded(1), await StoredAsync(Encoded(1)));
    }

    public async Task DisposeAsync() => await storage.DisposeAsync();

    public void Dispose() => folder.Dispose();
}
