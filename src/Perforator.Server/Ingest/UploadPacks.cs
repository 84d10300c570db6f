using System.Buffers;
using System.Security.Cryptography;
using Perforator.Server.Results;
using Perforator.Server.Storage;

namespace Perforator.Server.Ingest;

/// <summary>What became of an upload that is stored.</summary>
/// <param name="IsNew">It was not there before.</param>
/// <param name="Lacking">Those of its builds whose binaries are not there.</param>
internal sealed record StoredUpload(bool IsNew, IReadOnlyList<BuildId> Lacking);

/// <summary>
/// Stores uploads: the bytes, then the index. Those that come together share an object, a pack, and the database's statements: either costs
/// as much for one as for dozens. What comes alone is stored at once; what comes while a pack is under way goes into the next one, which
/// waits for that unless it is full.
/// </summary>
internal sealed class UploadPacks
{
    /// <summary>How many packs are stored at once.</summary>
    private const int MaxUnderWay = 4;

    /// <summary>How many uploads share a pack, so that who waits for many does not wait for all.</summary>
    private const int MaxUploads = 64;

    /// <summary>How many bytes they have, but for one that has more by itself.</summary>
    private const int MaxBytes = 2 << 20;

    private readonly IObjectStore objects;
    private readonly IProfileIndex index;
    private readonly IBinaryCatalog binaries;
    private readonly Lock access = new();
    private readonly Queue<Waiting> waiting = [];
    private long waitingBytes;
    private int underWay;

    public UploadPacks(ServerStorage storage)
    {
        objects = storage.Objects;
        index = storage.Profiles;
        binaries = storage.Binaries;
    }

    /// <summary>An upload that is not stored yet.</summary>
    private sealed class Waiting(NewUpload upload, byte[] encoded)
        : TaskCompletionSource<StoredUpload>(TaskCreationOptions.RunContinuationsAsynchronously)
    {
        public NewUpload Upload { get; } = upload;

        public byte[] Encoded { get; } = encoded;
    }

    /// <summary>Stores an upload; completes when it survives a crash of the process or the machine.</summary>
    /// <param name="upload">What the index has to know of it.</param>
    /// <param name="encoded">Its bytes, which must not change meanwhile.</param>
    /// <exception cref="IOException">It could not be stored. What came at the same time may have failed with it.</exception>
    public Task<StoredUpload> StoreAsync(NewUpload upload, byte[] encoded)
    {
        Waiting one = new(upload, encoded);
        lock (access)
        {
            waiting.Enqueue(one);
            waitingBytes += encoded.Length;
            if (underWay == MaxUnderWay || (underWay != 0 && !IsFull))
                return one.Task;
            underWay++;
        }
        // What stores for all is no part of the request that happens to begin it.
        ThreadPool.UnsafeQueueUserWorkItem(static packs => _ = packs.RunAsync(), this, preferLocal: false);
        return one.Task;
    }

    private async Task RunAsync()
    {
        while (Next() is { } group)
        {
            try
            {
                await StoreAsync(group);
            }
            catch (Exception e) when (e is StorageAwayException || group.Count == 1)
            {
                // Those that wait behind a store that does not answer would only wait as long once more.
                foreach (Waiting one in e is StorageAwayException ? group.Concat(All()) : group)
                    one.TrySetException(e);
            }
            catch (Exception)
            {
                await StoreOneByOneAsync(group);
            }
        }
    }

    /// <summary>Whether a whole pack waits.</summary>
    private bool IsFull => waiting.Count >= MaxUploads || waitingBytes >= MaxBytes;

    /// <summary>The next uploads; null, and less is under way, when none waits or others take them.</summary>
    private List<Waiting>? Next()
    {
        lock (access)
        {
            if (waiting.Count == 0 || (underWay > 1 && !IsFull))
            {
                underWay--;
                return null;
            }
            List<Waiting> group = [];
            long bytes = 0;
            while (waiting.TryPeek(out Waiting? one)
                && (group.Count == 0 || (group.Count < MaxUploads && bytes + one.Encoded.Length <= MaxBytes)))
            {
                group.Add(waiting.Dequeue());
                bytes += one.Encoded.Length;
            }
            waitingBytes -= bytes;
            return group;
        }
    }

    private Waiting[] All()
    {
        lock (access)
        {
            Waiting[] all = [.. waiting];
            waiting.Clear();
            waitingBytes = 0;
            return all;
        }
    }

    /// <summary>What cannot be stored keeps the others of its group from nothing.</summary>
    private async Task StoreOneByOneAsync(List<Waiting> group)
    {
        foreach (Waiting one in group.Where(static one => !one.Task.IsCompleted))
        {
            try
            {
                await StoreAsync([one]);
            }
            catch (Exception e)
            {
                one.TrySetException(e);
            }
        }
    }

    private async Task StoreAsync(List<Waiting> group)
    {
        IReadOnlyList<(UploadState State, ObjectSlice Place)> known =
            await index.FindAsync([.. group.Select(static one => one.Upload.Hash)], CancellationToken.None);
        HashSet<BuildId> lacking = await LackingAsync([.. group.SelectMany(BuildsOf).Distinct()]);
        bool[] there = await Task.WhenAll(group.Zip(known, (one, found) => IsThereAsync(one, found.State, found.Place)));
        List<Waiting> left = [];
        foreach ((Waiting one, bool isThere) in group.Zip(there))
            if (isThere)
                End(one, isNew: false);
            else
                left.Add(one);
        while (left.Count != 0)
        {
            string pack = await PutAsync(left);
            NewUpload[] uploads = new NewUpload[left.Count];
            long start = 0;
            for (int i = 0; i < uploads.Length; start += left[i++].Encoded.Length)
                uploads[i] = left[i].Upload with { Object = pack, StartAt = start };
            IReadOnlyList<UploadOutcome> outcomes = await index.AddAsync(uploads, CancellationToken.None);
            List<Waiting> collecting = [];
            foreach ((Waiting one, UploadOutcome outcome) in left.Zip(outcomes))
                if (outcome == UploadOutcome.Collecting)
                    collecting.Add(one);
                else
                    End(one, isNew: outcome != UploadOutcome.Duplicate);
            left = collecting;
            if (left.Count != 0)
                await Task.Delay(TimeSpan.FromMilliseconds(100));
        }

        void End(Waiting one, bool isNew) => one.SetResult(new StoredUpload(isNew, [.. BuildsOf(one).Where(lacking.Contains)]));
    }

    private static IEnumerable<BuildId> BuildsOf(Waiting one) => one.Upload.Builds.Select(static build => build.BuildId);

    /// <summary>Those of some builds whose executable is not there.</summary>
    private async Task<HashSet<BuildId>> LackingAsync(IReadOnlyCollection<BuildId> builds) =>
    [
        .. builds.Except((await binaries.FindAsync(builds, CancellationToken.None))
            .Where(static file => file.Kind == BinaryKind.Executable).Select(static file => file.BuildId)),
    ];

    private async Task<bool> IsThereAsync(Waiting one, UploadState state, ObjectSlice place)
    {
        if (state != UploadState.Kept)
            return state == UploadState.Forgotten;
        if (await objects.ReadAsync(place, CancellationToken.None) is { } kept
            && (kept.AsSpan().SequenceEqual(one.Encoded) || ProfileReader.IsWhole(kept, one.Upload.Hash)))
            return true;
        // It vanished or is damaged: what is sent again heals it.
        await index.MarkDamagedAsync(one.Upload.Hash, place, CancellationToken.None);
        return false;
    }

    /// <summary>Puts uploads, one behind the other, as one object.</summary>
    /// <returns>Its key.</returns>
    private async Task<string> PutAsync(List<Waiting> group)
    {
        if (group is [var only])
            return await PutAsync(only.Encoded);
        byte[] buffer = ArrayPool<byte>.Shared.Rent(group.Sum(static one => one.Encoded.Length));
        int length = 0;
        foreach (Waiting one in group)
        {
            one.Encoded.CopyTo(buffer, length);
            length += one.Encoded.Length;
        }
        string key = await PutAsync(buffer.AsMemory(0, length));
        // After a failure something may still be reading it.
        ArrayPool<byte>.Shared.Return(buffer);
        return key;
    }

    private async Task<string> PutAsync(ReadOnlyMemory<byte> content)
    {
        string key = ObjectKeys.Pack(Convert.ToHexStringLower(SHA256.HashData(content.Span)));
        await objects.PutAsync(key, content, CancellationToken.None);
        return key;
    }
}
