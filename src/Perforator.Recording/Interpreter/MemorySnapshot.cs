using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using static Perforator.Recording.Syscalls;

namespace Perforator.Recording.Interpreter;

/// <summary>
/// A process's memory as it was while its thread stood still: pages are copied at first touch, and writes go to the copies. Nothing
/// reaches the process.
/// </summary>
internal sealed unsafe class MemorySnapshot : IDisposable
{
    public const int PageSize = 4096;
    public const int PageShift = 12;
    public const int LookasideSlots = 256;

    /// <summary>More pages than one burst may touch; a burst that wants more ends.</summary>
    private const int MaxPages = 1024;

    /// <summary>Pages announced at a time; no program is further ahead of itself.</summary>
    private const int MaxExpected = 64;

    /// <summary>Stretches of pages read ahead at once; IOV_MAX is 1024.</summary>
    private const int MaxVectors = 256;

    // By the low bits of the page number, shared with native code: see CpuState.PageAddresses.
    private readonly ulong* addresses, writable;
    private readonly byte** copies;
    private readonly byte* storage = Allocate();
    private readonly Dictionary<ulong, nint> pages = [];
    private readonly Dictionary<ulong, nint> untouched = [];
    private readonly IoVector* local = (IoVector*)NativeMemory.Alloc(MaxVectors, (nuint)sizeof(IoVector));
    private readonly IoVector* remote = (IoVector*)NativeMemory.Alloc(MaxVectors, (nuint)sizeof(IoVector));
    private readonly List<WrittenPage> writtenPages = [];
    /// <summary>The pages of <see cref="storage"/> that were written to as they were before; null where nobody asks for them.</summary>
    private readonly byte* originals;
    private readonly bool[] written = new bool[MaxPages];
    /// <summary>Pages that the program has announced with PREFETCH and that are not here yet.</summary>
    private readonly List<ulong> expected = new(MaxExpected);
    private int stored;
    private int processId;
    private SharedKernelPages kernelPages = SharedKernelPages.None;

    /// <param name="state">The <see cref="CpuState"/>.</param>
    /// <param name="keepsOriginals">Whether <see cref="WrittenPages"/> are to be known.</param>
    public MemorySnapshot(byte* state, bool keepsOriginals = false)
    {
        originals = keepsOriginals ? Allocate() : null;
        addresses = (ulong*)(state + CpuState.PageAddresses);
        writable = (ulong*)(state + CpuState.WritableAddresses);
        copies = (byte**)(state + CpuState.PageData);
        Begin(0, SharedKernelPages.None);
    }

    /// <summary>The addresses of the pages touched so far.</summary>
    public IEnumerable<ulong> Pages => pages.Keys.Select(page => page << PageShift);

    /// <summary>The numbers of the pages touched so far.</summary>
    public IReadOnlyCollection<ulong> PageNumbers => pages.Keys;

    /// <summary>Forgets all pages: the thread stands somewhere else now.</summary>
    public void Begin(int process, SharedKernelPages shared)
    {
        processId = process;
        kernelPages = shared;
        pages.Clear();
        untouched.Clear();
        expected.Clear();
        written.AsSpan(0, stored).Clear();
        stored = 0;
        for (int slot = 0; slot < LookasideSlots; slot++)
            addresses[slot] = writable[slot] = Elsewhere(slot);
    }

    /// <summary>Copies pages in one go that will probably be touched.</summary>
    /// <param name="likely">Page numbers in ascending order.</param>
    public void ReadAhead(IReadOnlyList<ulong> likely)
    {
        int vectors = 0;
        for (int i = 0; i < likely.Count && vectors < MaxVectors && i < MaxPages / 2; vectors++)
        {
            int first = i++;
            while (i < likely.Count && i < MaxPages / 2 && likely[i] == likely[i - 1] + 1)
                i++;
            int length = (i - first) * PageSize;
            remote[vectors] = new() { Base = (nint)(likely[first] << PageShift), Length = length };
        }
        if (vectors == 0)
            return;
        // What cannot be read ends the reading; the pages behind it are read one by one when they are touched.
        *local = new() { Base = (nint)storage, Length = MaxPages / 2 * PageSize };
        int read = (int)(Math.Max(process_vm_readv(processId, local, 1, remote, (ulong)vectors, 0), 0) / PageSize);
        for (int vector = 0; vector < vectors; vector++)
            for (nint offset = 0; offset < remote[vector].Length && stored < read; offset += PageSize, stored++)
                untouched.Add((ulong)(remote[vector].Base + offset) >> PageShift, (nint)(storage + (stored * (long)PageSize)));
    }

    /// <summary>Notes that the page at an address is about to be touched: it is copied along with the next page that is not here, for a third of what it costs alone.</summary>
    public void Expect(ulong address)
    {
        ulong page = address >> PageShift;
        if (pages.TryGetValue(page, out nint data))
            Show(page, data);
        else if (expected.Count < MaxExpected && !untouched.ContainsKey(page) && !expected.Contains(page))
            expected.Add(page);
    }

    /// <summary>Has <see cref="WrittenPages"/> say what is written to from here on.</summary>
    public void Mark()
    {
        written.AsSpan(0, stored).Clear();
        for (int slot = 0; slot < LookasideSlots; slot++)
            writable[slot] = Elsewhere(slot);
    }

    /// <summary>The pages that were written to since <see cref="Begin"/> or <see cref="Mark"/>; valid until the next <see cref="Begin"/>.</summary>
    public IReadOnlyList<WrittenPage> WrittenPages()
    {
        writtenPages.Clear();
        foreach ((ulong number, nint page) in pages)
            if (written[Index(page)])
                writtenPages.Add(new(number << PageShift, Original((byte*)page), (byte*)page));
        return writtenPages;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Read<T>(ulong address)
        where T : unmanaged
    {
        int slot = Slot(address);
        ulong offset = address ^ addresses[slot];
        if (offset <= (ulong)(PageSize - sizeof(T)))
            return *(T*)(copies[slot] + offset);
        return ReadSlow<T>(address);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Write<T>(ulong address, T value)
        where T : unmanaged
    {
        int slot = Slot(address);
        ulong offset = address ^ writable[slot];
        if (offset <= (ulong)(PageSize - sizeof(T)))
            *(T*)(copies[slot] + offset) = value;
        else
            Write(address, new ReadOnlySpan<byte>(&value, sizeof(T)));
    }

    /// <summary>Where <paramref name="size"/> bytes at an address lie in one page's copy; null when they cross into the next page.</summary>
    /// <param name="writes">Whether they may be written to.</param>
    public byte* Contiguous(ulong address, int size, bool writes)
    {
        int offset = (int)(address & (PageSize - 1));
        return offset > PageSize - size ? null : offset + (writes ? WritablePage(address) : Page(address));
    }

    /// <summary>Whether a page can be read and has nothing but zeroes.</summary>
    public bool IsBlank(ulong address)
    {
        const ulong NeverMapped = 1 << 16;
        byte* data = address < NeverMapped ? null : TryPage(address);
        return data is not null && !new ReadOnlySpan<ulong>(data, PageSize / sizeof(ulong)).ContainsAnyExcept(0UL);
    }

    /// <summary>How many bytes from an address on lie in the same page, and where to read them.</summary>
    public int Run(ulong address, out byte* data)
    {
        int offset = (int)(address & (PageSize - 1));
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
            int offset = (int)(address & (PageSize - 1)), run = Math.Min(PageSize - offset, bytes.Length);
            bytes[..run].CopyTo(new Span<byte>(WritablePage(address) + offset, run));
            bytes = bytes[run..];
            address += (ulong)run;
        }
    }

    /// <summary>Reads what can be read and leaves zeroes for the rest: masked loads do not fault on lanes they skip.</summary>
    public void ReadLeniently(ulong address, Span<byte> buffer)
    {
        int run = Math.Min(PageSize - (int)(address & (PageSize - 1)), buffer.Length);
        buffer.Clear();
        if (TryPage(address) is not null)
            Read(address, buffer[..run]);
        if (run < buffer.Length && TryPage(address + (ulong)run) is not null)
            Read(address + (ulong)run, buffer[run..]);
    }

    /// <summary>Writes what has a page and drops the rest, the counterpart of <see cref="ReadLeniently"/>.</summary>
    public void WriteLeniently(ulong address, ReadOnlySpan<byte> bytes)
    {
        int run = Math.Min(PageSize - (int)(address & (PageSize - 1)), bytes.Length);
        if (TryPage(address) is not null)
            Write(address, bytes[..run]);
        if (run < bytes.Length && TryPage(address + (ulong)run) is not null)
            Write(address + (ulong)run, bytes[run..]);
    }

    public void Dispose()
    {
        NativeMemory.AlignedFree(storage);
        NativeMemory.AlignedFree(originals);
        NativeMemory.Free(local);
        NativeMemory.Free(remote);
    }

    private static byte* Allocate() => (byte*)NativeMemory.AlignedAlloc(MaxPages * (nuint)PageSize, PageSize);

    private static int Slot(ulong address) => (int)(address >> PageShift) & (LookasideSlots - 1);

    private byte* Original(byte* page) => originals + (page - storage);

    private int Index(nint page) => (int)((page - (nint)storage) / PageSize);

    /// <summary>An address of another slot: no page is found in one that has it.</summary>
    private static ulong Elsewhere(int slot) => (ulong)(slot ^ 1) << PageShift;

    private T ReadSlow<T>(ulong address)
        where T : unmanaged
    {
        T value;
        Read(address, new Span<byte>(&value, sizeof(T)));
        return value;
    }

    private byte* Page(ulong address) =>
        TryPage(address) is var data && data is not null ? data : throw new UnreadableMemoryException(address);

    private byte* WritablePage(ulong address)
    {
        byte* data = Page(address);
        int slot = Slot(address);
        if (writable[slot] == addresses[slot])
            return data;
        if (originals is not null && !written[Index((nint)data)])
            Buffer.MemoryCopy(data, Original(data), PageSize, PageSize);
        written[Index((nint)data)] = true;
        writable[slot] = addresses[slot];
        return data;
    }

    private byte* TryPage(ulong address)
    {
        ulong page = address >> PageShift;
        int slot = Slot(address);
        if (addresses[slot] == page << PageShift)
            return copies[slot];
        if (!pages.TryGetValue(page, out nint data))
        {
            if (!untouched.Remove(page, out data) && (data = Fetch(page)) == 0)
                return null;
            pages.Add(page, data);
        }
        return Show(page, data);
    }

    /// <summary>Copies a page, and those expected along with it.</summary>
    /// <returns>Where it is; 0 when it cannot be read, or there is no room.</returns>
    private nint Fetch(ulong page)
    {
        if (stored == MaxPages)
            return 0;
        int vectors = 0;
        expected.Remove(page);
        remote[vectors++] = new() { Base = (nint)(page << PageShift), Length = PageSize };
        for (int i = 0; i < expected.Count && stored + vectors < MaxPages; i++)
            remote[vectors++] = new() { Base = (nint)(expected[i] << PageShift), Length = PageSize };
        nint data = (nint)(storage + (stored * (long)PageSize));
        *local = new() { Base = data, Length = vectors * PageSize };
        int read = (int)(process_vm_readv(processId, local, 1, remote, (ulong)vectors, 0) / PageSize);
        if (read < 1 && !kernelPages.TryCopy(page << PageShift, new((void*)data, PageSize)))
            return 0;
        stored++;
        for (int vector = 1; vector < read; vector++, stored++)
            untouched.Add((ulong)remote[vector].Base >> PageShift, (nint)(storage + (stored * (long)PageSize)));
        // An address that cannot be read ends the reading: whatever is announced again is tried again.
        expected.Clear();
        return data;
    }

    /// <summary>Makes a page the one in its slot.</summary>
    private byte* Show(ulong page, nint data)
    {
        int slot = Slot(page << PageShift);
        addresses[slot] = page << PageShift;
        writable[slot] = written[Index(data)] ? addresses[slot] : Elsewhere(slot);
        return copies[slot] = (byte*)data;
    }
}

/// <summary>The interpreted instruction touches memory that cannot be read; the real thread may get a signal there.</summary>
internal sealed class UnreadableMemoryException(ulong address) : Exception($"memory at 0x{address:x} cannot be read");

/// <summary>A page that an interpreted path writes to: its address, and its words before the path and behind it.</summary>
internal readonly unsafe struct WrittenPage(ulong address, byte* before, byte* after)
{
    public ulong Address => address;

    public ReadOnlySpan<int> Before => new(before, MemorySnapshot.PageSize / sizeof(int));

    public ReadOnlySpan<int> After => new(after, MemorySnapshot.PageSize / sizeof(int));
}
