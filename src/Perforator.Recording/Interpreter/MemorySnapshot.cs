using System.Runtime.InteropServices;
using static Perforator.Recording.Syscalls;

namespace Perforator.Recording.Interpreter;

/// <summary>
/// A process's memory as it was while its thread stood still: each page is copied at first touch, and writes go to the copies. Nothing
/// reaches the process.
/// </summary>
internal sealed unsafe class MemorySnapshot : IDisposable
{
    public const int PageSize = 1 << PageShift;
    public const int PageShift = 12;
    public const int LookasideSlots = 256;

    /// <summary>More pages than one path may touch; a path that wants more ends.</summary>
    private const int MaxPages = 1024;

    /// <summary>Pages announced at a time; no program is further ahead of itself.</summary>
    private const int MaxExpected = 64;

    // By the low bits of the page's number, shared with native code: see CpuState.PageAddresses.
    private readonly ulong* addresses, writable;
    private readonly byte** copies;
    private readonly byte* storage = Allocate();
    private readonly Dictionary<ulong, nint> pages = [], ahead = [];
    private readonly HashSet<ulong> announced = [];
    private readonly List<ulong> expected = new(MaxExpected);
    private readonly IoVector* local = (IoVector*)NativeMemory.Alloc(MaxExpected + 1, (nuint)sizeof(IoVector));
    private readonly IoVector* remote = (IoVector*)NativeMemory.Alloc(MaxExpected + 1, (nuint)sizeof(IoVector));
    private int stored;
    private int processId;
    private SharedKernelPages kernelPages = SharedKernelPages.None;

    /// <param name="state">The <see cref="CpuState"/>.</param>
    public MemorySnapshot(byte* state)
    {
        addresses = (ulong*)(state + CpuState.PageAddresses);
        writable = (ulong*)(state + CpuState.WritableAddresses);
        copies = (byte**)(state + CpuState.PageCopies);
        Begin(0, SharedKernelPages.None);
    }

    /// <summary>The numbers of the pages touched so far.</summary>
    public Dictionary<ulong, nint>.KeyCollection PageNumbers => pages.Keys;

    /// <summary>
    /// How often a page was touched that is not among those touched lately; pages that the program had announced by PREFETCH do not count.
    /// </summary>
    public int Misses { get; private set; }

    /// <summary>Whether anything was written to since <see cref="Begin"/> or <see cref="Mark"/>.</summary>
    public bool HasWritten { get; private set; }

    /// <summary>Whether the program had announced a page before it touched it.</summary>
    public bool WasAnnounced(ulong pageNumber) => announced.Contains(pageNumber);

    /// <summary>Forgets all pages: the thread stands somewhere else now.</summary>
    public void Begin(int process, SharedKernelPages shared)
    {
        processId = process;
        kernelPages = shared;
        pages.Clear();
        ahead.Clear();
        announced.Clear();
        expected.Clear();
        (stored, Misses) = (0, 0);
        for (int slot = 0; slot < LookasideSlots; slot++)
            addresses[slot] = Elsewhere(slot);
        Mark();
    }

    /// <summary>Has <see cref="HasWritten"/> say what happens from here on.</summary>
    public void Mark()
    {
        for (int slot = 0; slot < LookasideSlots; slot++)
            writable[slot] = Elsewhere(slot);
        HasWritten = false;
    }

    /// <summary>
    /// Notes that an address is about to be touched: its page is copied along with the next that is not here, for a third of what it costs
    /// alone.
    /// </summary>
    public void Expect(ulong address)
    {
        ulong page = address >> PageShift;
        if (announced.Add(page) && expected.Count < MaxExpected && !pages.ContainsKey(page))
            expected.Add(page);
    }

    /// <summary>Reads an integer of 1, 2, 4 or 8 bytes.</summary>
    public ulong Read(ulong address, int size)
    {
        int slot = Slot(address);
        ulong offset = address ^ addresses[slot], value = 0;
        if (offset <= PageSize - sizeof(ulong))
            value = *(ulong*)(copies[slot] + offset);
        else
            Read(address, new Span<byte>(&value, size));
        return Cpu.Truncate(value, size);
    }

    /// <summary>Where <paramref name="size"/> bytes at an address lie in one page's copy; null when they cross into the next.</summary>
    /// <param name="writes">Whether they may be written to.</param>
    public byte* Contiguous(ulong address, int size, bool writes)
    {
        int offset = OffsetInPage(address);
        return offset > PageSize - size ? null : offset + (writes ? Writable(address) : Page(address));
    }

    /// <summary>How many bytes from an address on lie in the same page, and where to read them.</summary>
    public int Run(ulong address, out byte* data)
    {
        int offset = OffsetInPage(address);
        data = Page(address) + offset;
        return PageSize - offset;
    }

    public void Read(ulong address, Span<byte> buffer)
    {
        while (buffer.Length > 0)
        {
            int run = Math.Min(Run(address, out byte* data), buffer.Length);
            new ReadOnlySpan<byte>(data, run).CopyTo(buffer);
            buffer = buffer[run..];
            address += (ulong)run;
        }
    }

    public void Write(ulong address, ReadOnlySpan<byte> bytes)
    {
        while (bytes.Length > 0)
        {
            int offset = OffsetInPage(address), run = Math.Min(PageSize - offset, bytes.Length);
            bytes[..run].CopyTo(new Span<byte>(Writable(address) + offset, run));
            bytes = bytes[run..];
            address += (ulong)run;
        }
    }

    /// <summary>Writes an integer of 1, 2, 4 or 8 bytes.</summary>
    public void Write(ulong address, ulong value, int size) => Write(address, new ReadOnlySpan<byte>(&value, size));

    public void Dispose()
    {
        NativeMemory.AlignedFree(storage);
        NativeMemory.Free(local);
        NativeMemory.Free(remote);
    }

    /// <summary>On huge pages where the kernel has some, as samples go all over it, and touched before the first of them.</summary>
    private static byte* Allocate()
    {
        const nuint Size = MaxPages * PageSize, HugePage = 1 << 21;
        byte* memory = (byte*)NativeMemory.AlignedAlloc(Size, HugePage);
        _ = madvise((nint)memory, Size, MADV_HUGEPAGE);
        NativeMemory.Clear(memory, Size);
        return memory;
    }

    private static int Slot(ulong address) => (int)(address >> PageShift) & (LookasideSlots - 1);

    private static int OffsetInPage(ulong address) => (int)(address & (PageSize - 1));

    /// <summary>An address of another slot: nothing is found in one that has it.</summary>
    private static ulong Elsewhere(int slot) => (ulong)(slot ^ 1) << PageShift;

    private byte* Writable(ulong address)
    {
        byte* data = Page(address);
        int slot = Slot(address);
        writable[slot] = addresses[slot];
        HasWritten = true;
        return data;
    }

    private byte* Page(ulong address)
    {
        ulong page = address >> PageShift;
        int slot = Slot(address);
        if (addresses[slot] == page << PageShift)
            return copies[slot];
        if (!pages.TryGetValue(page, out nint copy))
        {
            if (!ahead.Remove(page, out copy) && (copy = Fetch(page)) == 0)
                throw new UnreadableMemoryException(address);
            pages.Add(page, copy);
        }
        if (!announced.Contains(page))
            Misses++;
        addresses[slot] = page << PageShift;
        writable[slot] = Elsewhere(slot);
        return copies[slot] = (byte*)copy;
    }

    /// <summary>Copies a page, and those that are expected along with it.</summary>
    /// <returns>0 when it cannot be read, or there is no room.</returns>
    private nint Fetch(ulong page)
    {
        if (stored == MaxPages)
            return 0;
        expected.Remove(page);
        expected.RemoveAll(other => !PageTable.Has(processId, other));
        int count = 1 + Math.Min(expected.Count, MaxPages - stored - 1);
        for (int i = 0; i < count; i++)
        {
            local[i] = new() { Base = (nint)(storage + ((stored + i) * (long)PageSize)), Length = PageSize };
            remote[i] = new() { Base = (nint)((i == 0 ? page : expected[i - 1]) << PageShift), Length = PageSize };
        }
        // What cannot be read ends the reading.
        int read = !PageTable.Has(processId, page)
            ? 0 : (int)(process_vm_readv(processId, local, (ulong)count, remote, (ulong)count, 0) / PageSize);
        for (int i = 1; i < read; i++)
            ahead.Add(expected[i - 1], local[i].Base);
        expected.Clear();
        if (read < 1 && !kernelPages.TryCopy(page << PageShift, new((void*)local[0].Base, PageSize)))
            return 0;
        stored += Math.Max(read, 1);
        return local[0].Base;
    }
}

/// <summary>The interpreted instruction touches memory that cannot be read; the real thread may get a signal there.</summary>
internal sealed class UnreadableMemoryException(ulong address, bool isCode = false) : Exception($"memory at 0x{address:x} cannot be read")
{
    /// <summary>Whether it is of an instruction, and not of data.</summary>
    public bool IsCode => isCode;
}
