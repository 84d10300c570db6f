using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;
using Perforator.Bytes;

namespace Perforator.Branches;

/// <summary>One counter of a <see cref="PairCounts"/>.</summary>
public readonly record struct PairCount(BinaryAddress First, BinaryAddress Second, ulong Count, ulong Extra);

/// <summary>
/// Counters keyed by a pair of addresses: branches (from, to; extra = mispredicted) and fall-through ranges (begin, end).
/// An open-addressing table, since aggregation adds to it tens of millions of times a second. Counters saturate.
/// </summary>
/// <remarks>
/// Where a pair lies depends on secret numbers that every process draws anew, so that nobody can make up pairs that all collide. What
/// is written goes through <see cref="Sorted"/>, which does not depend on them.
/// </remarks>
public sealed class PairCounts
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

    private static readonly (ulong First, ulong Second) Secret = DrawSecret();

    // A table that holds nothing: the first pair that is added makes it grow, so that this slot stays free.
    private static readonly Slot[] Empty = new Slot[1];

    // Instance fields, as precompiled code would check with every use of the static ones whether they are set yet.
    private readonly ulong firstSecret = Secret.First;
    private readonly ulong secondSecret = Secret.Second;
    private Slot[] slots = Empty;

    /// <summary>How many distinct pairs are counted.</summary>
    public int Count { get; private set; }

    /// <summary>The sum of all counters, saturating.</summary>
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

    /// <summary>The sum of the counters with neither address <see cref="BinaryAddress.External"/>, saturating.</summary>
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
            if (Count >= slots.Length / 2)
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

    /// <summary>Adds all of another's counters.</summary>
    public void Merge(PairCounts other)
    {
        // They come in the order of their places: in a table with fewer places they would pile up.
        if (slots.Length < other.slots.Length)
            Grow(other.slots.Length);
        foreach (ref readonly Slot slot in other.slots.AsSpan())
            Add(new(slot.First), new(slot.Second), slot.Count, slot.Extra);
    }

    /// <summary>All counters by first, then second address: the order in which they are written and reported.</summary>
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

    /// <summary>Has the CPU fetch the counter of a pair, which is about to be added to: a large table does not fit its caches.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal unsafe void Prefetch(ulong first, ulong second)
    {
        // The array may move meanwhile; fetching the wrong line costs a little time and nothing else.
        if (Sse.IsSupported)
            Sse.Prefetch0(Unsafe.AsPointer(ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(slots), (nuint)Hash(first, second) & (nuint)(slots.Length - 1))));
    }

    /// <summary>
    /// The sum of products with secret odd numbers keeps any two pairs apart, but for the odds of chance (multiply-shift hashing); its
    /// lower half is weak, so a last multiplication brings the upper one down to where it is used.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private ulong Hash(ulong first, ulong second)
    {
        ulong sum = unchecked(first * firstSecret + second * secondSecret);
        return unchecked((sum ^ sum >> 32) * 0x9E3779B97F4A7C15UL) >> 32;
    }

    /// <summary>Two odd numbers. A new GUID is 122 bits of the kernel's randomness, without loading a library of cryptography.</summary>
    private static (ulong First, ulong Second) DrawSecret()
    {
        byte[] random = Guid.NewGuid().ToByteArray();
        return (BitConverter.ToUInt64(random, 0) | 1, BitConverter.ToUInt64(random, sizeof(ulong)) | 1);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private ref Slot Find(Slot[] slots, ulong first, ulong second)
    {
        ulong hash = Hash(first, second);
        // The mask keeps every index inside the array, whose length is a power of two.
        ref Slot start = ref MemoryMarshal.GetArrayDataReference(slots);
        for (nuint i = (nuint)hash, mask = (nuint)(slots.Length - 1); ; i++)
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
