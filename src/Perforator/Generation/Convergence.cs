using Perforator.Branches;

namespace Perforator.Generation;

/// <summary>
/// How much is enough, measured: what was observed is split into two halves, by host or else by time, and the halves are compared. Their
/// overlap is the sum over all branches of the smaller of both halves' shares, 1 when they tell the same and 0 when they have nothing in
/// common; it tends to 1 as samples grow, however the service behaves, and stays low while they are few or hosts do different things.
/// </summary>
/// <remarks>
/// A worked example. One half saw branch a 60 and b 40 times, the other a 30 and b 10 times. Shares are 0.60 and 0.40, and 0.75 and 0.25;
/// the overlap is 0.60 + 0.25 = 0.85.
/// </remarks>
public static class Convergence
{
    /// <summary>The overlap that is taken for enough: twice the samples would hardly change a profile.</summary>
    public const double Enough = 0.9;

    /// <summary>The overlap of two sets of branch counts of one binary, from 0 to 1; 0 when one is empty.</summary>
    public static double Overlap(IPairCounts one, IPairCounts other)
    {
        double oneTotal = Sum(one), otherTotal = Sum(other);
        if (oneTotal == 0 || otherTotal == 0)
            return 0;
        PairCount[] a = one.Sorted(), b = other.Sorted();
        double overlap = 0;
        for (int i = 0, j = 0; i < a.Length && j < b.Length;)
        {
            int order = a[i].First.CompareTo(b[j].First) is not 0 and var first ? first : a[i].Second.CompareTo(b[j].Second);
            if (order == 0)
                overlap += Math.Min(a[i++].Count / oneTotal, b[j++].Count / otherTotal);
            else if (order < 0)
                i++;
            else
                j++;
        }
        return overlap;
    }

    /// <summary>
    /// The overlap of the two halves of what was observed of some builds, each build weighted by its branches; null when there are no two
    /// halves of any build: one upload, or one host that sent one sum.
    /// </summary>
    internal static double? OfHalves(IEnumerable<IGrouping<BuildId, Observation>> builds)
    {
        double weighted = 0, weights = 0;
        foreach (IGrouping<BuildId, Observation> build in builds)
        {
            if (Halves(build.Key, [.. build]) is not var (one, other) || one.IsEmpty || other.IsEmpty)
                continue;
            double weight = Sum(one.Branches) + Sum(other.Branches);
            weighted += weight * Overlap(one.Branches, other.Branches);
            weights += weight;
        }
        return weights == 0 ? null : weighted / weights;
    }

    /// <summary>
    /// Splits observations by host where there are several, else by the time they were made, into halves as even as may be.
    /// </summary>
    private static (BranchProfile One, BranchProfile Other)? Halves(BuildId build, IReadOnlyList<Observation> observations)
    {
        IGrouping<string, Observation>[] groups = [.. observations.GroupBy(static o => o.Label(ProfileLabels.Host))];
        if (groups.Length < 2)
            groups = [.. observations.GroupBy(static o => $"{o.LastSeen:O} {o.FirstSeen:O}")];
        if (groups.Length < 2)
            return null;
        BranchProfile one = new(build, ""), other = new(build, "");
        double ones = 0, others = 0;
        // Largest first, each to the half that has less so far.
        foreach (IGrouping<string, Observation> group in groups
            .OrderByDescending(static g => g.Sum(static o => (double)o.Branches.Branches.Total))
            .ThenBy(static g => g.Key, StringComparer.Ordinal))
        {
            bool isOne = ones <= others;
            foreach (Observation observation in group)
            {
                (isOne ? one : other).Merge(observation.Branches);
                if (isOne)
                    ones += observation.Branches.Branches.Total;
                else
                    others += observation.Branches.Branches.Total;
            }
        }
        return (one, other);
    }

    private static double Sum(IPairCounts counts) => counts.Total;
}
