namespace Perforator.Recording.Software;

/// <summary>How the software recorder samples, and what it may cost.</summary>
public sealed record SoftwareRecorderOptions
{
    /// <summary>Taken branches followed in one burst, at most: the length of a branch stack.</summary>
    public int BranchesPerBurst { get; init; } = 32;

    /// <summary>
    /// The share of its CPU time that a target may lose to being stopped; 1 or more lifts the bound.
    /// </summary>
    public double MaxOverhead { get; init; } = 0.05;
}
