using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using static Perforator.Recording.Syscalls;

namespace Perforator.Recording.Interpreter;

/// <summary>
/// A process's memory as it was while its thread stood still: it is copied at first touch, and writes go to the copies. Nothing
/// reaches the process.
/// </summary>
/// <remarks>
/// Copies are of whole pages, but for those that the program announces with PREFETCH, as one does that is to touch a few bytes here and there: of these only a part, a granule, is
/// copied. Reading and writing look for granules.
/// </remarks>
internal sealed unsafe class MemorySnapshot : IDisposable
{
    public const int PageSize = 1 << PageShift;
    public const int PageShift = 12;
    public const int GranuleSize = 1 << GranuleShift;
    public const int GranuleShift = 9;
    public const int LookasideSlots = 256;

    private const int GranulesOfPage = PageSize / GranuleSize;
    private const byte AllPresent = (1 << GranulesOfPage) - 1;

    /// <summary>More pages than one burst may touch; a burst that wants more ends.</summary>
    private const int MaxPages = 1024;

    /// <summary>Granules announced at a time; no program is further ahead of itself.</summary>
    private const int MaxExpected = 64;

    /// <summary>What a PREFETCH announces: that much from its address on.</summary>
    private const int CacheLine = 64;

    /// <summary>Stretches of memory read at once; IOV_MAX is 1024.</summary>
    private const int MaxVectors = 256;

    // By the low bits of the granule's number, shared with native code: see CpuState.GranuleAddresses.
    private readonly ulong* addresses, writable;
    private readonly byte** copies;
    private readonly byte* storage = Allocate();
    private readonly Dictionary<ulong, nint> pages = [];
    private readonly Dictionary<ulong, nint> untouched = [];
    private readonly IoVector* local = (IoVector*)NativeMemory.Alloc(MaxVectors, (nuint)sizeof(IoVector));
    private readonly IoVector* remote = (IoVector*)NativeMemory.Alloc(MaxVectors, (nuint)sizeof(IoVector));
    private readonly List<WrittenGranule> writtenGranules = [];
    /// <summary>The granules of <see cref="storage"/> that were written to as they were before; null where nobody asks for them.</summary>
    private readonly byte* originals;
    /// <summary>By a page's place in <see cref="storage"/>, a bit for each of its granules.</summary>
    private readonly byte[] present = new byte[MaxPages], written = new byte[MaxPages];
    /// <summary>Granules that the program has announced and that are not here yet.</summary>
    private readonly List<ulong> expected = new(MaxExpected);
    private int stored;
    private int processId;
    private SharedKernelPages kernelPages = SharedKernelPages.None;

    /// <param name="state">The <see cref="CpuState"/>.</param>
    /// <param name="keepsOriginals">Whether <see cref="WrittenGranules"/> are to be known.</param>
    public MemorySnapshot(byte* state, bool keepsOriginals = false)
    {
        originals = keepsOriginals ? Allocate() : null;
        addresses = (ulong*)(state + CpuState.GranuleAddresses);
        writable = (ulong*)(state + CpuState.WritableAddresses);
        copies = (byte**)(state + CpuState.GranuleData);
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
        present.AsSpan(0, stored).Clear();
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
        {
            for (nint offset = 0; offset < remote[vector].Length && stored < read; offset += PageSize)
            {
                present[stored] = AllPresent;
                untouched.Add((ulong)(remote[vector].Base + offset) >> PageShift, Place(stored++));
            }
        }
    }

    /// <summary>Notes that an address is about to be touched: what is there is copied along with the next that is not here, for a third of what it costs alone.</summary>
    public void Expect(ulong address)
    {
        ExpectGranule(address >> GranuleShift);
        if (((address + CacheLine - 1) ^ address) >> GranuleShift != 0)
            ExpectGranule((address + CacheLine - 1) >> GranuleShift);
    }

    /// <summary>Has <see cref="WrittenGranules"/> say what is written to from here on.</summary>
    public void Mark()
    {
        written.AsSpan(0, stored).Clear();
        for (int slot = 0; slot < LookasideSlots; slot++)
            writable[slot] = Elsewhere(slot);
    }

    /// <summary>What was written to since <see cref="Begin"/> or <see cref="Mark"/>, granules of a page one after the other; valid until the next <see cref="Begin"/>.</summary>
    public IReadOnlyList<WrittenGranule> WrittenGranules()
    {
        writtenGranules.Clear();
        foreach ((ulong number, nint page) in pages)
        {
            for (int bits = written[Index(page)]; bits != 0; bits &= bits - 1)
            {
                int offset = BitOperations.TrailingZeroCount(bits) * GranuleSize;
                byte* granule = (byte*)page + offset;
                writtenGranules.Add(new((number << PageShift) + (ulong)offset, Original(granule), granule));
            }
        }
        return writtenGranules;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Read<T>(ulong address)
        where T : unmanaged
    {
        int slot = Slot(address);
        ulong offset = address ^ addresses[slot];
        if (offset <= (ulong)(GranuleSize - sizeof(T)))
            return *(T*)(copies[slot] + offset);
        return ReadSlow<T>(address);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Write<T>(ulong address, T value)
        where T : unmanaged
    {
        int slot = Slot(address);
        ulong offset = address ^ writable[slot];
        if (offset <= (ulong)(GranuleSize - sizeof(T)))
            *(T*)(copies[slot] + offset) = value;
        else
            Write(address, new ReadOnlySpan<byte>(&value, sizeof(T)));
    }

    /// <summary>Where <paramref name="size"/> bytes at an address lie in one granule's copy; null when they cross into the next.</summary>
    /// <param name="writes">Whether they may be written to.</param>
    public byte* Contiguous(ulong address, int size, bool writes)
    {
        int offset = OffsetInGranule(address);
        return offset > GranuleSize - size ? null : offset + (writes ? Writable(address) : Granule(address));
    }

    /// <summary>Whether a page can be read and has nothing but zeroes.</summary>
    public bool IsBlank(ulong address)
    {
        const ulong NeverMapped = 1 << 16;
        if (address < NeverMapped)
            return false;
        ulong first = address & ~(ulong)(PageSize - 1);
        for (ulong offset = 0; offset < PageSize; offset += GranuleSize)
            if (TryGranule(first + offset) is var data && (data is null || new ReadOnlySpan<ulong>(data, GranuleSize / sizeof(ulong)).ContainsAnyExcept(0UL)))
                return false;
        return true;
    }

    /// <summary>How many bytes from an address on lie in the same granule, and where to read them.</summary>
    public int Run(ulong address, out byte* data)
    {
        int offset = OffsetInGranule(address);
        data = Granule(address) + offset;
        return GranuleSize - offset;
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
            int offset = OffsetInGranule(address), run = Math.Min(GranuleSize - offset, bytes.Length);
            bytes[..run].CopyTo(new Span<byte>(Writable(address) + offset, run));
            bytes = bytes[run..];
            address += (ulong)run;
        }
    }

    /// <summary>Reads what can be read and leaves zeroes for the rest: masked loads do not fault on lanes they skip.</summary>
    public void ReadLeniently(ulong address, Span<byte> buffer)
    {
        int run = Math.Min(GranuleSize - OffsetInGranule(address), buffer.Length);
        buffer.Clear();
        if (TryGranule(address) is not null)
            Read(address, buffer[..run]);
        if (run < buffer.Length && TryGranule(address + (ulong)run) is not null)
            Read(address + (ulong)run, buffer[run..]);
    }

    /// <summary>Writes what can be read and drops the rest, the counterpart of <see cref="ReadLeniently"/>.</summary>
    public void WriteLeniently(ulong address, ReadOnlySpan<byte> bytes)
    {
        int run = Math.Min(GranuleSize - OffsetInGranule(address), bytes.Length);
        if (TryGranule(address) is not null)
            Write(address, bytes[..run]);
        if (run < bytes.Length && TryGranule(address + (ulong)run) is not null)
            Write(address + (ulong)run, bytes[run..]);
    }

    public void Dispose()
    {
        NativeMemory.AlignedFree(storage);
        NativeMemory.AlignedFree(originals);
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

    private static int Slot(ulong address) => (int)(address >> GranuleShift) & (LookasideSlots - 1);

    private static int OffsetInGranule(ulong address) => (int)(address & (GranuleSize - 1));

    /// <summary>A granule's bit among those of its page.</summary>
    private static int Bit(ulong granule) => 1 << (int)(granule & (GranulesOfPage - 1));

    private static ulong PageOf(ulong granule) => granule >> (PageShift - GranuleShift);

    private nint Place(int index) => (nint)(storage + (index * (long)PageSize));

    private int Index(nint place) => (int)((place - (nint)storage) / PageSize);

    private byte* Original(byte* copy) => originals + (copy - storage);

    /// <summary>An address of another slot: nothing is found in one that has it.</summary>
    private static ulong Elsewhere(int slot) => (ulong)(slot ^ 1) << GranuleShift;

    private T ReadSlow<T>(ulong address)
        where T : unmanaged
    {
        T value;
        Read(address, new Span<byte>(&value, sizeof(T)));
        return value;
    }

    private byte* Granule(ulong address) =>
        TryGranule(address) is var data && data is not null ? data : throw new UnreadableMemoryException(address);

    private byte* Writable(ulong address)
    {
        byte* data = Granule(address);
        int slot = Slot(address);
        if (writable[slot] == addresses[slot])
            return data;
        ref byte bits = ref written[Index((nint)data)];
        int bit = Bit(address >> GranuleShift);
        if (originals is not null && (bits & bit) == 0)
            Buffer.MemoryCopy(data, Original(data), GranuleSize, GranuleSize);
        bits |= (byte)bit;
        writable[slot] = addresses[slot];
        return data;
    }

    private byte* TryGranule(ulong address)
    {
        ulong granule = address >> GranuleShift, page = address >> PageShift;
        int slot = Slot(address);
        if (addresses[slot] == granule << GranuleShift)
            return copies[slot];
        if (!pages.TryGetValue(page, out nint place))
        {
            if (!untouched.Remove(page, out place) && (place = NextPlace()) == 0)
                return null;
            if (!IsPresent(place, granule) && !Fetch(page, place))
            {
                untouched.Add(page, place);
                return null;
            }
            pages.Add(page, place);
        }
        else if (!IsPresent(place, granule) && !Fetch(page, place))
        {
            return null;
        }
        return Show(granule, place);
    }

    private bool IsPresent(nint place, ulong granule) => (present[Index(place)] & Bit(granule)) != 0;

    /// <summary>Where another page may be copied to; 0 when there is no room.</summary>
    private nint NextPlace() => stored == MaxPages ? 0 : Place(stored++);

    private void ExpectGranule(ulong granule)
    {
        ulong page = PageOf(granule);
        bool touched = pages.TryGetValue(page, out nint place);
        if ((touched || untouched.TryGetValue(page, out place)) && IsPresent(place, granule))
        {
            if (touched)
                _ = Show(granule, place);
        }
        else if (expected.Count < MaxExpected && !expected.Contains(granule))
        {
            expected.Add(granule);
        }
    }

    /// <summary>Copies what is missing of a page, and what is expected along with it.</summary>
    /// <returns>False when it cannot be read.</returns>
    private bool Fetch(ulong page, nint place)
    {
        int vectors = 0;
        // What is here already may have been written to, before a Mark too.
        int missing = AllPresent & ~present[Index(place)];
        for (int first = 0; first < GranulesOfPage; first++)
        {
            int count = BitOperations.TrailingZeroCount(~(missing >> first));
            if (count == 0)
                continue;
            Request(vectors++, (page << PageShift) + (ulong)(first * GranuleSize), place + (first * GranuleSize), count * GranuleSize);
            first += count;
        }
        int own = vectors;
        foreach (ulong granule in expected)
        {
            ulong its = PageOf(granule);
            if (its == page)
                continue;
            if (!pages.TryGetValue(its, out nint to) && !untouched.TryGetValue(its, out to))
            {
                if ((to = NextPlace()) == 0)
                    break;
                untouched.Add(its, to);
            }
            if (IsPresent(to, granule))
                continue;
            nint copy = to + (nint)(granule % GranulesOfPage * GranuleSize);
            // A line announced at a granule's end wants the next as well.
            if (vectors > own && local[vectors - 1].Base + local[vectors - 1].Length == copy && granule % GranulesOfPage != 0)
                Request(vectors - 1, (ulong)remote[vectors - 1].Base, local[vectors - 1].Base, (int)local[vectors - 1].Length + GranuleSize);
            else
                Request(vectors++, granule << GranuleShift, copy, GranuleSize);
        }
        nint read = process_vm_readv(processId, local, (ulong)vectors, remote, (ulong)vectors, 0);
        // An address that cannot be read ends the reading: whatever is announced again is tried again.
        expected.Clear();
        for (int vector = 0; vector < vectors && (read -= local[vector].Length) >= 0; vector++)
        {
            if (vector == own - 1)
                present[Index(place)] = AllPresent;
            for (nint copied = 0; vector >= own && copied < local[vector].Length; copied += GranuleSize)
                present[Index(local[vector].Base)] |= (byte)Bit((ulong)(remote[vector].Base + copied) >> GranuleShift);
        }
        if (present[Index(place)] != AllPresent && kernelPages.TryCopy(page << PageShift, new((void*)place, PageSize)))
            present[Index(place)] = AllPresent;
        return present[Index(place)] == AllPresent;
    }

    private void Request(int vector, ulong from, nint to, int length)
    {
        remote[vector] = new() { Base = (nint)from, Length = length };
        local[vector] = new() { Base = to, Length = length };
    }

    /// <summary>Makes a granule the one in its slot.</summary>
    /// <param name="place">Of its page's copy.</param>
    private byte* Show(ulong granule, nint place)
    {
        ulong address = granule << GranuleShift;
        int slot = Slot(address);
        addresses[slot] = address;
        writable[slot] = (written[Index(place)] & Bit(granule)) != 0 ? address : Elsewhere(slot);
        return copies[slot] = (byte*)place + (address & (PageSize - 1));
    }
}

/// <summary>The interpreted instruction touches memory that cannot be read; the real thread may get a signal there.</summary>
internal sealed class UnreadableMemoryException(ulong address) : Exception($"memory at 0x{address:x} cannot be read");

/// <summary>Memory that an interpreted path writes to: its address, and its words before the path and behind it.</summary>
internal readonly unsafe struct WrittenGranule(ulong address, byte* before, byte* after)
{
    public ulong Address => address;

    public ReadOnlySpan<int> Before => new(before, MemorySnapshot.GranuleSize / sizeof(int));

    public ReadOnlySpan<int> After => new(after, MemorySnapshot.GranuleSize / sizeof(int));
}
