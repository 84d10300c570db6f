using Perforator.Bytes;
using Perforator.Dwarf;

namespace Perforator.Symbolize;

/// <summary>
/// Finds which of overlapping address ranges answers for an address. Built once, then a binary search over disjoint pieces.
/// </summary>
internal sealed class AddressIndex
{
    private readonly Piece[] pieces;
    private int last;

    private readonly record struct Piece(ulong Low, ulong High, int Value);

    private AddressIndex(Piece[] pieces) => this.pieces = pieces;

    /// <summary>
    /// Builds the index. At any address the range that begins last answers; of several with one beginning, the one added last.
    /// </summary>
    public static AddressIndex Of(List<(AddressRange Range, int Value)> ranges) => OfNested(ranges, ByLow(ranges));

    private static AddressIndex OfNested(List<(AddressRange Range, int Value)> ranges, int[] sorted)
    {
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

    /// <summary>
    /// Builds an index of ranges that may overlap in any way, as those of units do when a linker lets the discarded copies of a COMDAT
    /// function describe the kept one. Where several cover an address, the value that answers just below it goes on answering while it
    /// can, else the smallest answers: what LLVM's DWARFDebugAranges does.
    /// </summary>
    public static AddressIndex OfOverlapping(List<(AddressRange Range, int Value)> ranges)
    {
        int[] sorted = ByLow(ranges);
        if (AreDisjoint(ranges, sorted))
            return OfNested(ranges, sorted);
        // Range i begins at address 2 i and ends at address 2 i + 1.
        ulong[] addresses = new ulong[2 * ranges.Count];
        for (int i = 0; i < addresses.Length; i++)
            addresses[i] = i % 2 == 0 ? ranges[i / 2].Range.Low : ranges[i / 2].Range.High;
        List<Piece> pieces = new(ranges.Count);
        SortedDictionary<int, int> covering = [];
        ulong at = 0;
        foreach (int end in KeyOrder.Of(addresses))
        {
            ulong address = addresses[end];
            (AddressRange range, int value) = ranges[end / 2];
            if (range.Low >= range.High)
                continue;
            if (at < address && covering.Count > 0)
            {
                if (pieces.Count > 0 && pieces[^1].High == at && covering.ContainsKey(pieces[^1].Value))
                    pieces[^1] = pieces[^1] with { High = address };
                else
                    pieces.Add(new(at, address, covering.First().Key));
            }
            int count = covering.GetValueOrDefault(value) + (end % 2 == 0 ? 1 : -1);
            if (count == 0)
                covering.Remove(value);
            else
                covering[value] = count;
            at = address;
        }
        return new AddressIndex([.. pieces]);
    }

    /// <summary>
    /// By address, and in the order added where addresses are the same: outer ranges are added before those nested in them.
    /// </summary>
    private static int[] ByLow(List<(AddressRange Range, int Value)> ranges)
    {
        ulong[] lows = new ulong[ranges.Count];
        for (int i = 0; i < lows.Length; i++)
            lows[i] = ranges[i].Range.Low;
        return KeyOrder.Of(lows);
    }

    private static bool AreDisjoint(List<(AddressRange Range, int Value)> ranges, int[] sorted)
    {
        ulong at = 0;
        foreach (int i in sorted)
        {
            AddressRange range = ranges[i].Range;
            if (range.Low < at || range.High < range.Low)
                return false;
            at = range.High;
        }
        return true;
    }

    /// <summary>The value of the range that answers for an address; -1 when none does.</summary>
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
