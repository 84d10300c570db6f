namespace Perforator.Recording.Software;

/// <summary>Turns what recording costs into how often to record.</summary>
/// <param name="maxOverhead">The share of its CPU time that a target may lose; 1 or more lifts the bound.</param>
/// <param name="branchesPerSecond">So many taken branches in a second of the targets' CPU time suffice; infinite where the overhead alone is to decide.</param>
internal sealed class Pacer(double maxOverhead, double branchesPerSecond = double.PositiveInfinity)
{
    /// <summary>A new sample counts at least as much as this share of the mean so far.</summary>
    private const double Weight = 0.02;

    /// <summary>So many samples at the assumed cost stand at the start, or a cheap beginning (the dynamic linker's short calls) would be met more often than the rest.</summary>
    private const int Assumed = 25;

    /// <summary>So many samples at the assumed length stand at the start.</summary>
    private const int AssumedLengths = 5;

    /// <summary>Nanoseconds of the targets' CPU time that count as paid for at the start, so that one dear first sample does not silence the recorder.</summary>
    private const double Credit = 0.5e9;

    /// <summary>Nanoseconds; the mean interval where nothing bounds what recording costs.</summary>
    private const double UnboundedInterval = 4_000_000;

    /// <summary>How quickly the usual interval follows, for each sample.</summary>
    private const double ReferenceWeight = 0.005;

    /// <summary>Bounds of <see cref="TakeWeight"/>.</summary>
    private const double LeastWeight = 0.25, MostWeight = 4;

    private double reference;
    private double meanCost = 1_000_000;
    /// <summary>Taken branches of a sample.</summary>
    private double meanBranches = 3_000;
    private double totalCost;
    private double totalRun;
    private int samples = Assumed;
    private double branchesCounted;
    private TimeSpan cpuTimeCharged;
    private TimeSpan stoppedCharged;
    private double waited;

    public bool IsUnbounded => maxOverhead >= 1;

    /// <summary>Nanoseconds of a thread's CPU time between two of its samples, on average.</summary>
    public double MeanInterval => IsUnbounded ? UnboundedInterval
        : Math.Max(meanBranches / branchesPerSecond * 1e9, meanCost / Share * Math.Max(1, totalCost / (Share * (totalRun + Credit))));

    /// <summary>
    /// How many times the usual interval the present one is, to be asked once for each sample: that sample is to count for so much, or code that is dear to follow, and is so sampled
    /// less often, would be thin.
    /// </summary>
    public double TakeWeight()
    {
        double interval = MeanInterval;
        reference += (reference == 0 ? 1 : ReferenceWeight) * (interval - reference);
        return Math.Clamp(interval / reference, LeastWeight, MostWeight);
    }

    private double Share => Math.Clamp(maxOverhead, 1e-4, 1);

    /// <summary>Leaves CPU time of the recorder out of account.</summary>
    public void Forgive(TimeSpan cpuTime) => cpuTimeCharged += cpuTime;

    /// <summary>Notes CPU time that a target has used, and time that it waited for a CPU, in nanoseconds.</summary>
    public void Ran(long used, long waiting)
    {
        totalRun += used;
        waited += waiting;
    }

    /// <summary>
    /// Charges one more sample. A target loses the time its threads are stopped; and where CPUs are scarce also what the recorder
    /// computes besides, but no more than its threads waited for a CPU.
    /// </summary>
    /// <param name="stopped">Time stopped since recording began.</param>
    /// <param name="cpuTime">CPU time of the recorder.</param>
    /// <param name="branches">Taken branches recorded since recording began, as many as there would be if all samples had the usual weight.</param>
    public void Charge(TimeSpan stopped, TimeSpan cpuTime, double branches)
    {
        double stood = (stopped - stoppedCharged).TotalNanoseconds, computed = (cpuTime - cpuTimeCharged).TotalNanoseconds;
        double cost = stood + Math.Clamp(computed - stood, 0, waited);
        (stoppedCharged, cpuTimeCharged, waited) = (stopped, cpuTime, 0);
        totalCost += cost;
        double weight = Math.Max(Weight, 1.0 / ++samples);
        // One sample that met new code or a busy machine says little of the next.
        meanCost += (Math.Min(cost, 3 * meanCost) - meanCost) * weight;
        meanBranches += (branches - branchesCounted - meanBranches) * Math.Max(Weight, 1.0 / (samples - Assumed + AssumedLengths));
        branchesCounted = branches;
    }

    /// <summary>How long to wait before looking at the threads again: random, and several times in each interval.</summary>
    public TimeSpan NextLook()
    {
        double mean = Math.Clamp(MeanInterval / 4, 20_000, 20_000_000);
        return TimeSpan.FromMicroseconds(Math.Min(ExponentialRandom.Next() * mean / 1000, 50_000));
    }
}
