using Perforator.Bytes;

namespace Perforator.Generation;

/// <summary>Cuts overlapping counted ranges into disjoint ones whose counts are the sums over all that cover them.</summary>
/// <remarks>
/// A worked example. [A, C] with 200 and [A, B] with 100, A ≤ B &lt; C, give [A, B] with 300 and [B+1, C] with 200. Ranges with a
/// count of 0 say that code belongs to a touched function: where nothing else covers them, they stay with 0, so that the compiler
/// knows that code as cold rather than unknown. The cutting rules are those of llvm-profgen's findDisjointRanges.
/// </remarks>
internal static class DisjointRanges
{
    private struct Boundary
    {
        public ulong Address;
        public ulong BeginCount;
        public ulong EndCount;
        public bool Begins;
        public bool Ends;
        public bool ZeroBegins;
        public bool ZeroEnds;
    }

    /// <summary>What has been cut so far, from the lowest address up to the boundary at hand.</summary>
    private struct Cut(int capacity)
    {
        public readonly List<RangeCount> Disjoint = new(capacity);

        private ulong count;
        private int zeroDepth;

        // Where the next disjoint range begins; null between ranges.
        private ulong? begin;

        public void At(in Boundary at)
        {
            if (at.Begins)
            {
                if (begin is { } open && open < at.Address)
                    Disjoint.Add(new(open, at.Address - 1, count));
                count += at.BeginCount;
                begin = at.Address;
                zeroDepth += at.ZeroBegins ? 1 : 0;
            }
            if (at.Ends && begin is { } start)
            {
                if (start <= at.Address)
                    Disjoint.Add(new(start, at.Address, count));
                count -= at.EndCount;
                zeroDepth -= at.ZeroEnds ? 1 : 0;
                begin = count == 0 && zeroDepth == 0 ? null : at.Address + 1;
            }
        }
    }

    /// <param name="ranges">Ranges in any order; the same one must not occur twice.</param>
    /// <returns>Disjoint ranges in address order.</returns>
    public static List<RangeCount> Of(List<RangeCount> ranges)
    {
        // Each range has two points: where it begins, at an even index, and where it ends.
        ulong[] points = new ulong[2 * ranges.Count];
        for (int i = 0; i < ranges.Count; i++)
            (points[2 * i], points[2 * i + 1]) = (ranges[i].Begin, ranges[i].End);

        Cut cut = new(ranges.Count);
        Boundary current = default;
        bool isFirst = true;
        foreach (int point in KeyOrder.Of(points))
        {
            ulong count = ranges[point / 2].Count;
            if (isFirst || points[point] != current.Address)
            {
                if (!isFirst)
                    cut.At(current);
                current = new Boundary { Address = points[point] };
                isFirst = false;
            }
            if (point % 2 != 0)
            {
                current.Ends = true;
                current.EndCount += count;
                current.ZeroEnds |= count == 0;
            }
            else
            {
                current.Begins = true;
                current.BeginCount += count;
                current.ZeroBegins |= count == 0;
            }
        }
        if (!isFirst)
            cut.At(current);
        return cut.Disjoint;
    }
}
