namespace Perforator.Branches;

/// <summary>
/// One binary's profile while it is being aggregated, with what its newest branch of the sample at hand left open. Each binary
/// sees a stack as if entries that touch only other code were not there: a call out and the return come one after the other.
/// </summary>
internal sealed class ModuleTally(BranchProfile profile)
{
    public BranchProfile Profile { get; set; } = profile;

    /// <summary>The sample that <see cref="NewerFrom"/> belongs to.</summary>
    public ulong SampleNumber { get; set; }

    /// <summary>Where the next newer branch of this sample left from, as a binary address; External when it came from other code.</summary>
    public ulong NewerFrom { get; set; }

    /// <summary>Where the next newer branch of this sample went to.</summary>
    public ulong NewerTo { get; set; }
}
