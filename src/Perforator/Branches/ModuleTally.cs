namespace Perforator.Branches;

/// <summary>
/// One binary's profile while it is being aggregated, with what its newest branch of the sample at hand left open. Each binary
/// sees a stack as if entries that touch only other code were not there: a call out and the return come one after the other.
/// </summary>
internal sealed class ModuleTally(BranchProfile profile, TraceCounts traces)
{
    /// <summary>The profile, but for what is in <see cref="Traces"/>.</summary>
    public BranchProfile Profile { get; private set; } = profile;

    /// <summary>Traces that are not part of <see cref="Profile"/> yet.</summary>
    public TraceCounts Traces { get; private set; } = traces;

    /// <summary>The sample that <see cref="NewerFrom"/> belongs to.</summary>
    public ulong SampleNumber { get; set; }

    /// <summary>Where the next newer branch of this sample left from, as a binary address; External when it came from other code.</summary>
    public ulong NewerFrom { get; set; }

    /// <summary>Where the next newer branch of this sample went to.</summary>
    public ulong NewerTo { get; set; }

    /// <summary>The profile with all that was counted so far.</summary>
    public BranchProfile Complete()
    {
        Traces.Drain(Profile);
        return Profile;
    }

    /// <summary>Hands over all that was counted so far, and begins again from zero.</summary>
    public ModuleTally Take()
    {
        ModuleTally taken = new(Profile, Traces);
        (Profile, Traces) = (new BranchProfile(Profile.BuildId, Profile.Path), new TraceCounts());
        return taken;
    }

    /// <summary>Adds what another one of the same binary counted.</summary>
    public void Merge(ModuleTally other)
    {
        Profile.Merge(other.Profile);
        Traces.Merge(other.Traces, Profile);
    }

    /// <summary>Counts a branch and the range that followed it.</summary>
    /// <param name="rangeLength">The range's length, or <see cref="TraceCounts.NoRange"/>.</param>
    public void Add(ulong from, ulong to, ulong rangeLength, ulong weight, bool mispredicted)
    {
        if (weight <= uint.MaxValue && TraceCounts.Fits(from) && TraceCounts.Fits(to))
        {
            Traces.Add([Traces.Fetch(from, to, rangeLength, mispredicted ? 1u : 0)], (uint)weight, Profile);
            return;
        }
        BinaryAddress end = rangeLength == TraceCounts.NoRange ? BinaryAddress.External : new(to + rangeLength);
        Profile.AddTrace(new(from), new(to), end, weight, mispredicted ? weight : 0);
    }
}
