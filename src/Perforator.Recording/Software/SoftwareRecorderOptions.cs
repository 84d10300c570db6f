namespace Perforator.Recording.Software;

/// <summary>How the software recorder samples, and what it may cost.</summary>
public sealed record SoftwareRecorderOptions
{
    /// <summary>
    /// Instructions interpreted in one burst, at most.
    /// </summary>
    public int InstructionsPerBurst { get; init; } = 200_000;

    /// <summary>Taken branches in one burst, at most.</summary>
    public int BranchesPerBurst { get; init; } = 16_384;

    /// <summary>The longest branch stack handed over; a burst with more branches gives several stacks.</summary>
    public int LongestStack { get; init; } = 256;

    /// <summary>How long a thread may stand still in one go.</summary>
    public TimeSpan MaxStop { get; init; } = TimeSpan.FromMilliseconds(1);

    /// <summary>
    /// The share of its CPU time that a target may lose to recording; 1 or more lifts the bound.
    /// </summary>
    public double MaxOverhead { get; init; } = 0.035;

    /// <summary>
    /// Taken branches to record in a second of the targets' CPU time, where <see cref="MaxOverhead"/> allows as many: a profile wants no more, and most programs give them for less.
    /// </summary>
    public double BranchesPerSecond { get; init; } = 40_000;
}
