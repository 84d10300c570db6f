namespace Perforator.Bytes;

/// <summary>
/// Sorts by 64-bit keys, equal ones in the order they came in: a radix sort, a byte a pass, passes that would change nothing left out.
/// Its time depends on nothing but the number of keys, and unlike the framework's sorts over our own structs it is precompiled.
/// </summary>
internal static class KeyOrder
{
    private const int Digits = 256;

    /// <summary>Below this, passes over all digits take longer than insertion.</summary>
    private const int Few = 64;

    /// <summary>The indices of keys, lowest key first.</summary>
    public static int[] Of(ReadOnlySpan<ulong> keys)
    {
        int[] order = new int[keys.Length];
        for (int i = 0; i < order.Length; i++)
            order[i] = i;
        Sort(keys.ToArray(), order);
        return order;
    }

    /// <summary>The indices of pairs, by first key, then by second.</summary>
    public static int[] Of(ReadOnlySpan<ulong> first, ReadOnlySpan<ulong> second)
    {
        int[] order = Of(second);
        ulong[] keys = new ulong[order.Length];
        for (int i = 0; i < keys.Length; i++)
            keys[i] = first[order[i]];
        Sort(keys, order);
        return order;
    }

    /// <summary>Sorts keys, and values along with them.</summary>
    public static void Sort(ulong[] keys, int[] values)
    {
        if (keys.Length < Few)
        {
            Insert(keys, values);
            return;
        }
        int[] counts = new int[sizeof(ulong) * Digits];
        foreach (ulong key in keys)
            for (int digit = 0; digit < sizeof(ulong); digit++)
                counts[digit * Digits + (byte)(key >> 8 * digit)]++;
        ulong[] keysTo = new ulong[keys.Length], keysFrom = keys;
        int[] valuesTo = new int[keys.Length], valuesFrom = values;
        for (int digit = 0; digit < sizeof(ulong); digit++)
        {
            Span<int> starts = counts.AsSpan(digit * Digits, Digits);
            if (starts[(byte)(keysFrom[0] >> 8 * digit)] == keys.Length)
                continue;
            int start = 0;
            for (int i = 0; i < starts.Length; i++)
                (starts[i], start) = (start, start + starts[i]);
            for (int i = 0; i < keysFrom.Length; i++)
            {
                int to = starts[(byte)(keysFrom[i] >> 8 * digit)]++;
                keysTo[to] = keysFrom[i];
                valuesTo[to] = valuesFrom[i];
            }
            (keysFrom, keysTo) = (keysTo, keysFrom);
            (valuesFrom, valuesTo) = (valuesTo, valuesFrom);
        }
        if (keysFrom == keys)
            return;
        keysFrom.CopyTo(keys, 0);
        valuesFrom.CopyTo(values, 0);
    }

    private static void Insert(ulong[] keys, int[] values)
    {
        for (int i = 1; i < keys.Length; i++)
        {
            (ulong key, int value) = (keys[i], values[i]);
            int at = i;
            for (; at > 0 && keys[at - 1] > key; at--)
            {
                keys[at] = keys[at - 1];
                values[at] = values[at - 1];
            }
            keys[at] = key;
            values[at] = value;
        }
    }
}
