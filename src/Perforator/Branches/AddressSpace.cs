namespace Perforator.Branches;

/// <summary>The executable mappings of one process at one moment: disjoint regions in address order.</summary>
internal sealed class AddressSpace
{
    /// <summary>A mapped range. A region without a profile is mapped code of no interest.</summary>
    /// <param name="Start">First runtime address.</param>
    /// <param name="End">One past the last.</param>
    /// <param name="Profile">Where its branches count, or null.</param>
    /// <param name="Bias">Runtime address minus binary address, modulo 2^64.</param>
    public sealed record Region(ulong Start, ulong End, BranchProfile? Profile, ulong Bias);

    private readonly List<Region> regions;
    private Region? last;

    public AddressSpace() => regions = [];

    private AddressSpace(List<Region> regions) => this.regions = regions;

    public AddressSpace Clone() => new([.. regions]);

    /// <summary>Maps a range, replacing whatever overlaps it: what stands out on either side stays.</summary>
    public void Map(ulong start, ulong end, BranchProfile? profile, ulong bias)
    {
        if (end <= start)
            return;
        last = null;
        int at = FirstEndingAfter(start);
        List<Region> kept = [];
        int until = at;
        for (; until < regions.Count && regions[until].Start < end; until++)
        {
            Region old = regions[until];
            if (old.Start < start)
                kept.Add(old with { End = start });
            if (old.End > end)
                kept.Add(old with { Start = end });
        }
        regions.RemoveRange(at, until - at);
        kept.Add(new Region(start, end, profile, bias));
        kept.Sort(static (a, b) => a.Start.CompareTo(b.Start));
        regions.InsertRange(at, kept);
    }

    /// <summary>The region that holds a runtime address, or null.</summary>
    public Region? Find(ulong address)
    {
        if (last is { } hit && address >= hit.Start && address < hit.End)
            return hit;
        int at = FirstEndingAfter(address);
        if (at >= regions.Count || regions[at].Start > address)
            return null;
        return last = regions[at];
    }

    private int FirstEndingAfter(ulong address)
    {
        int low = 0, high = regions.Count;
        while (low < high)
        {
            int middle = (low + high) >>> 1;
            if (regions[middle].End > address)
                high = middle;
            else
                low = middle + 1;
        }
        return low;
    }
}
