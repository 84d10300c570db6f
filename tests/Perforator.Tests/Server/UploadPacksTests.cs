using System.Collections.Concurrent;
using System.Text;
using Perforator.Server.Storage;

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
        return inner!.ReadAsync(key, offset, length, stop);
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
public sealed class UploadPacksTests
{
    private readonly RecordingStore store = new(null);

    private static byte[] Upload(int number) => Encoding.ASCII.GetBytes($"upload {number};");

    private async Task CheckAsync(int number, Task<ObjectSlice> put)
    {
        ObjectSlice place = await put;
        Assert.Equal(Upload(number), store.Objects[place.Object].AsSpan((int)place.Start, (int)place.Length).ToArray());
    }

    [Fact]
    public async Task What_comes_while_others_are_put_goes_into_few_objects_and_each_is_found_where_it_is_told()
    {
        UploadPacks packs = new(store);
        Task<ObjectSlice>[] puts = [.. Enumerable.Range(0, 200).Select(i => packs.PutAsync(Upload(i)))];
        Assert.DoesNotContain(puts, static put => put.IsCompleted);
        store.Gate.SetResult();
        for (int i = 0; i < puts.Length; i++)
            await CheckAsync(i, puts[i]);
        // Two were put at once, of one upload or of more; the others by 64.
        Assert.InRange(store.Objects.Count, 4, 6);
        Assert.All(store.Objects.Keys, static key => Assert.StartsWith("packs/", key, StringComparison.Ordinal));
        await CheckAsync(1000, packs.PutAsync(Upload(1000)));
        Assert.Equal(Upload(1000), store.Objects[(await packs.PutAsync(Upload(1000))).Object]);
    }

    [Fact]
    public async Task What_has_many_bytes_goes_by_itself()
    {
        UploadPacks packs = new(store);
        Task<ObjectSlice>[] puts = [.. Enumerable.Range(1, 20).Select(i => packs.PutAsync(Enumerable.Repeat((byte)i, 600_000).ToArray())), packs.PutAsync(new byte[5_000_000])];
        store.Gate.SetResult();
        ObjectSlice[] places = await Task.WhenAll(puts);
        Assert.Equal(new ObjectSlice(places[^1].Object, 0, 5_000_000), places[^1]);
        Assert.All(store.Objects.Values, static pack => Assert.InRange(pack.Length, 600_000, 5_000_000));
        Assert.All(places, place => Assert.Single(store.Objects[place.Object].AsSpan((int)place.Start, (int)place.Length).ToArray().Distinct()));
    }

    [Fact]
    public async Task Each_upload_of_a_pack_that_could_not_be_put_is_told_and_those_behind_a_store_that_is_away_too()
    {
        UploadPacks packs = new(store);
        Task<ObjectSlice>[] puts = [.. Enumerable.Range(0, 200).Select(i => packs.PutAsync(Upload(i)))];
        for (int i = 0; i < 60_000 && store.Puts < 2; i++)
            await Task.Delay(1);
        TaskCompletionSource first = store.Gate;
        store.Gate = new();
        first.SetException(new StorageAwayException("s3://here does not answer", new IOException()));
        foreach (Task<ObjectSlice> put in puts)
            await Assert.ThrowsAsync<StorageAwayException>(() => put.WaitAsync(TimeSpan.FromMinutes(1)));
        store.Gate.SetResult();
        await CheckAsync(7, packs.PutAsync(Upload(7)));
        store.Gate = new();
        store.Gate.SetException(new IOException("the disk is full"));
        Assert.Contains("full", (await Assert.ThrowsAsync<IOException>(() => packs.PutAsync(Upload(8)))).Message, StringComparison.Ordinal);
    }
}
