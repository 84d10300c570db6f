namespace Perforator.Recording.Software;

/// <summary>
/// How many branches of its path a sample of a thread counts: as many as the thread takes, when nobody disturbs it, in a time that is the same for all samples of its process.
/// </summary>
/// <remarks>
/// As many branches from each random moment would give slow code (cache misses, mispredictions) too much weight, as it is met more often than quick code with as many
/// branches. Equal times are right, but how much of its path a thread takes in a time is known from the window after a stop only, when its caches are cold. Over some tenths of a
/// millisecond the <see cref="Odometer"/> tells better; the window then tells one moment from the next. It counts with a power, like any reading that has an error.
/// docs/recorder.md has the figures behind that.
/// </remarks>
internal sealed class SampleLength(SampleTime time)
{
    /// <summary>How far to believe a window: 1 would take its branches as they are, 0 all windows as equal.</summary>
    public const double Trust = 0.3;

    /// <summary>Some windows end before the thread has left the kernel.</summary>
    private const double Least = 30;

    /// <summary>What a new reading of the odometer counts against those before.</summary>
    private const double Weight = 0.5;

    /// <summary>The logarithm of the branches a microsecond, by that of what windows show.</summary>
    private double? factor;

    /// <param name="branchesPerMicrosecond">What the odometer says.</param>
    /// <param name="taken">Branches in the window before.</param>
    public void Learn(double branchesPerMicrosecond, int taken)
    {
        double seen = Math.Log(branchesPerMicrosecond) - (Trust * Math.Log(taken + Least));
        factor += Weight * (seen - factor);
        factor ??= seen;
        time.Learn(branchesPerMicrosecond, factor.Value);
    }

    /// <summary>How many branches of its path count.</summary>
    /// <param name="taken">So many it took in its window.</param>
    public int Counted(int taken) => (int)(time.Microseconds * Math.Exp(factor ?? time.Factor) * Math.Pow(taken + Least, Trust));
}

/// <summary>The time that each sample of a process stands for.</summary>
internal sealed class SampleTime
{
    /// <summary>Taken branches: as many as a sample is to count on average, to be worth its stop.</summary>
    private const double Usual = 3500;

    /// <summary>Microseconds, for the first samples.</summary>
    private const double Usually = 3;

    private const double Shortest = 2, Longest = 12;

    /// <summary>Then the time is fixed: were it to change all the time, parts of a program's run would count for more than others.</summary>
    private const int Readings = 4;

    /// <summary>Sum of the logarithms of what was read.</summary>
    private double speeds;
    private int readings;

    public double Microseconds { get; private set; } = Usually;

    /// <summary>What any thread of the process has shown last; at first, that windows are like the rest of the run.</summary>
    public double Factor { get; private set; } = ((1 - SampleLength.Trust) * Math.Log(Usual)) - Math.Log(Usually);

    public void Learn(double branchesPerMicrosecond, double factor)
    {
        Factor = factor;
        speeds += Math.Log(branchesPerMicrosecond);
        if (++readings == Readings)
            Microseconds = Math.Clamp(Usual / Math.Exp(speeds / Readings), Shortest, Longest);
    }
}
