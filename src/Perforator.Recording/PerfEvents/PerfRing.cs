using Perforator.PerfData;

namespace Perforator.Recording.PerfEvents;

/// <summary>
/// One memory-mapped ring buffer: a page of metadata (struct perf_event_mmap_page), then a power of two of data pages into which
/// the kernel writes records at data_head and from which they are read up to there from data_tail on.
/// </summary>
internal sealed unsafe class PerfRing : IDisposable
{
    // Offsets in struct perf_event_mmap_page.
    internal const int DataHead = 1024;
    internal const int DataTail = 1032;

    /// <summary>MAX_ERRNO: no address lies that close below 2^64.</summary>
    private const int MaxErrorNumber = 4095;

    private readonly byte* metadata;
    private readonly byte* data;
    private readonly ulong size;
    private readonly IKernel? kernel;
    private readonly nuint mappedBytes;
    private readonly byte[] wrapped = new byte[ushort.MaxValue + 1];

    /// <summary>Reads from memory that is laid out as a ring already.</summary>
    /// <param name="metadata">The metadata page.</param>
    /// <param name="data">The data pages.</param>
    /// <param name="size">Bytes of data: a power of two.</param>
    internal PerfRing(byte* metadata, byte* data, ulong size) : this(metadata, data, size, null, 0) { }

    private PerfRing(byte* metadata, byte* data, ulong size, IKernel? kernel, nuint mappedBytes)
    {
        this.kernel = kernel;
        this.metadata = metadata;
        this.data = data;
        this.size = size;
        this.mappedBytes = mappedBytes;
    }

    /// <summary>
    /// Maps an event's ring buffer. perf_mmap answers EPERM past kernel.perf_event_mlock_kb and RLIMIT_MEMLOCK, and ENOMEM where there are
    /// not as many pages.
    /// </summary>
    /// <param name="bytes">What to hold: a power of two; a page if that is larger.</param>
    /// <returns>The ring, or null and the error number.</returns>
    public static PerfRing? TryMap(IKernel kernel, PerfEvent perfEvent, int bytes, out int error)
    {
        nuint page = (nuint)kernel.PageSize;
        nuint length = page + Math.Max(page, (nuint)bytes);
        nint address = kernel.Map(perfEvent.Fd, length);
        error = address is < 0 and >= -MaxErrorNumber ? (int)-address : 0;
        return error != 0 ? null : new PerfRing((byte*)address, (byte*)address + page, (ulong)(length - page), kernel, length);
    }

    /// <summary>Hands over every record that is in the ring now and gives its space back to the kernel.</summary>
    /// <returns>How many bytes of records there were.</returns>
    /// <exception cref="InvalidDataException">The ring holds no valid records; all of it was skipped.</exception>
    public ulong Read(PerfRecordHandler handler, PerfRecordLayout layout)
    {
        // The kernel's store to data_head comes after those of the records (acquire); its space may be reused once data_tail is stored
        // (release).
        ulong head = Volatile.Read(ref *(ulong*)(metadata + DataHead));
        ulong start = *(ulong*)(metadata + DataTail);
        ulong tail = start;
        try
        {
            while (tail < head)
            {
                // Records begin at multiples of 8 bytes, so a header never wraps around.
                ulong offset = tail & (size - 1);
                PerfRecordHeader header = PerfRecordHeader.Parse(new(data + offset, PerfRecordHeader.ByteCount));
                if (header.Size > head - tail)
                    throw new InvalidDataException($"perf ring buffer: a record of {header.Size} bytes where {head - tail} are left");
                if (offset + header.Size <= size)
                {
                    handler(new(data + offset, header.Size), layout);
                }
                else
                {
                    int first = (int)(size - offset);
                    new ReadOnlySpan<byte>(data + offset, first).CopyTo(wrapped);
                    new ReadOnlySpan<byte>(data, header.Size - first).CopyTo(wrapped.AsSpan(first));
                    handler(wrapped.AsSpan(0, header.Size), layout);
                }
                tail += header.Size;
            }
        }
        catch (Bytes.MalformedInputException e)
        {
            throw new InvalidDataException($"perf ring buffer: {e.Message}", e);
        }
        finally
        {
            Volatile.Write(ref *(ulong*)(metadata + DataTail), head);
        }
        return head - start;
    }

    public void Dispose()
    {
        kernel?.Unmap((nint)metadata, mappedBytes);
    }
}
