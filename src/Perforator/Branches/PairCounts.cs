using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Perforator.Bytes;

namespace Perforator.Branches;

/// <summary>One counter of a <see cref="PairCounts"/>.</summary>
public readonly record struct PairCount(BinaryAddress First, BinaryAddress Second, ulong Count, ulong Extra);

/// <summary>Counters keyed by a pair of addresses, to be read.</summary>
public interface IPairCounts
{
    /// <summary>How many distinct pairs are counted.</summary>
    int Count { get; }

    /// <summary>The sum of all counters, saturating.</summary>
    ulong Total { get; }

    /// <summary>The sum of the counters with neither address <see cref="BinaryAddress.External"/>, saturating.</summary>
    ulong InternalTotal { get; }

    /// <summary>All counters by first, then second address: the order in which they are written and reported.</summary>
    PairCount[] Sorted();
}

/// <summary>
/// Counters keyed by a pair of addresses: branches (from, to; extra = mispredicted) and fall-through ranges (begin, end).
/// An open-addressing table. Counters saturate.
/// </summary>
/// <remarks>
/// Where a pair lies depends on secret numbers (<see cref="AddressHash"/>); what is written goes through <see cref="Sorted"/>, which
/// does not.
/// </remarks>
public sealed class PairCounts : IPairCounts
{
    /// <summary>Half a cache line, so that a probe touches one. A counter of zero marks a free slot.</summary>
    private struct Slot
    {
        public ulong First;
        public ulong Second;
        public ulong Count;
        public ulong Extra;
    }

    private const int FirstCapacity = 16;

    // A table that holds nothing: the first pair that is added makes it grow, so that this slot stays free.
    private static readonly Slot[] Empty = new Slot[1];

    // A field, as precompiled code would check with every use of a static one whether it is set yet.
    private readonly AddressHash hash = AddressHash.OfThisProcess;
    private Slot[] slots = Empty;

    /// <inheritdoc/>
    public int Count { get; private set; }

    /// <inheritdoc/>
    public ulong Total
    {
        get
        {
            ulong total = 0;
            foreach (ref readonly Slot slot in slots.AsSpan())
                total = Saturating(total, slot.Count);
            return total;
        }
    }

    /// <inheritdoc/>
    public ulong InternalTotal
    {
        get
        {
            ulong total = 0;
            foreach (ref readonly Slot slot in slots.AsSpan())
                if (!new BinaryAddress(slot.First).IsExternal && !new BinaryAddress(slot.Second).IsExternal)
                    total = Saturating(total, slot.Count);
            return total;
        }
    }

    /// <summary>Adds to one counter, creating it at need. Adding zero does nothing.</summary>
    public void Add(BinaryAddress first, BinaryAddress second, ulong count = 1, ulong extra = 0)
    {
        if (count == 0)
            return;
        ref Slot slot = ref Find(slots, first.Value, second.Value);
        if (slot.Count == 0)
        {
            if (!HasRoom(slots.Length, Count + 1L))
            {
                Grow(Math.Max(FirstCapacity, slots.Length * 2));
                slot = ref Find(slots, first.Value, second.Value);
            }
            slot.First = first.Value;
            slot.Second = second.Value;
            Count++;
        }
        slot.Count = Saturating(slot.Count, count);
        slot.Extra = Saturating(slot.Extra, extra);
    }

    /// <summary>Makes room for so many counters at once, where there are none yet: no table is outgrown on the way.</summary>
    public void Reserve(int count)
    {
        if (Count != 0 || HasRoom(slots.Length, count))
            return;
        int length = FirstCapacity;
        while (!HasRoom(length, count))
            length *= 2;
        Grow(length);
    }

    /// <summary>At most five eighths of the slots are used.</summary>
    private static bool HasRoom(int length, long count) => count * 8 <= length * 5L;

    /// <summary>Adds all of another's counters.</summary>
    public void Merge(PairCounts other)
    {
        // They come in the order of their places: in a table with fewer places they would pile up.
        if (slots.Length < other.slots.Length)
            Grow(other.slots.Length);
        foreach (ref readonly Slot slot in other.slots.AsSpan())
            Add(new(slot.First), new(slot.Second), slot.Count, slot.Extra);
    }

    /// <inheritdoc/>
    public PairCount[] Sorted()
    {
        int[] used = new int[Count];
        ulong[] first = new ulong[Count], second = new ulong[Count];
        int n = 0;
        for (int i = 0; i < slots.Length; i++)
            if (slots[i].Count != 0)
                (used[n], first[n], second[n++]) = (i, slots[i].First, slots[i].Second);
        PairCount[] sorted = new PairCount[Count];
        int[] order = KeyOrder.Of(first, second);
        for (int i = 0; i < sorted.Length; i++)
        {
            ref readonly Slot slot = ref slots[used[order[i]]];
            sorted[i] = new(new(slot.First), new(slot.Second), slot.Count, slot.Extra);
        }
        return sorted;
    }

    private void Grow(int length)
    {
        Slot[] larger = new Slot[length];
        foreach (ref readonly Slot slot in slots.AsSpan())
            if (slot.Count != 0)
                Find(larger, slot.First, slot.Second) = slot;
        slots = larger;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private ref Slot Find(Slot[] slots, ulong first, ulong second)
    {
        // The mask keeps every index inside the array, whose length is a power of two.
        ref Slot start = ref MemoryMarshal.GetArrayDataReference(slots);
        for (nuint i = (nuint)hash.Of(first, second), mask = (nuint)(slots.Length - 1); ; i++)
        {
            ref Slot slot = ref Unsafe.Add(ref start, i & mask);
            if (slot.Count == 0 || (slot.First == first && slot.Second == second))
                return ref slot;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static ulong Saturating(ulong a, ulong b)
    {
        ulong sum = a + b;
        return sum < a ? ulong.MaxValue : sum;
    }
}
