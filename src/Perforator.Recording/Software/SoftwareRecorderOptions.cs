namespace Perforator.Recording.Software;

/// <summary>How the software recorder samples, and what it may cost.</summary>
public sealed record SoftwareRecorderOptions
{
    /// <summary>Taken branches to follow from each moment.</summary>
    public int BranchesPerPath { get; init; } = 4096;

    /// <summary>The longest branch stack handed over; a longer path gives several.</summary>
    public int LongestStack { get; init; } = 256;

    /// <summary>
    /// How long a thread may stand still in one go, and how long a system call on a path may take: a path that wants more ends.
    /// </summary>
    public TimeSpan MaxStop { get; init; } = TimeSpan.FromMilliseconds(1);

    /// <summary>The share of its user time that a target may lose to recording; 1 or more lifts every bound.</summary>
    public double MaxOverhead { get; init; } = 0.035;

    /// <summary>
    /// Whether samples have <see cref="Branches.BranchSample.Callers"/>: a read of the target's memory for each while it stands still.
    /// </summary>
    public bool CallStacks { get; init; }

    /// <summary>
    /// Taken branches to record in a second of the targets' user time, where <see cref="MaxOverhead"/> allows as many: a profile wants no
    /// more, and most programs give them for less.
    /// </summary>
    public double BranchesPerSecond { get; init; } = 40_000;

    /// <summary>What all recording of the host may take.</summary>
    public RecordingBudget Budget { get; init; } = new();
}
