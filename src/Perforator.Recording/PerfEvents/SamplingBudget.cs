using System.Numerics;

namespace Perforator.Recording.PerfEvents;

/// <summary>
/// How rarely to sample: never more often than the events' own periods, and so rarely that a host of many busy CPUs gives no more stacks
/// than are wanted, that reading them costs no more CPU time than granted, and that the kernel has no reason to pause sampling. Periods
/// change by factors of two, and a stack counts as many times as its period was lengthened: equal CPU time counts equally on every host and
/// at any hour.
/// </summary>
internal sealed class SamplingBudget
{
    /// <summary>
    /// Stacks a second of what is wanted, from one host: 160,000 branches at 32 each, above which a minute is no better known than a
    /// profile needs.
    /// </summary>
    public const double StacksPerSecond = 5000;

    /// <summary>The reading thread's CPU time as a share of all CPUs' time, unless another was granted.</summary>
    private const double DefaultShare = 0.01;

    /// <summary>Below this share of the budget for as many seconds in a row, the period is halved again.</summary>
    private const double Comfort = 0.4;
    private const int CalmSeconds = 10;

    private const ulong MaxFactor = 1024;

    private readonly double share;
    private int calm;

    /// <param name="share">The reading thread's CPU time as a share of all CPUs' time.</param>
    public SamplingBudget(double share = DefaultShare) => this.share = share;

    /// <summary>By how much the events' periods are lengthened: a power of two.</summary>
    public ulong Factor { get; private set; } = 1;

    /// <summary>Takes in what about a second of recording brought.</summary>
    /// <param name="elapsed">Time since the last call.</param>
    /// <param name="wantedStacks">Stacks in it that were wanted.</param>
    /// <param name="cpuTime">CPU time that the reading thread used in it.</param>
    /// <param name="cpus">CPUs that are online.</param>
    /// <param name="throttles">How often the kernel paused sampling in it.</param>
    /// <returns>Whether <see cref="Factor"/> is another now.</returns>
    public bool Account(TimeSpan elapsed, ulong wantedStacks, TimeSpan cpuTime, int cpus, ulong throttles)
    {
        if (elapsed <= TimeSpan.Zero)
            return false;
        double load = Math.Max(wantedStacks / elapsed.TotalSeconds / StacksPerSecond, cpuTime / elapsed / (share * Math.Max(1, cpus)));
        if (throttles != 0)
            load = Math.Max(load, 2);
        ulong before = Factor;
        if (load > 1)
        {
            calm = 0;
            Factor = Math.Min(MaxFactor, Factor << (int)Math.Min(10, Math.Ceiling(Math.Log2(load))));
        }
        else if (load >= Comfort || Factor == 1)
        {
            calm = 0;
        }
        else if (++calm == CalmSeconds)
        {
            calm = 0;
            Factor /= 2;
        }
        return Factor != before;
    }

    /// <summary>
    /// By how much periods are lengthened where whoever measures all of the agent grants this share of the samples: a power of two.
    /// </summary>
    public ulong FactorWithin(double granted) =>
        Math.Max(Factor, granted >= 1
            ? 1 : BitOperations.RoundUpToPowerOf2((ulong)Math.Ceiling(Math.Min(MaxFactor, 1 / Math.Max(granted, 1e-9)))));

    /// <summary>
    /// A period that many times as long, to the next prime, so that no loop's length divides it; the period itself for a factor of 1.
    /// </summary>
    public static ulong Period(ulong period, ulong factor)
    {
        if (factor == 1)
            return period;
        ulong longer = period * factor | 1;
        while (!IsPrime(longer))
            longer += 2;
        return longer;
    }

    private static bool IsPrime(ulong odd)
    {
        for (ulong divisor = 3; divisor * divisor <= odd; divisor += 2)
            if (odd % divisor == 0)
                return false;
        return true;
    }
}
