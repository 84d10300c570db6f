using System.Buffers;
using System.Security.Cryptography;

namespace Perforator.Server.Storage;

/// <summary>
/// Puts uploads that come together into one object, a pack: an object costs as much to put and to fetch as hundreds of kilobytes in it. A few
/// puts are under way at most; what comes meanwhile goes into the next one together, and what comes alone is put at once.
/// </summary>
internal sealed class UploadPacks
{
    /// <summary>How many packs are put at once: more would only be smaller.</summary>
    private const int MaxUnderWay = 2;

    /// <summary>How many uploads share a pack, so that who waits for many does not wait for all.</summary>
    private const int MaxUploads = 64;

    /// <summary>How many bytes they have, but for one that has more by itself.</summary>
    private const int MaxBytes = 2 << 20;

    private readonly IObjectStore objects;
    private readonly Lock access = new();
    private readonly Queue<Waiting> waiting = [];
    private int underWay;

    public UploadPacks(IObjectStore objects) => this.objects = objects;

    /// <summary>An upload whose turn has not come.</summary>
    private sealed class Waiting(byte[] encoded) : TaskCompletionSource<ObjectSlice>(TaskCreationOptions.RunContinuationsAsynchronously)
    {
        public byte[] Encoded { get; } = encoded;
    }

    /// <summary>Stores an upload; completes when it survives a crash of the process or the machine.</summary>
    /// <param name="encoded">Its bytes, which must not change meanwhile.</param>
    /// <returns>Where they are.</returns>
    /// <exception cref="IOException">They could not be put; those of others that came at the same time could not, either.</exception>
    public Task<ObjectSlice> PutAsync(byte[] encoded)
    {
        Waiting one = new(encoded);
        lock (access)
        {
            waiting.Enqueue(one);
            if (underWay == MaxUnderWay)
                return one.Task;
            underWay++;
        }
        // What puts for all is no part of the request that happens to begin it.
        ThreadPool.UnsafeQueueUserWorkItem(static packs => _ = packs.RunAsync(), this, preferLocal: false);
        return one.Task;
    }

    private async Task RunAsync()
    {
        while (Next() is { } pack)
        {
            try
            {
                await PutAsync(pack);
            }
            catch (Exception e)
            {
                // Those that wait behind a store that does not answer would only wait as long once more.
                foreach (Waiting one in e is StorageAwayException ? pack.Concat(All()) : pack)
                    one.SetException(e);
            }
        }
    }

    /// <summary>The next pack; null, and nothing is under way any more here, when nobody waits.</summary>
    private List<Waiting>? Next()
    {
        lock (access)
        {
            List<Waiting> pack = [];
            long bytes = 0;
            while (waiting.TryPeek(out Waiting? one) && (pack.Count == 0 || (pack.Count < MaxUploads && bytes + one.Encoded.Length <= MaxBytes)))
            {
                pack.Add(waiting.Dequeue());
                bytes += one.Encoded.Length;
            }
            if (pack.Count != 0)
                return pack;
            underWay--;
            return null;
        }
    }

    private Waiting[] All()
    {
        lock (access)
        {
            Waiting[] all = [.. waiting];
            waiting.Clear();
            return all;
        }
    }

    private async Task PutAsync(List<Waiting> pack)
    {
        if (pack is [var only])
        {
            await PutAsync(pack, only.Encoded);
            return;
        }
        byte[] buffer = ArrayPool<byte>.Shared.Rent(pack.Sum(static one => one.Encoded.Length));
        int length = 0;
        foreach (Waiting one in pack)
        {
            one.Encoded.CopyTo(buffer, length);
            length += one.Encoded.Length;
        }
        await PutAsync(pack, buffer.AsMemory(0, length));
        // After a failure something may still be reading it.
        ArrayPool<byte>.Shared.Return(buffer);
    }

    private async Task PutAsync(List<Waiting> pack, ReadOnlyMemory<byte> content)
    {
        string key = ObjectKeys.Pack(Convert.ToHexStringLower(SHA256.HashData(content.Span)));
        await objects.PutAsync(key, content, CancellationToken.None);
        long start = 0;
        foreach (Waiting one in pack)
        {
            one.SetResult(new ObjectSlice(key, start, one.Encoded.Length));
            start += one.Encoded.Length;
        }
    }
}
