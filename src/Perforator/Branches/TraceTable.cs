using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
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
    /// <summary>A counter of zero marks a free slot.</summary>
    private struct Slot
    {
        public ulong From;
        public ulong To;
        public ulong End;
        public ulong Count;
        public ulong Mispredicted;
    }

    private const int FirstCapacity = 16;

    private static readonly Slot[] Empty = new Slot[1];

    private readonly AddressHash hash = AddressHash.OfThisProcess;
    private Slot[] slots = Empty;
    private TraceCount[]? rows;

    /// <summary>How many distinct traces are counted.</summary>
    public int Count { get; private set; }

    /// <summary>Adds to one counter, creating it at need. Adding zero does nothing.</summary>
    public void Add(BinaryAddress from, BinaryAddress to, BinaryAddress end, ulong count, ulong mispredicted)
    {
        if (count == 0)
            return;
        if (rows is not null)
            LeaveRows();
        ref Slot slot = ref Find(slots, from.Value, to.Value, end.Value);
        if (slot.Count == 0)
        {
            if (Count >= slots.Length / 2)
            {
                Grow(Math.Max(FirstCapacity, slots.Length * 2));
                slot = ref Find(slots, from.Value, to.Value, end.Value);
            }
            (slot.From, slot.To, slot.End) = (from.Value, to.Value, end.Value);
            Count++;
        }
        slot.Count = PairCounts.Saturating(slot.Count, count);
        slot.Mispredicted = PairCounts.Saturating(slot.Mispredicted, mispredicted);
    }

    /// <summary>
    /// Takes counters in the order of <see cref="Sorted"/>, each once, as the only ones. They stay as they are until one is added: a sum over many tables takes
    /// them from there, and a table in between would cost more than all else.
    /// </summary>
    public void Load(TraceCount[] sorted)
    {
        (rows, slots, Count) = (sorted, Empty, sorted.Length);
    }

    private void LeaveRows()
    {
        if (rows is not { } loaded)
            return;
        (rows, Count) = (null, 0);
        Grow((int)BitOperations.RoundUpToPowerOf2((uint)Math.Max(FirstCapacity, 2 * loaded.Length)));
        foreach (ref readonly TraceCount row in loaded.AsSpan())
            Add(row.From, row.To, row.End, row.Count, row.Mispredicted);
    }

    /// <summary>Adds all of another's counters.</summary>
    public void Merge(TraceTable other)
    {
        if (other.rows is { } loaded)
        {
            foreach (ref readonly TraceCount row in loaded.AsSpan())
                Add(row.From, row.To, row.End, row.Count, row.Mispredicted);
            return;
        }
        LeaveRows();
        // They come in the order of their places: in a table with fewer places they would pile up.
        if (slots.Length < other.slots.Length)
            Grow(other.slots.Length);
        foreach (ref readonly Slot slot in other.slots.AsSpan())
            Add(new(slot.From), new(slot.To), new(slot.End), slot.Count, slot.Mispredicted);
    }

    /// <summary>Adds all counters to those of branches, and of ranges.</summary>
    public void AddTo(PairCounts? branches, PairCounts? ranges)
    {
        foreach (ref readonly TraceCount row in rows.AsSpan())
        {
            branches?.Add(row.From, row.To, row.Count, row.Mispredicted);
            if (ranges is not null && row.HasRange)
                ranges.Add(row.To, row.End, row.Count);
        }
        foreach (ref readonly Slot slot in slots.AsSpan())
        {
            branches?.Add(new(slot.From), new(slot.To), slot.Count, slot.Mispredicted);
            if (ranges is not null && !new BinaryAddress(slot.End).IsExternal)
                ranges.Add(new(slot.To), new(slot.End), slot.Count);
        }
    }

    /// <summary>The sum of the counters with both ends of the branch in the binary, saturating.</summary>
    public ulong InternalTotal
    {
        get
        {
            ulong total = 0;
            foreach (ref readonly TraceCount row in rows.AsSpan())
                if (!row.From.IsExternal && !row.To.IsExternal)
                    total = PairCounts.Saturating(total, row.Count);
            foreach (ref readonly Slot slot in slots.AsSpan())
                if (!new BinaryAddress(slot.From).IsExternal && !new BinaryAddress(slot.To).IsExternal)
                    total = PairCounts.Saturating(total, slot.Count);
            return total;
        }
    }

    /// <summary>The sum of all counters, saturating.</summary>
    public ulong Total
    {
        get
        {
            ulong total = 0;
            foreach (ref readonly TraceCount row in rows.AsSpan())
                total = PairCounts.Saturating(total, row.Count);
            foreach (ref readonly Slot slot in slots.AsSpan())
                total = PairCounts.Saturating(total, slot.Count);
            return total;
        }
    }

    /// <summary>All counters by source, then target, then end: the order in which they are written.</summary>
    public TraceCount[] Sorted()
    {
        if (rows is not null)
            return [.. rows];
        TraceCount[] unsorted = new TraceCount[Count];
        ulong[] from = new ulong[Count], to = new ulong[Count], end = new ulong[Count];
        int n = 0;
        foreach (ref readonly Slot slot in slots.AsSpan())
        {
            if (slot.Count == 0)
                continue;
            (from[n], to[n], end[n]) = (slot.From, slot.To, slot.End);
            unsorted[n++] = new(new(slot.From), new(slot.To), new(slot.End), slot.Count, slot.Mispredicted);
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
        Slot[] larger = new Slot[length];
        foreach (ref readonly Slot slot in slots.AsSpan())
            if (slot.Count != 0)
                Find(larger, slot.From, slot.To, slot.End) = slot;
        slots = larger;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private ref Slot Find(Slot[] slots, ulong from, ulong to, ulong end)
    {
        // The mask keeps every index inside the array, whose length is a power of two.
        ref Slot start = ref MemoryMarshal.GetArrayDataReference(slots);
        for (nuint i = (nuint)hash.Of(from, to, end), mask = (nuint)(slots.Length - 1); ; i++)
        {
            ref Slot slot = ref Unsafe.Add(ref start, i & mask);
            if (slot.Count == 0 || (slot.From == from && slot.To == to && slot.End == end))
                return ref slot;
        }
    }
}
