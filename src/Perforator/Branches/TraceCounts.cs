using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;

namespace Perforator.Branches;

/// <summary>
/// Counters of traces: a taken branch together with the fall-through range that followed it. What is aggregated tens of millions of
/// times a second is thus one small counter for each entry of a stack; <see cref="Drain"/> moves them to a profile.
/// </summary>
/// <remarks>
/// An open-addressing table with slots of half the size that full addresses and counters need, so that more of it stays in the CPU's
/// caches. Addresses have 32 bits there; a branch whose ends do not fit (<see cref="Fits"/>) is the caller's to count. A counter of 32
/// bits that would overflow is moved to the profile. Where a trace lies depends on secret numbers: see <see cref="AddressHash"/>.
/// </remarks>
internal sealed class TraceCounts
{
    /// <summary>A trace and where its counter lies.</summary>
    /// <param name="Branch">The branch's source in the lower half, its target in the upper one; all ones stand for code outside the
    /// binary.</param>
    /// <param name="Rest">Length of the range that followed in bytes, shifted by one; the lowest bit is set when the branch was
    /// mispredicted.</param>
    /// <param name="Place">Its place in a table of 2^32 slots.</param>
    public readonly record struct Trace(ulong Branch, uint Rest, uint Place);

    /// <summary>The length that stands for a branch after which no range is known.</summary>
    public const ulong NoRange = uint.MaxValue >> 1;

    private const uint External = uint.MaxValue;

    private const int FirstCapacity = 256;

    /// <summary>A quarter of a cache line. A counter of zero marks a free slot.</summary>
    private struct Slot
    {
        public ulong Branch;

        /// <summary>The rest of the key in the lower half, the counter in the upper one.</summary>
        public ulong RestAndCount;
    }

    // A table that holds nothing: the first trace that is added makes it grow, so that this slot stays free.
    private static readonly Slot[] Empty = new Slot[1];

    // A field, as precompiled code would check with every use of a static one whether it is set yet.
    private readonly AddressHash hash = AddressHash.OfThisProcess;
    private Slot[] slots = Empty;
    private int used;

    /// <summary>Whether a binary address can be an end of a trace's branch; <see cref="BinaryAddress.External"/> can.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Fits(ulong address) => unchecked(address + 1) <= External;

    /// <summary>Makes a trace, whose counter is fetched into the CPU's caches meanwhile.</summary>
    /// <param name="from">The branch instruction; fits.</param>
    /// <param name="to">The branch's target; fits.</param>
    /// <param name="rangeLength">Bytes from the target to the next taken branch instruction, less than <see cref="NoRange"/>, or
    /// that.</param>
    /// <param name="mispredicted">1 if the branch was mispredicted, else 0.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public unsafe Trace Fetch(ulong from, ulong to, ulong rangeLength, uint mispredicted)
    {
        ulong branch = (uint)from | to << 32;
        uint rest = (uint)rangeLength << 1 | mispredicted;
        uint place = (uint)hash.Of(branch, rest);
        // The array may move meanwhile; fetching the wrong line costs a little time and nothing else.
        if (Sse.IsSupported)
            Sse.Prefetch0(
                Unsafe.AsPointer(ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(slots), place & (uint)(slots.Length - 1))));
        return new(branch, rest, place);
    }

    /// <summary>Adds the same number to the counters of several traces.</summary>
    /// <param name="count">Not 0.</param>
    /// <param name="overflow">Takes what does not fit the counters.</param>
    public void Add(ReadOnlySpan<Trace> traces, uint count, BranchProfile overflow)
    {
        if (IsCrowdedWith(traces.Length))
            Grow(used + traces.Length);
        Slot[] table = slots;
        foreach (ref readonly Trace trace in traces)
        {
            ref Slot slot = ref Find(table, trace.Branch, trace.Rest, trace.Place);
            ulong before = slot.RestAndCount, sum = before + ((ulong)count << 32);
            if (before == 0)
            {
                slot.Branch = trace.Branch;
                sum |= trace.Rest;
                used++;
            }
            else if (sum < before)
            {
                AddTo(overflow, slot);
                sum = trace.Rest | (ulong)count << 32;
            }
            slot.RestAndCount = sum;
        }
    }

    /// <summary>Adds all of another's counters.</summary>
    /// <param name="overflow">Takes what does not fit the counters.</param>
    public void Merge(TraceCounts other, BranchProfile overflow)
    {
        // They come in the order of their places: in a table with fewer places they would pile up.
        if (slots.Length < other.slots.Length)
            Resize(other.slots.Length);
        foreach (ref readonly Slot slot in other.slots.AsSpan())
            if (slot.RestAndCount != 0)
                Add([new(slot.Branch, (uint)slot.RestAndCount, PlaceOf(slot))], (uint)(slot.RestAndCount >> 32), overflow);
    }

    /// <summary>Moves all counters to a profile.</summary>
    public void Drain(BranchProfile profile)
    {
        Slot[] drained = slots;
        (slots, used) = (Empty, 0);
        foreach (ref readonly Slot slot in drained.AsSpan())
            if (slot.RestAndCount != 0)
                AddTo(profile, slot);
    }

    private static void AddTo(BranchProfile profile, in Slot slot)
    {
        ulong count = slot.RestAndCount >> 32;
        BinaryAddress from = AddressOf((uint)slot.Branch), to = AddressOf((uint)(slot.Branch >> 32));
        ulong length = (uint)slot.RestAndCount >> 1;
        BinaryAddress end = length == NoRange ? BinaryAddress.External : new(to.Value + length);
        profile.AddTrace(from, to, end, count, (slot.RestAndCount & 1) != 0 ? count : 0);
    }

    private static BinaryAddress AddressOf(uint address) => address == External ? BinaryAddress.External : new(address);

    /// <summary>Whether more than five eighths of the slots would be used.</summary>
    private bool IsCrowdedWith(int more) => (used + (long)more) * 8 > slots.Length * 5L;

    private void Grow(int wanted)
    {
        int length = Math.Max(FirstCapacity, slots.Length);
        while (wanted * 8L > length * 5L)
            length *= 2;
        Resize(length);
    }

    private void Resize(int length)
    {
        Slot[] larger = new Slot[length];
        foreach (ref readonly Slot slot in slots.AsSpan())
            if (slot.RestAndCount != 0)
                Find(larger, slot.Branch, (uint)slot.RestAndCount, PlaceOf(slot)) = slot;
        slots = larger;
    }

    private uint PlaceOf(in Slot slot) => (uint)hash.Of(slot.Branch, (uint)slot.RestAndCount);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ref Slot Find(Slot[] slots, ulong branch, uint rest, uint place)
    {
        // The mask keeps every index inside the array, whose length is a power of two.
        ref Slot start = ref MemoryMarshal.GetArrayDataReference(slots);
        for (uint i = place, mask = (uint)(slots.Length - 1); ; i++)
        {
            ref Slot slot = ref Unsafe.Add(ref start, i & mask);
            if ((slot.Branch == branch && (uint)slot.RestAndCount == rest) || slot.RestAndCount == 0)
                return ref slot;
        }
    }
}
