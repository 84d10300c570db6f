namespace Perforator.Recording.Software;

/// <summary>Turns what samples cost into how far apart they are.</summary>
/// <param name="maxOverhead">The share of its user time that a target may lose; 1 or more lifts every bound.</param>
/// <param name="branchesPerSecond">So many taken branches in a second of the targets' user time suffice; infinite where the overhead alone
/// is to decide.</param>
internal sealed class Pacer(double maxOverhead, double branchesPerSecond)
{
    /// <summary>The means are of so many latest samples.</summary>
    private const int Latest = 100;

    /// <summary>Nanoseconds: no closer, or a moment would fall into the one before.</summary>
    private const double ShortestInterval = 2e6;

    /// <summary>
    /// What is assumed of a sample before there is one: what it costs, in nanoseconds, and its branches. That counts as a few samples.
    /// </summary>
    private double cost = 3e5, branches = 3000;
    private int samples = 4;

    /// <summary>Nanoseconds of user time between two samples, on average.</summary>
    public double Interval =>
        maxOverhead >= 1 ? ShortestInterval : Math.Max(cost / maxOverhead, Math.Max(branches / branchesPerSecond * 1e9, ShortestInterval));

    /// <summary>Takes account of one more moment, also of one that gave no sample.</summary>
    /// <param name="lost">What its thread lost by it.</param>
    /// <param name="recorded">Taken branches recorded.</param>
    public void Charge(TimeSpan lost, int recorded)
    {
        samples = Math.Min(samples + 1, Latest);
        cost += (lost.TotalNanoseconds - cost) / samples;
        branches += (recorded - branches) / samples;
    }
}
