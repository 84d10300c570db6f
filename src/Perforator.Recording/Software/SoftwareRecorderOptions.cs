namespace Perforator.Recording.Software;

/// <summary>How the software recorder samples, and what it may cost.</summary>
public sealed record SoftwareRecorderOptions
{
    /// <summary>
    /// Instructions followed in one burst. Bursts are measured in instructions and not in branches: random moments favour code in
    /// proportion to its time, and only bursts of equal length in code then give each branch its due share.
    /// </summary>
    public int InstructionsPerBurst { get; init; } = 2000;

    /// <summary>Taken branches in one burst, at most: the longest branch stack.</summary>
    public int BranchesPerBurst { get; init; } = 1024;

    /// <summary>How long a thread may stand still in one go.</summary>
    public TimeSpan MaxStop { get; init; } = TimeSpan.FromMilliseconds(1);

    /// <summary>
    /// The share of its CPU time that a target may lose to recording; 1 or more lifts the bound.
    /// </summary>
    public double MaxOverhead { get; init; } = 0.03;
}
