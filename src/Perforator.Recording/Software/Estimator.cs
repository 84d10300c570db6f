using Perforator.Recording.Interpreter;

namespace Perforator.Recording.Software;

/// <summary>
/// What a followed path counts for. How often a branch b is taken is estimated as
/// <code>count(b) = Σ over moments m of  w(m) · n(m, b),   w(m) = I(m) / T(m)</code>
/// where n(m, b) is how often b is on the path that was followed from m, I(m) the mean user time between moments then, and T(m) the user
/// time that the thread takes for that path.
/// </summary>
/// <remarks>
/// A moment falls into any stretch of user time with a probability of its length by I. A branch taken at some time is on the paths of all
/// moments within T before it, T / I of them on average, so each adds I / T. A profile wants proportions: weights are made to be about 1.
/// </remarks>
/// <param name="usualInterval">I where the weight of a usual path is 1.</param>
/// <param name="wholePath">Branches of a path that nothing ends early.</param>
internal sealed class Estimator(double usualInterval, int wholePath)
{
    /// <summary>
    /// One part in so many of a path is left out at its beginning: a moment meets what takes long (a cache miss) more often than all else,
    /// and what is right behind that would weigh too much.
    /// </summary>
    private const int LeadInOfPath = 8;

    /// <summary>
    /// T in nanoseconds, of real programs (docs/recorder.md): for an instruction, for a page that is not among the last 256, for one that
    /// is cold, for one that PREFETCH announced.
    /// </summary>
    private const double Instruction = 0.2, Miss = 20, ColdPage = 700, AnnouncedPage = 25;

    /// <summary>T of a usual branch, in nanoseconds.</summary>
    private const double UsualBranch = 5;

    /// <summary>No weight is larger, nor smaller than one part in so many: no one sample is to decide anything.</summary>
    private const double Most = 16;

    private double owed;

    /// <summary>How many branches at a path's beginning do not count.</summary>
    public static int LeadIn(int branches) => branches / LeadInOfPath;

    /// <summary>The weight of a path of at least one branch.</summary>
    /// <param name="interval">I.</param>
    public double Weigh(in FollowedPath path, double interval)
    {
        double time =
            (path.Instructions * Instruction) + (path.Misses * Miss) + (path.ColdPages * ColdPage) + (path.AnnouncedPages * AnnouncedPage);
        // What the thread itself ended (a call that waits, a spin) is taken as if it had gone on: what is behind is on the paths of other
        // moments. What this recorder cut short counts for the rest too.
        if (path.End is not (StopReason.Done or StopReason.TimeUp))
            time *= Math.Max(1, wholePath / (double)path.Branches);
        return Math.Clamp(interval / usualInterval * wholePath * UsualBranch / time, 1 / Most, Most);
    }

    /// <summary>How many times a stack of a path of that weight counts, in whole numbers: what is left over counts with the next.</summary>
    public ulong Times(double weight)
    {
        owed += weight;
        ulong times = (ulong)owed;
        owed -= times;
        return times;
    }
}
