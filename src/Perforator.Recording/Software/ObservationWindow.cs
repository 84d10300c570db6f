namespace Perforator.Recording.Software;

/// <summary>
/// How far ahead a thread is followed, and how long it then runs by itself. What it executes in that time is the sample.
/// </summary>
/// <remarks>
/// Random moments alone meet slow code (cache misses, mispredictions) more often than quick code with as many branches. All that runs
/// within windows of equal time, placed at random moments, is an unbiased count of what is executed, however quick it is. Window and way
/// adapt, slowly against anything the program does, so that nine in ten windows end within the interpreted path: the window becomes shorter first,
/// and where the machine needs longer to stop a thread than the thread for its path, the path becomes longer.
/// </remarks>
/// <param name="instructions">How far to follow a thread at first, and at least.</param>
internal sealed class ObservationWindow(int instructions)
{
    private const double Shortest = 0.5, Longest = 100;
    private const double MostInstructions = 200_000;

    /// <summary>A step back for one window in ten that ends beyond the path weighs as much as nine small steps forward.</summary>
    private const double Step = 0.0011, StepBack = 0.01;

    private double microseconds = 8;
    private double ahead = instructions;

    /// <summary>From the thread's having a CPU to asking it to stop.</summary>
    public TimeSpan Length => TimeSpan.FromMicroseconds(microseconds);

    /// <summary>How many instructions to follow a thread ahead.</summary>
    public int Instructions => (int)ahead;

    /// <param name="beyond">The thread was found beyond the end of its interpreted path.</param>
    public void Learn(bool beyond)
    {
        if (beyond && microseconds > Shortest)
            microseconds = Math.Max(microseconds * (1 - StepBack), Shortest);
        else if (beyond)
            ahead = Math.Min(ahead * (1 + StepBack), MostInstructions);
        else if (ahead > instructions)
            ahead *= 1 - Step;
        else
            microseconds = Math.Min(microseconds * (1 + Step), Longest);
    }
}
