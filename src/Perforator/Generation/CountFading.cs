using Perforator.Branches;

namespace Perforator.Generation;

/// <summary>
/// Lets counts fade with the age of what was observed: a day's counts weigh 2^(-age / half-life), where age is the number of days to the
/// newest day of the data. The clock has no part in it, so that the same data give the same bytes.
/// </summary>
/// <remarks>
/// A worked example, with a half-life of 7 days. A branch taken 100 times on the newest day, 40 times 7 days before it and 4 times 14
/// days before it counts 100 + 20 + 1 = 121.
/// </remarks>
internal static class CountFading
{
    /// <summary>
    /// Weights are in 65536ths until all days are added up, so that small counts of many days are not rounded away one by one.
    /// </summary>
    private const double Unit = 65536;

    /// <summary>The weight of what is so many days old, from 0 to 1.</summary>
    public static double Weight(int ageInDays, double? halfLifeDays) =>
        halfLifeDays is { } halfLife ? Math.Pow(2, -ageInDays / halfLife) : 1;

    /// <summary>Adds up one build's observations.</summary>
    /// <param name="observations">Of one build; at least one.</param>
    /// <param name="newest">The newest day of the service's data.</param>
    public static BranchProfile Sum(IReadOnlyList<Observation> observations, DateOnly newest, double? halfLifeDays)
    {
        BranchProfile first = observations[0].Branches;
        BranchProfile whole = new(first.BuildId, first.Path);
        if (halfLifeDays is null || observations.All(o => o.Day == newest))
        {
            foreach (Observation observation in observations)
                whole.Merge(observation.Branches);
            return whole;
        }
        foreach (IGrouping<int, Observation> day in observations.GroupBy(o => newest.DayNumber - o.Day.DayNumber)
            .OrderBy(static day => day.Key))
        {
            ulong weight = (ulong)Math.Max(1, Math.Round(Weight(day.Key, halfLifeDays) * Unit));
            foreach (Observation observation in day)
                whole.Merge(observation.Branches, weight);
        }
        // A place that was seen at all stays known, however long ago it was.
        return whole.DividedBy((ulong)Unit);
    }
}
