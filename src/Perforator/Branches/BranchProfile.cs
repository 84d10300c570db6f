namespace Perforator.Branches;

/// <summary>
/// What was observed of one binary: counts of traces (a taken branch with the fall-through range behind it) and of sampled addresses,
/// all in ELF virtual addresses, so that profiles from any host, process and load address add up. Addition is the only merge, and it
/// commutes. Counts of branches and of ranges are sums over the traces.
/// </summary>
/// <remarks>
/// A worked example. A stack, newest first, holds (0x40→0x10), (0x30→0x20), (ext→0x28). It adds the branches (0x40→0x10),
/// (0x30→0x20) and (external→0x28), and the ranges that ran between them without a taken branch: [0x20, 0x40], from the target
/// of the older branch to the address of the newer branch instruction (inclusive), and [0x28, 0x30]. As traces: (0x40→0x10, nothing
/// known), (0x30→0x20…0x40), (external→0x28…0x30).
/// </remarks>
public sealed class BranchProfile
{
    private readonly TraceTable traces = new();
    private readonly PairCounts unpairedRanges = new();

    // Sums made when they are asked for; null once something was added.
    private PairCounts? branches;
    private PairCounts? ranges;

    /// <param name="buildId">The binary all addresses belong to; never empty.</param>
    /// <param name="path">A path for people to read; not part of the identity.</param>
    public BranchProfile(BuildId buildId, string path)
    {
        BuildId = buildId;
        Path = path;
    }

    /// <summary>The binary all addresses belong to.</summary>
    public BuildId BuildId { get; }

    /// <summary>A path for people to read.</summary>
    public string Path { get; }

    /// <summary>
    /// Taken branches, from → to; the extra counter is mispredictions. At most one side is <see cref="BinaryAddress.External"/>. The sum
    /// over all traces.
    /// </summary>
    public IPairCounts Branches
    {
        get
        {
            if (branches is null)
                traces.AddTo(branches = new(), null);
            return branches;
        }
    }

    /// <summary>The sum over <see cref="Branches"/> with both ends in the binary, saturating; cheaper than these.</summary>
    public ulong InternalBranches => traces.InternalTotal;

    /// <summary>Adds all of <see cref="Branches"/> to other counters, without making these.</summary>
    public void AddBranchesTo(PairCounts counts)
    {
        // Some branches are in several traces.
        counts.Reserve(traces.Count / 4 * 3);
        traces.AddTo(counts, null);
    }

    /// <summary>The sum over <see cref="Branches"/>, saturating; cheaper than these.</summary>
    public ulong TotalBranches => traces.Total;

    /// <summary>
    /// Fall-through ranges: begin (a branch target) and end (the address of the next taken branch instruction, inclusive). The sum over
    /// all traces, and <see cref="UnpairedRanges"/>.
    /// </summary>
    public IPairCounts Ranges
    {
        get
        {
            if (ranges is null)
            {
                (ranges = new()).Merge(unpairedRanges);
                traces.AddTo(null, ranges);
            }
            return ranges;
        }
    }

    /// <summary>Ranges of which no branch is known, as in files and inputs that count branches and ranges apart.</summary>
    public IPairCounts UnpairedRanges => unpairedRanges;

    /// <summary>How many counters there are of traces and unpaired ranges.</summary>
    public int TraceCounters => traces.Count + unpairedRanges.Count;

    /// <summary>Sampled instruction pointers; the second address of each pair is 0.</summary>
    public PairCounts Addresses { get; } = new();

    /// <summary>Samples that touched this binary.</summary>
    public ulong Samples { get; set; }

    /// <summary>Of <see cref="Samples"/>, those that came without a branch stack, for their address alone.</summary>
    public ulong AddressSamples { get; set; }

    /// <summary>Of <see cref="AddressSamples"/>, those whose address is exact rather than some instructions late.</summary>
    public ulong ExactAddressSamples { get; set; }

    /// <summary>Branch stack entries that touched this binary, the bogus ones included.</summary>
    public ulong BranchEntries { get; set; }

    /// <summary>What was dropped, by reason.</summary>
    public LossCounts Losses { get; } = new();

    /// <summary>Whether nothing of the binary was observed: it was mapped and not run.</summary>
    public bool IsEmpty => TraceCounters == 0 && Addresses.Count == 0;

    /// <summary>All traces by source, target and end, those without a range last among those of a branch.</summary>
    public TraceCount[] Traces() => traces.Sorted();

    /// <summary>Adds a taken branch with the range that followed it.</summary>
    /// <param name="from">The branch instruction; may be <see cref="BinaryAddress.External"/> unless <paramref name="to"/> is.</param>
    /// <param name="to">The branch's target.</param>
    /// <param name="end">The next taken branch instruction, not before <paramref name="to"/>; External if it is not known.</param>
    /// <param name="count">How often.</param>
    /// <param name="mispredicted">How often of these it was mispredicted.</param>
    public void AddTrace(BinaryAddress from, BinaryAddress to, BinaryAddress end, ulong count, ulong mispredicted = 0)
    {
        (branches, ranges) = (null, null);
        traces.Add(from, to, end, count, mispredicted);
    }

    /// <summary>Takes traces by source, target and end, each once, as the only ones.</summary>
    internal void LoadTraces(TraceCount[] sorted)
    {
        (branches, ranges) = (null, null);
        traces.Load(sorted);
    }

    /// <summary>Adds a taken branch of which it is not known how code ran on behind it.</summary>
    public void AddBranch(BinaryAddress from, BinaryAddress to, ulong count, ulong mispredicted = 0) =>
        AddTrace(from, to, BinaryAddress.External, count, mispredicted);

    /// <summary>Adds a fall-through range of which it is not known by which branch it was reached.</summary>
    public void AddRange(BinaryAddress begin, BinaryAddress end, ulong count)
    {
        ranges = null;
        unpairedRanges.Add(begin, end, count);
    }

    /// <summary>Counts a sample that came without a branch stack.</summary>
    internal void CountWithoutStack(ulong weight, bool isExact)
    {
        AddressSamples = PairCounts.Saturating(AddressSamples, weight);
        if (isExact)
            ExactAddressSamples = PairCounts.Saturating(ExactAddressSamples, weight);
    }

    /// <summary>Adds another profile of the same binary, each count of it so many times.</summary>
    /// <exception cref="ArgumentException">The other profile is of another binary.</exception>
    public void Merge(BranchProfile other, ulong weight)
    {
        if (weight == 1)
            Merge(other);
        else
            AddScaled(other, count => SampleTimes(count, weight));
    }

    /// <summary>The profile with each count divided and rounded, to 1 at least where there was any.</summary>
    public BranchProfile DividedBy(ulong divisor)
    {
        BranchProfile divided = new(BuildId, Path);
        divided.AddScaled(this, count => count == 0 ? 0 : Math.Max(1, (count / divisor) + (count % divisor * 2 >= divisor ? 1UL : 0)));
        return divided;
    }

    private static ulong SampleTimes(ulong count, ulong weight) => Math.BigMul(count, weight, out ulong low) == 0 ? low : ulong.MaxValue;

    private void AddScaled(BranchProfile other, Func<ulong, ulong> scale)
    {
        RequireSameBinary(other);
        foreach (TraceCount trace in other.Traces())
            AddTrace(trace.From, trace.To, trace.End, scale(trace.Count), Math.Min(scale(trace.Count), scale(trace.Mispredicted)));
        foreach (PairCount range in other.UnpairedRanges.Sorted())
            AddRange(range.First, range.Second, scale(range.Count));
        foreach (PairCount address in other.Addresses.Sorted())
            Addresses.Add(address.First, address.Second, scale(address.Count), scale(address.Extra));
        Samples = PairCounts.Saturating(Samples, scale(other.Samples));
        BranchEntries = PairCounts.Saturating(BranchEntries, scale(other.BranchEntries));
        AddressSamples = PairCounts.Saturating(AddressSamples, scale(other.AddressSamples));
        ExactAddressSamples = PairCounts.Saturating(ExactAddressSamples, scale(other.ExactAddressSamples));
        foreach ((string reason, ulong count) in other.Losses.ByReason)
            Losses.Add(reason, scale(count));
    }

    private void RequireSameBinary(BranchProfile other)
    {
        if (other.BuildId != BuildId)
            throw new ArgumentException($"profiles of different binaries do not add up: {BuildId} and {other.BuildId}", nameof(other));
    }

    /// <summary>Adds another profile of the same binary.</summary>
    /// <exception cref="ArgumentException">The other profile is of another binary.</exception>
    public void Merge(BranchProfile other)
    {
        RequireSameBinary(other);
        (branches, ranges) = (null, null);
        traces.Merge(other.traces);
        unpairedRanges.Merge(other.unpairedRanges);
        Addresses.Merge(other.Addresses);
        Samples = PairCounts.Saturating(Samples, other.Samples);
        BranchEntries = PairCounts.Saturating(BranchEntries, other.BranchEntries);
        AddressSamples = PairCounts.Saturating(AddressSamples, other.AddressSamples);
        ExactAddressSamples = PairCounts.Saturating(ExactAddressSamples, other.ExactAddressSamples);
        Losses.Merge(other.Losses);
    }
}
