using Microsoft.Win32.SafeHandles;

namespace Perforator.PerfScript;

/// <summary>
/// Cuts a file of perf script text into blocks for several threads, and passes on between them what is mapped. Blocks begin and end
/// between two lines that are a sample each, where a reader has nothing to remember; where no such place comes, the rest is one block.
/// </summary>
internal sealed class PerfScriptBlocks(SafeFileHandle file, long fileLength)
{
    /// <summary>Where blocks would end if lines did not matter.</summary>
    public const int Length = 1 << 18;

    /// <summary>The longest block but for the rest.</summary>
    public const int Longest = Length + SearchLength;

    /// <summary>A place to cut must come within so many bytes. Nearly always it is behind the second line.</summary>
    private const int SearchLength = 1 << 18;

    private const int FirstSearchLength = 1 << 13;

    private readonly object gate = new();
    private readonly List<byte[]> events = [];
    private readonly byte[] search = new byte[SearchLength];
    private long next;
    private int taken;
    private int announced;
    private bool abandoned;

    /// <summary>A part of the file.</summary>
    /// <param name="Number">How many blocks stand before it.</param>
    /// <param name="Start">File offset of its first byte.</param>
    /// <param name="Size">Its length in bytes.</param>
    /// <param name="IsRest">Whether it is all that is left because there was no place to cut; it may be large.</param>
    public readonly record struct Block(int Number, long Start, long Size, bool IsRest);

    /// <summary>The next block of the file; false at its end, or when another thread has failed.</summary>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public bool TryTake(out Block block)
    {
        lock (gate)
        {
            block = default;
            if (next >= fileLength || abandoned)
                return false;
            long end = fileLength - next <= Length ? fileLength : FindCut(next + Length);
            block = end < 0 ? new(taken++, next, fileLength - next, true) : new(taken++, next, end - next, false);
            next += block.Size;
            return true;
        }
    }

    /// <summary>A block's text.</summary>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public ReadOnlySpan<byte> Read(in Block block, byte[] buffer) => Read(block.Start, buffer.AsSpan(0, (int)block.Size));

    /// <summary>
    /// Makes a block's events known to all, once those before it are, and returns all events that stand before it. To be called once
    /// for each block.
    /// </summary>
    /// <exception cref="OperationCanceledException">Another thread has failed.</exception>
    public byte[][] EventsBefore(in Block block, List<byte[]> own)
    {
        lock (gate)
        {
            while (announced != block.Number && !abandoned)
                Monitor.Wait(gate);
            if (abandoned)
                throw new OperationCanceledException();
            byte[][] before = [.. events];
            events.AddRange(own);
            announced++;
            Monitor.PulseAll(gate);
            return before;
        }
    }

    /// <summary>All events, once all blocks have been announced.</summary>
    public byte[][] AllEvents() => [.. events];

    /// <summary>Ends the work of the other threads, as the result is not to be had any more.</summary>
    public void Abandon()
    {
        lock (gate)
        {
            abandoned = true;
            Monitor.PulseAll(gate);
        }
    }

    /// <summary>The first place to cut at or behind an offset; -1 when it is not near.</summary>
    private long FindCut(long from)
    {
        foreach (int length in (ReadOnlySpan<int>)[FirstSearchLength, SearchLength])
        {
            int cut = PerfScriptReader.FindCut(Read(from, search.AsSpan(0, (int)Math.Min(length, fileLength - from))));
            if (cut >= 0)
                return from + cut;
        }
        return fileLength - from <= SearchLength ? fileLength : -1;
    }

    private ReadOnlySpan<byte> Read(long offset, Span<byte> buffer)
    {
        int filled = 0;
        for (int read; filled < buffer.Length && (read = RandomAccess.Read(file, buffer[filled..], offset + filled)) > 0;)
            filled += read;
        return buffer[..filled];
    }
}
