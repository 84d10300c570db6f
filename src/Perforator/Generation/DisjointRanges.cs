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

    /// <param name="ranges">Ranges in any order; the same one must not occur twice.</param>
    /// <returns>Disjoint ranges in address order.</returns>
    public static List<RangeCount> Of(IReadOnlyCollection<RangeCount> ranges)
    {
        List<Boundary> boundaries = Boundaries(ranges);
        List<RangeCount> disjoint = new(boundaries.Count + 1);
        ulong count = 0;
        // Where the next disjoint range begins; null between ranges.
        ulong? begin = null;
        int zeroDepth = 0;
        foreach (Boundary at in boundaries)
        {
            if (at.Begins)
            {
                if (begin is { } open && open < at.Address)
                    disjoint.Add(new(open, at.Address - 1, count));
                count += at.BeginCount;
                begin = at.Address;
                zeroDepth += at.ZeroBegins ? 1 : 0;
            }
            if (at.Ends && begin is { } start)
            {
                if (start <= at.Address)
                    disjoint.Add(new(start, at.Address, count));
                count -= at.EndCount;
                zeroDepth -= at.ZeroEnds ? 1 : 0;
                begin = count == 0 && zeroDepth == 0 ? null : at.Address + 1;
            }
        }
        return disjoint;
    }

    private static List<Boundary> Boundaries(IReadOnlyCollection<RangeCount> ranges)
    {
        (ulong Address, bool IsEnd, ulong Count)[] points = new (ulong, bool, ulong)[2 * ranges.Count];
        int n = 0;
        foreach (RangeCount range in ranges)
        {
            points[n++] = (range.Begin, false, range.Count);
            points[n++] = (range.End, true, range.Count);
        }
        Array.Sort(points, static (a, b) => a.Address.CompareTo(b.Address));

        List<Boundary> boundaries = [];
        Boundary current = default;
        for (int i = 0; i < points.Length; i++)
        {
            (ulong address, bool isEnd, ulong count) = points[i];
            if (i == 0 || address != current.Address)
            {
                if (i > 0)
                    boundaries.Add(current);
                current = new Boundary { Address = address };
            }
            if (isEnd)
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
        if (points.Length > 0)
            boundaries.Add(current);
        return boundaries;
    }
}
