namespace Perforator.Recording.Software;

/// <summary>How long a stopped thread then runs by itself, and how far ahead it is followed before.</summary>
/// <remarks>
/// The window shows how quick a thread is, so it never changes, or one part of a program's run would count for more than another; only the way followed ahead is adapted. What is made of
/// it: <see cref="SampleLength"/>.
/// </remarks>
/// <param name="instructions">How far to follow a thread at first.</param>
internal sealed class ObservationWindow(int instructions)
{
    private const double FewestInstructions = 2_000, MostInstructions = 200_000;

    /// <summary>A step on for one window in three that ends beyond the path weighs as much as two steps back; the path of those is followed on.</summary>
    private const double Step = 0.02, StepBack = 0.01;

    private double ahead = instructions;

    /// <summary>From the thread's having a CPU to asking it to stop. To stop it takes as long again, so shorter would gain little.</summary>
    public static TimeSpan Length => TimeSpan.FromMicroseconds(4);

    /// <summary>How many instructions to follow a thread ahead.</summary>
    public int Instructions => (int)ahead;

    /// <param name="beyond">The interpreted path was too short: the thread was found beyond its end, or more of it was to count.</param>
    public void Learn(bool beyond) =>
        ahead = Math.Clamp(beyond ? ahead * (1 + Step) : ahead * (1 - StepBack), FewestInstructions, MostInstructions);
}
