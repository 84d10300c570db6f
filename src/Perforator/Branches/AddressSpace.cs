namespace Perforator.Branches;

/// <summary>The executable mappings of one process at one moment: disjoint regions in address order.</summary>
internal sealed partial class AddressSpace
{
    /// <summary>A mapped range, or a gap between two. A region without a tally is code of no interest.</summary>
    /// <param name="Start">First runtime address.</param>
    /// <param name="End">One past the last.</param>
    /// <param name="Tally">Where its branches count, or null.</param>
    /// <param name="Bias">Runtime address minus binary address, modulo 2^64.</param>
    public sealed record Region(ulong Start, ulong End, ModuleTally? Tally, ulong Bias)
    {
        /// <summary>Whether branches within it can be counted as traces.</summary>
        public bool HasTraces { get; } =
            Tally is not null && Start < End && unchecked(Start - Bias) < unchecked(End - Bias) && TraceCounts.Fits(unchecked(End - Bias));

        /// <summary>The binary, if it is of interest.</summary>
        public Module? Module { get; init; }

        /// <summary>The binary, if it is of none.</summary>
        public OtherBinary? Other { get; init; }

        /// <summary>Whether nothing is mapped there.</summary>
        public bool IsGap { get; init; }

        /// <summary>Memory without a file, of which it is not known what code it holds.</summary>
        public bool IsAnonymous { get; init; }
    }

    /// <summary>The kernel's half of all addresses begins here.</summary>
    private const ulong UpperHalf = 1UL << 63;

    private readonly List<Region> regions;

    // Branches of one thread stay in few regions: the last one with a tally and the last one without.
    private Region lastOfInterest = new(0, 0, null, 0);
    private Region lastOther = new(0, 0, null, 0);

    // What holds in every process; addresses of the upper half of the address space are looked for there first.
    private readonly AddressSpace? kernel;

    /// <param name="kernel">What is mapped for the kernel; null for that itself.</param>
    public AddressSpace(AddressSpace? kernel = null)
        : this([], kernel)
    {
    }

    private AddressSpace(List<Region> regions, AddressSpace? kernel)
    {
        this.regions = regions;
        this.kernel = kernel;
    }

    public AddressSpace Clone() => new([.. regions], kernel);

    /// <summary>Whether nothing is mapped.</summary>
    public bool IsEmpty => regions.Count == 0;

    /// <summary>Whether anything of interest is mapped.</summary>
    public bool HasTallies { get; private set; }

    /// <summary>Forgets the regions found last, as what is mapped for the kernel has changed.</summary>
    public void ForgetLast() => lastOfInterest = lastOther = new(0, 0, null, 0);

    /// <summary>Maps a range, replacing whatever overlaps it: what stands out on either side stays.</summary>
    public void Map(ulong start, ulong end, ModuleTally? tally, ulong bias, Module? module = null)
    {
        if (end <= start)
            return;
        Map(new Region(start, end, tally, bias) { Module = module });
        if (tally is not null)
            TakeAnonymousBefore(start);
    }

    /// <summary>Maps a range to a file that is of no interest.</summary>
    public void MapOther(ulong start, ulong end, OtherBinary? other)
    {
        if (end > start)
            Map(new Region(start, end, null, 0) { Other = other });
    }

    private void Map(Region region)
    {
        (ulong start, ulong end) = (region.Start, region.End);
        ForgetLast();
        HasTallies |= region.Tally is not null;
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
        kept.Add(region);
        kept.Sort(static (a, b) => a.Start.CompareTo(b.Start));
        regions.InsertRange(at, kept);
    }

    /// <summary>The region with a tally that was found last.</summary>
    public Region LastOfInterest => lastOfInterest;

    /// <summary>The region or gap that holds a runtime address.</summary>
    public Region Find(ulong address)
    {
        Region hit = lastOfInterest;
        if (address - hit.Start < hit.End - hit.Start)
            return hit;
        hit = lastOther;
        if (address - hit.Start < hit.End - hit.Start)
            return hit;
        return Search(address);
    }

    private Region Search(ulong address)
    {
        Region found = SearchRegions(address);
        if (address >= UpperHalf && kernel is { IsEmpty: false })
        {
            // Text without mappings has a kernel where it is linked; what the recording says of it goes first. A gap must be one of both.
            Region inKernel = kernel.SearchRegions(address);
            if (!inKernel.IsGap || found.IsGap)
                found = inKernel;
        }
        if (found.Tally is null)
            lastOther = found;
        else
            lastOfInterest = found;
        return found;
    }

    private Region SearchRegions(ulong address)
    {
        int at = FirstEndingAfter(address);
        Region found;
        if (at < regions.Count && regions[at].Start <= address)
        {
            found = regions[at];
        }
        else
        {
            ulong start = at == 0 ? 0 : regions[at - 1].End, end = at < regions.Count ? regions[at].Start : ulong.MaxValue;
            if (address >= UpperHalf)
                start = Math.Max(start, UpperHalf);
            else
                end = Math.Min(end, UpperHalf);
            found = new Region(start, end, null, 0) { IsGap = true };
        }
        return found;
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
