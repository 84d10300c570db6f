using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;
using Perforator.Bytes;

namespace Perforator.Branches;

/// <summary>How often a taken branch was followed by a fall-through range.</summary>
/// <param name="From">The branch instruction; <see cref="BinaryAddress.External"/> if in other code.</param>
/// <param name="To">The branch's target, where the range begins; <see cref="BinaryAddress.External"/> if in other code.</param>
/// <param name="End">
/// The next taken branch instruction, where the range ends (inclusive); <see cref="BinaryAddress.External"/> if no range is known.
/// </param>
/// <param name="Count">How often.</param>
/// <param name="Mispredicted">How often of these the branch was mispredicted; 0 where the source cannot tell.</param>
public readonly record struct TraceCount(BinaryAddress From, BinaryAddress To, BinaryAddress End, ulong Count, ulong Mispredicted)
{
    /// <summary>Whether it is known how far code ran on behind the branch.</summary>
    public bool HasRange => !End.IsExternal;
}

/// <summary>
/// Counters of traces with full addresses: an open-addressing table like <see cref="PairCounts"/>. Counters saturate.
/// </summary>
internal sealed class TraceTable
{
    private const int FirstCapacity = 16;

    /// <summary>One free slot; in a table, a counter of zero marks it.</summary>
    private static readonly TraceCount[] Empty = new TraceCount[1];

    private readonly AddressHash hash = AddressHash.OfThisProcess;
    private TraceCount[] slots = Empty;

    /// <summary>Whether the slots are not a table yet but counters in the order of <see cref="Sorted"/>, all in use.</summary>
    private bool isSorted;

    /// <summary>How many distinct traces are counted.</summary>
    public int Count { get; private set; }

    /// <summary>Adds to one counter, creating it at need. Adding zero does nothing.</summary>
    public void Add(BinaryAddress from, BinaryAddress to, BinaryAddress end, ulong count, ulong mispredicted)
    {
        if (count == 0)
            return;
        if (isSorted)
            MakeTable();
        ref TraceCount slot = ref Find(slots, from, to, end);
        if (slot.Count == 0)
        {
            if (Count >= slots.Length / 2)
            {
                Grow(Math.Max(FirstCapacity, slots.Length * 2));
                slot = ref Find(slots, from, to, end);
            }
            Count++;
        }
        slot = new(from, to, end, PairCounts.Saturating(slot.Count, count), PairCounts.Saturating(slot.Mispredicted, mispredicted));
    }

    /// <summary>
    /// Takes counters in the order of <see cref="Sorted"/>, each once, as the only ones. They stay as they are until one is added: a sum
    /// over many tables takes them from there, and a table in between would cost more than all else.
    /// </summary>
    public void Load(TraceCount[] sorted) => (slots, isSorted, Count) = (sorted, true, sorted.Length);

    private void MakeTable()
    {
        TraceCount[] loaded = slots;
        (slots, isSorted) = (Empty, false);
        Grow((int)BitOperations.RoundUpToPowerOf2((uint)Math.Max(FirstCapacity, 2 * loaded.Length)));
        foreach (ref readonly TraceCount trace in loaded.AsSpan())
            Find(slots, trace.From, trace.To, trace.End) = trace;
    }

    /// <summary>Adds all of another's counters.</summary>
    public void Merge(TraceTable other)
    {
        if (isSorted)
            MakeTable();
        // A table's come in the order of their places: in one with fewer places they would pile up.
        if (!other.isSorted && slots.Length < other.slots.Length)
            Grow(other.slots.Length);
        ReadOnlySpan<TraceCount> added = other.slots;
        for (int i = 0; i < added.Length; i++)
        {
            // Where a large sum counts the next few is on its way from memory while these are added.
            if (i + MergeAhead < added.Length)
                Prefetch(in added[i + MergeAhead]);
            ref readonly TraceCount trace = ref added[i];
            Add(trace.From, trace.To, trace.End, trace.Count, trace.Mispredicted);
        }
    }

    private const int MergeAhead = 8;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private unsafe void Prefetch(in TraceCount trace)
    {
        if (!Sse.IsSupported)
            return;
        nuint i = (nuint)hash.Of(trace.From.Value, trace.To.Value, trace.End.Value) & (nuint)(slots.Length - 1);
        Sse.Prefetch0(Unsafe.AsPointer(ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(slots), i)));
    }

    /// <summary>Adds all counters to those of branches, and of ranges.</summary>
    public void AddTo(PairCounts? branches, PairCounts? ranges)
    {
        foreach (ref readonly TraceCount trace in slots.AsSpan())
        {
            branches?.Add(trace.From, trace.To, trace.Count, trace.Mispredicted);
            if (ranges is not null && trace.HasRange)
                ranges.Add(trace.To, trace.End, trace.Count);
        }
    }

    /// <summary>The sum of the counters with both ends of the branch in the binary, saturating.</summary>
    public ulong InternalTotal
    {
        get
        {
            ulong total = 0;
            foreach (ref readonly TraceCount trace in slots.AsSpan())
                if (!trace.From.IsExternal && !trace.To.IsExternal)
                    total = PairCounts.Saturating(total, trace.Count);
            return total;
        }
    }

    /// <summary>The sum of all counters, saturating.</summary>
    public ulong Total
    {
        get
        {
            ulong total = 0;
            foreach (ref readonly TraceCount trace in slots.AsSpan())
                total = PairCounts.Saturating(total, trace.Count);
            return total;
        }
    }

    /// <summary>All counters by source, then target, then end: the order in which they are written.</summary>
    public TraceCount[] Sorted()
    {
        if (isSorted)
            return [.. slots];
        TraceCount[] unsorted = new TraceCount[Count];
        ulong[] from = new ulong[Count], to = new ulong[Count], end = new ulong[Count];
        int n = 0;
        foreach (ref readonly TraceCount trace in slots.AsSpan())
        {
            if (trace.Count == 0)
                continue;
            (from[n], to[n], end[n]) = (trace.From.Value, trace.To.Value, trace.End.Value);
            unsorted[n++] = trace;
        }
        int[] order = KeyOrder.Of(to, end);
        ulong[] keys = new ulong[Count];
        for (int i = 0; i < keys.Length; i++)
            keys[i] = from[order[i]];
        KeyOrder.Sort(keys, order);
        return Array.ConvertAll(order, i => unsorted[i]);
    }

    private void Grow(int length)
    {
        TraceCount[] larger = new TraceCount[length];
        foreach (ref readonly TraceCount trace in slots.AsSpan())
            if (trace.Count != 0)
                Find(larger, trace.From, trace.To, trace.End) = trace;
        slots = larger;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private ref TraceCount Find(TraceCount[] slots, BinaryAddress from, BinaryAddress to, BinaryAddress end)
    {
        // The mask keeps every index inside the array, whose length is a power of two.
        ref TraceCount start = ref MemoryMarshal.GetArrayDataReference(slots);
        for (nuint i = (nuint)hash.Of(from.Value, to.Value, end.Value), mask = (nuint)(slots.Length - 1); ; i++)
        {
            ref TraceCount slot = ref Unsafe.Add(ref start, i & mask);
            if (slot.Count == 0 || (slot.From == from && slot.To == to && slot.End == end))
                return ref slot;
        }
    }
}
