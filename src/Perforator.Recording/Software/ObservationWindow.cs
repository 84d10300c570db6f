namespace Perforator.Recording.Software;

/// <summary>
/// How long a stopped thread then runs by itself, how far ahead it is followed before, and how much of that way counts.
/// </summary>
/// <remarks>
/// As many branches from each random moment would give slow code (cache misses, mispredictions) too much weight, as it is met more often than quick code with as many
/// branches. All that runs within windows of equal time would be right, if the windows were like the rest of the run. They are not: caches are cold after a
/// pause (on virtual CPUs the TLB and much of L2 are lost with any interrupt), which slows down code that touches much more than a tight loop. So what the
/// window shows of a thread's speed is believed in part only, as with any reading that has an error: it counts with <see cref="Trust"/> as its power.
/// docs/recorder.md has the figures behind that. The window itself never changes, or one part of a program's run would count for more than another; only the way
/// followed ahead is adapted.
/// </remarks>
/// <param name="instructions">How far to follow a thread at first.</param>
internal sealed class ObservationWindow(int instructions)
{
    private const double LeastTrust = 0.3, MostTrust = 0.6, TrustPerDoubling = 0.15;

    /// <summary>Nanoseconds between samples up to which trust is greatest.</summary>
    private const double CloseInterval = 1e6;

    /// <summary>Taken branches: what a window shows that says nothing of its thread being quicker or slower than others.</summary>
    private const double Usual = 2500;

    /// <summary>Some windows end before the thread has left the kernel.</summary>
    private const double Least = 30;

    private const double FewestInstructions = 2_000, MostInstructions = 200_000;

    /// <summary>A step on for one window in three that ends beyond the path weighs as much as two steps back; the path of those is followed on.</summary>
    private const double Step = 0.02, StepBack = 0.01;

    private double ahead = instructions;

    /// <summary>From the thread's having a CPU to asking it to stop. To stop it takes as long again, so shorter would gain little.</summary>
    public static TimeSpan Length => TimeSpan.FromMicroseconds(4);

    /// <summary>How many instructions to follow a thread ahead.</summary>
    public int Instructions => (int)ahead;

    /// <summary>How far to believe a window: 1 would count what was executed in it, 0 as much at each moment.</summary>
    /// <param name="meanInterval">Nanoseconds of CPU time from sample to sample: the more, the colder the recorder and with it the thread it keeps waiting.</param>
    public static double Trust(double meanInterval) =>
        Math.Clamp(MostTrust - (TrustPerDoubling * Math.Log2(meanInterval / CloseInterval)), LeastTrust, MostTrust);

    /// <summary>How many branches of its path count, of a thread that took so many in its window.</summary>
    public static int Counted(int taken, double trust) => (int)(Math.Pow(Usual, 1 - trust) * Math.Pow(taken + Least, trust));

    /// <param name="beyond">The interpreted path was too short: the thread was found beyond its end, or more of it was to count.</param>
    public void Learn(bool beyond) =>
        ahead = Math.Clamp(beyond ? ahead * (1 + Step) : ahead * (1 - StepBack), FewestInstructions, MostInstructions);
}
