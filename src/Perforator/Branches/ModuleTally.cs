namespace Perforator.Branches;

/// <summary>
/// One binary's profile while it is being aggregated, with what its newest branch of the sample at hand left open. Each binary
/// sees a stack as if entries that touch only other code were not there: a call out and the return come one after the other.
/// </summary>
internal sealed class ModuleTally(BranchProfile profile)
{
    public BranchProfile Profile { get; set; } = profile;

    /// <summary>Branches and ranges that are not part of <see cref="Profile"/> yet.</summary>
    public TraceCounts Traces { get; } = new();

    /// <summary>The sample that <see cref="NewerFrom"/> belongs to.</summary>
    public ulong SampleNumber { get; set; }

    /// <summary>Where the next newer branch of this sample left from, as a binary address; External when it came from other code.</summary>
    public ulong NewerFrom { get; set; }

    /// <summary>Where the next newer branch of this sample went to.</summary>
    public ulong NewerTo { get; set; }

    /// <summary>Counts a branch and the range that followed it.</summary>
    /// <param name="rangeLength">The range's length, or <see cref="TraceCounts.NoRange"/>.</param>
    public void Add(ulong from, ulong to, ulong rangeLength, ulong weight, bool mispredicted)
    {
        if (weight <= uint.MaxValue && TraceCounts.Fits(from) && TraceCounts.Fits(to))
        {
            Traces.Add([Traces.Fetch(from, to, rangeLength, mispredicted ? 1u : 0)], (uint)weight, Profile);
            return;
        }
        Profile.Branches.Add(new(from), new(to), weight, mispredicted ? weight : 0);
        if (rangeLength != TraceCounts.NoRange)
            Profile.Ranges.Add(new(to), new(to + rangeLength), weight);
    }
}
