using System.Collections;
using System.Diagnostics.CodeAnalysis;

namespace Perforator.SampleProfiles;

/// <summary>
/// Values by line location, in order of location. A profile holds hundreds of thousands of these entries, most of them added in
/// order, so they lie in sorted chunks of bounded size: 16 bytes an entry, appending is cheap, and adding in any other
/// order (which a hostile profile chooses) moves one chunk at most.
/// </summary>
public sealed class LocationMap<T> : IReadOnlyCollection<KeyValuePair<LineLocation, T>>
    where T : class
{
    private const int ChunkCapacity = 256;

    private struct Chunk
    {
        public ulong[] Keys;
        public T[] Values;
        public int Count;
    }

    /// <summary>A map without values, not to be added to.</summary>
    internal static LocationMap<T> Empty { get; } = new();

    private Chunk[] chunks = [];
    private int chunkCount;

    /// <summary>How many locations have a value.</summary>
    public int Count { get; private set; }

    /// <summary>The entry of the lowest location.</summary>
    /// <exception cref="InvalidOperationException">The map is empty.</exception>
    public KeyValuePair<LineLocation, T> First =>
        Count == 0
            ? throw new InvalidOperationException("the map is empty") : new(LineLocation.FromKey(chunks[0].Keys[0]), chunks[0].Values[0]);

    /// <summary>The value at a location.</summary>
    /// <exception cref="KeyNotFoundException">The location has none.</exception>
    public T this[LineLocation location] =>
        TryGetValue(location, out T? value) ? value : throw new KeyNotFoundException($"no value at {location}");

    /// <summary>Finds the value at a location.</summary>
    public bool TryGetValue(LineLocation location, [NotNullWhen(true)] out T? value)
    {
        if (Count != 0)
        {
            ref Chunk chunk = ref chunks[ChunkFor(location.Key)];
            int at = Array.BinarySearch(chunk.Keys, 0, chunk.Count, location.Key);
            if (at >= 0)
            {
                value = chunk.Values[at];
                return true;
            }
        }
        value = null;
        return false;
    }

    /// <summary>The value at a location, made by <paramref name="make"/> when there is none.</summary>
    public T GetOrAdd(LineLocation location, Func<T> make)
    {
        ulong key = location.Key;
        if (Count == 0)
            return Append(key, make());
        int index = ChunkFor(key);
        ref Chunk chunk = ref chunks[index];
        if (key > chunk.Keys[chunk.Count - 1])
        {
            if (index == chunkCount - 1)
                return Append(key, make());
            return Insert(index, chunk.Count, key, make());
        }
        int at = Array.BinarySearch(chunk.Keys, 0, chunk.Count, key);
        return at >= 0 ? chunk.Values[at] : Insert(index, ~at, key, make());
    }

    /// <summary>Removes the value at a location, if there is one.</summary>
    public bool Remove(LineLocation location)
    {
        if (Count == 0)
            return false;
        int index = ChunkFor(location.Key);
        ref Chunk chunk = ref chunks[index];
        int at = Array.BinarySearch(chunk.Keys, 0, chunk.Count, location.Key);
        if (at < 0)
            return false;
        chunk.Count--;
        Count--;
        Array.Copy(chunk.Keys, at + 1, chunk.Keys, at, chunk.Count - at);
        Array.Copy(chunk.Values, at + 1, chunk.Values, at, chunk.Count - at);
        chunk.Values[chunk.Count] = null!;
        if (chunk.Count == 0)
        {
            chunkCount--;
            Array.Copy(chunks, index + 1, chunks, index, chunkCount - index);
            chunks[chunkCount] = default;
        }
        return true;
    }

    /// <summary>Removes all values.</summary>
    public void Clear()
    {
        chunks = [];
        chunkCount = 0;
        Count = 0;
    }

    /// <summary>All entries by location.</summary>
    public Enumerator GetEnumerator() => new(this);

    IEnumerator<KeyValuePair<LineLocation, T>> IEnumerable<KeyValuePair<LineLocation, T>>.GetEnumerator() => GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    /// <summary>The last chunk that starts at or before the key, or the first.</summary>
    private int ChunkFor(ulong key)
    {
        if (chunkCount == 1 || key >= chunks[chunkCount - 1].Keys[0])
            return chunkCount - 1;
        int low = 0, high = chunkCount - 1;
        while (low < high)
        {
            int middle = (low + high + 1) >>> 1;
            if (chunks[middle].Keys[0] <= key)
                low = middle;
            else
                high = middle - 1;
        }
        return low;
    }

    private T Append(ulong key, T value)
    {
        if (chunkCount == 0 || chunks[chunkCount - 1].Count == ChunkCapacity)
            InsertChunk(chunkCount, new Chunk
            {
                Keys = new ulong[chunkCount == 0 ? 4 : ChunkCapacity],
                Values = new T[chunkCount == 0 ? 4 : ChunkCapacity]
            });
        return InsertAt(ref chunks[chunkCount - 1], chunks[chunkCount - 1].Count, key, value);
    }

    private T Insert(int index, int at, ulong key, T value)
    {
        if (chunks[index].Count < ChunkCapacity)
            return InsertAt(ref chunks[index], at, key, value);
        const int Half = ChunkCapacity / 2;
        Chunk upper = new() { Keys = new ulong[ChunkCapacity], Values = new T[ChunkCapacity], Count = Half };
        ref Chunk lower = ref chunks[index];
        Array.Copy(lower.Keys, Half, upper.Keys, 0, Half);
        Array.Copy(lower.Values, Half, upper.Values, 0, Half);
        Array.Clear(lower.Values, Half, Half);
        lower.Count = Half;
        InsertChunk(index + 1, upper);
        return at <= Half ? InsertAt(ref chunks[index], at, key, value) : InsertAt(ref chunks[index + 1], at - Half, key, value);
    }

    private T InsertAt(ref Chunk chunk, int at, ulong key, T value)
    {
        if (chunk.Count == chunk.Keys.Length)
        {
            int capacity = Math.Min(2 * chunk.Count, ChunkCapacity);
            Array.Resize(ref chunk.Keys, capacity);
            Array.Resize(ref chunk.Values, capacity);
        }
        Array.Copy(chunk.Keys, at, chunk.Keys, at + 1, chunk.Count - at);
        Array.Copy(chunk.Values, at, chunk.Values, at + 1, chunk.Count - at);
        chunk.Keys[at] = key;
        chunk.Values[at] = value;
        chunk.Count++;
        Count++;
        return value;
    }

    private void InsertChunk(int index, Chunk chunk)
    {
        if (chunkCount == chunks.Length)
            Array.Resize(ref chunks, Math.Max(1, 2 * chunkCount));
        Array.Copy(chunks, index, chunks, index + 1, chunkCount - index);
        chunks[index] = chunk;
        chunkCount++;
    }

    /// <summary>Walks a map by location. The map must not change meanwhile.</summary>
    public struct Enumerator : IEnumerator<KeyValuePair<LineLocation, T>>
    {
        private readonly LocationMap<T> map;
        private int chunk;
        private int at;

        internal Enumerator(LocationMap<T> map)
        {
            this.map = map;
            at = -1;
        }

        /// <inheritdoc/>
        public readonly KeyValuePair<LineLocation, T> Current =>
            new(LineLocation.FromKey(map.chunks[chunk].Keys[at]), map.chunks[chunk].Values[at]);

        readonly object IEnumerator.Current => Current;

        /// <inheritdoc/>
        public bool MoveNext()
        {
            if (chunk >= map.chunkCount)
                return false;
            if (++at < map.chunks[chunk].Count)
                return true;
            at = 0;
            return ++chunk < map.chunkCount;
        }

        /// <inheritdoc/>
        public void Reset()
        {
            chunk = 0;
            at = -1;
        }

        /// <inheritdoc/>
        public readonly void Dispose() { }
    }
}
