namespace Perforator.Branches;

/// <summary>
/// What was observed of one binary: counts of taken branches, fall-through ranges and sampled addresses, all in ELF virtual
/// addresses, so that profiles from any host, process and load address add up. Addition is the only merge, and it commutes.
/// </summary>
/// <remarks>
/// A worked example. A stack, newest first, holds (0x40→0x10), (0x30→0x20), (ext→0x28). It adds the branches (0x40→0x10),
/// (0x30→0x20) and (external→0x28), and the ranges that ran between them without a taken branch: [0x20, 0x40], from the target
/// of the older branch to the address of the newer branch instruction (inclusive), and [0x28, 0x30].
/// </remarks>
public sealed class BranchProfile
{
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
    /// Taken branches, from → to; the extra counter is mispredictions. At most one side is <see cref="BinaryAddress.External"/>.
    /// </summary>
    public PairCounts Branches { get; } = new();

    /// <summary>Fall-through ranges: begin (a branch target) and end (the address of the next taken branch instruction, inclusive).</summary>
    public PairCounts Ranges { get; } = new();

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
    public bool IsEmpty => Branches.Count == 0 && Ranges.Count == 0 && Addresses.Count == 0;

    /// <summary>Counts a sample that came without a branch stack.</summary>
    internal void CountWithoutStack(ulong weight, bool isExact)
    {
        AddressSamples = PairCounts.Saturating(AddressSamples, weight);
        if (isExact)
            ExactAddressSamples = PairCounts.Saturating(ExactAddressSamples, weight);
    }

    /// <summary>Adds another profile of the same binary.</summary>
    /// <exception cref="ArgumentException">The other profile is of another binary.</exception>
    public void Merge(BranchProfile other)
    {
        if (other.BuildId != BuildId)
            throw new ArgumentException($"profiles of different binaries do not add up: {BuildId} and {other.BuildId}", nameof(other));
        Branches.Merge(other.Branches);
        Ranges.Merge(other.Ranges);
        Addresses.Merge(other.Addresses);
        Samples = PairCounts.Saturating(Samples, other.Samples);
        BranchEntries = PairCounts.Saturating(BranchEntries, other.BranchEntries);
        AddressSamples = PairCounts.Saturating(AddressSamples, other.AddressSamples);
        ExactAddressSamples = PairCounts.Saturating(ExactAddressSamples, other.ExactAddressSamples);
        Losses.Merge(other.Losses);
    }
}
