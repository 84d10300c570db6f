namespace Perforator.Recording.Software;

/// <summary>
/// How long a thread runs by itself after it was followed ahead. What it executes in that time is the sample.
/// </summary>
/// <remarks>
/// Random moments alone meet slow code (cache misses, mispredictions) more often than quick code with as many branches. All that runs
/// within windows of equal time, placed at random moments, is an unbiased count of what is executed, however quick it is. The length
/// adapts, slowly against anything the program does, so that nine in ten windows end within the interpreted path.
/// </remarks>
internal sealed class ObservationWindow
{
    private const double Shorter = 0.99, Longer = 1.001;
    private double microseconds = 8;

    /// <summary>From letting the thread go to asking it to stop.</summary>
    public TimeSpan Length => TimeSpan.FromMicroseconds(microseconds);

    /// <param name="beyond">The thread was found beyond the end of its interpreted path.</param>
    public void Learn(bool beyond) => microseconds = Math.Clamp(microseconds * (beyond ? Shorter : Longer), 0.5, 100);
}
