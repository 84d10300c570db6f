using Perforator.Dwarf;

namespace Perforator.Symbolize;

/// <summary>
/// Finds the innermost of nested address ranges. Built once from ranges that may nest, then a binary search over disjoint pieces.
/// </summary>
internal sealed class AddressIndex
{
    private readonly Piece[] pieces;
    private int last;

    private readonly record struct Piece(ulong Low, ulong High, int Value);

    private AddressIndex(Piece[] pieces) => this.pieces = pieces;

    /// <summary>Builds the index. At any address the range that begins last answers; of several with one beginning, the one added last.</summary>
    public static AddressIndex Of(List<(AddressRange Range, int Value)> ranges)
    {
        // By address, and in the order added where addresses are the same: outer ranges are added before those nested in them.
        int[] sorted = [.. Enumerable.Range(0, ranges.Count)];
        Array.Sort(sorted, (a, b) => ranges[a].Range.Low.CompareTo(ranges[b].Range.Low) is var order and not 0 ? order : a.CompareTo(b));
        List<Piece> pieces = new(sorted.Length);
        Stack<(ulong High, int Value)> open = new();
        ulong at = 0;
        foreach (int i in sorted)
        {
            (AddressRange range, int value) = ranges[i];
            CloseUntil(range.Low);
            open.Push((range.High, value));
            at = range.Low;
        }
        CloseUntil(ulong.MaxValue);
        return new AddressIndex([.. pieces]);

        void CloseUntil(ulong low)
        {
            while (open.TryPeek(out (ulong High, int Value) top))
            {
                ulong high = Math.Min(top.High, low);
                if (at < high)
                    Append(at, high, top.Value);
                at = Math.Max(at, high);
                if (top.High > low)
                    return;
                open.Pop();
            }
        }

        void Append(ulong low, ulong high, int value)
        {
            if (pieces.Count > 0 && pieces[^1].Value == value && pieces[^1].High == low)
                pieces[^1] = pieces[^1] with { High = high };
            else
                pieces.Add(new(low, high, value));
        }
    }

    /// <summary>The value of the innermost range that holds an address; -1 when none does.</summary>
    /// <param name="end">The next address at which the answer changes.</param>
    public int Find(ulong address, out ulong end)
    {
        Piece[] all = pieces;
        int at = last;
        if ((uint)at >= (uint)all.Length || address < all[at].Low || address >= all[at].High)
        {
            int low = 0, high = all.Length;
            while (low < high)
            {
                int middle = (low + high) >>> 1;
                if (all[middle].High > address)
                    high = middle;
                else
                    low = middle + 1;
            }
            at = low;
            if (at == all.Length || address < all[at].Low)
            {
                end = at == all.Length ? ulong.MaxValue : all[at].Low;
                return -1;
            }
            last = at;
        }
        end = all[at].High;
        return all[at].Value;
    }
}
