namespace Perforator.SampleProfiles;

/// <summary>One function as hot lists show it.</summary>
/// <param name="Name">Its name.</param>
/// <param name="TotalSamples">Samples of the function with everything inlined into it.</param>
/// <param name="MaxSamples">The highest count of a line in it.</param>
/// <param name="EntrySamples">Estimated entries: <see cref="FunctionSamples.HeadSamplesEstimate"/>.</param>
public readonly record struct HotFunction(string Name, ulong TotalSamples, ulong MaxSamples, ulong EntrySamples);

/// <summary>Whether a profile has enough samples where it matters, measured as LLVM's tools do.</summary>
public sealed class ProfileQuality
{
    /// <summary>The density that llvm-profgen 19 asks for (<c>--profile-density-threshold</c>).</summary>
    public const double WantedDensity = 50;

    private ProfileQuality() { }

    /// <summary>Samples per line of the thinnest function among those that make up 99 % of the samples; 0 for an empty profile.</summary>
    public double Density { get; private init; }

    /// <summary>A function is hot when one of its lines has at least this many samples.</summary>
    public ulong HotCountThreshold { get; private init; }

    /// <summary>The hot functions, by falling total, then by name.</summary>
    public required IReadOnlyList<HotFunction> HotFunctions { get; init; }

    /// <summary>All top-level functions.</summary>
    public int Functions { get; private init; }

    /// <summary>The sum of the hot functions' total samples.</summary>
    public ulong HotSamples { get; private init; }

    /// <summary>The sum of all functions' total samples.</summary>
    public ulong TotalSamples { get; private init; }

    /// <summary>The share of samples that lie in hot functions, from 0 to 1.</summary>
    public double HotCoverage => TotalSamples == 0 ? 0 : (double)HotSamples / TotalSamples;

    /// <summary>How many times as many samples the wanted density takes; 1 when it is reached.</summary>
    public double MoreSamplesWanted => Density >= WantedDensity || Density == 0 ? 1 : WantedDensity / Density;

    /// <summary>Measures a profile.</summary>
    public static ProfileQuality Of(SampleProfile profile) => Of(profile, ProfileSummary.Compute(profile));

    /// <summary>Measures a profile whose summary is known.</summary>
    public static ProfileQuality Of(SampleProfile profile, ProfileSummary summary)
    {
        ulong threshold = summary.HotCountThreshold;
        List<HotFunction> hot = [];
        List<(double Density, ulong Samples)> densities = [];
        ulong hotSamples = 0, totalSamples = 0, bodySamples = 0;
        foreach (FunctionSamples function in profile.Functions.Values)
        {
            FunctionExtent extent = FunctionExtent.Of(function, threshold);
            totalSamples += function.TotalSamples;
            if (extent.MaxSamples >= threshold)
            {
                hot.Add(new HotFunction(function.Name, function.TotalSamples, extent.MaxSamples, function.HeadSamplesEstimate));
                hotSamples += function.TotalSamples;
            }
            if (extent.Lines != 0)
            {
                bodySamples += extent.Samples;
                densities.Add(((double)extent.Samples / extent.Lines, extent.Samples));
            }
        }
        hot.Sort((a, b) =>
            a.TotalSamples != b.TotalSamples ? b.TotalSamples.CompareTo(a.TotalSamples) : profile.NameOrder.Compare(a.Name, b.Name));
        return new ProfileQuality
        {
            Density = DensityOf(densities, bodySamples),
            HotCountThreshold = threshold,
            HotFunctions = hot,
            Functions = profile.Functions.Count,
            HotSamples = hotSamples,
            TotalSamples = totalSamples,
        };
    }

    /// <summary>
    /// llvm-profgen's <c>calculateDensity</c>: goes through the functions from the densest on until they make up 99 % of all body
    /// samples, and takes the last one's density. In single precision, as there.
    /// </summary>
    private static double DensityOf(List<(double Density, ulong Samples)> functions, ulong total)
    {
        functions.Sort(static (a, b) => a.Density != b.Density ? b.Density.CompareTo(a.Density) : a.Samples.CompareTo(b.Samples));
        float wanted = total * (float)ProfileSummary.HotCutoff / ProfileSummary.Scale;
        double density = 0;
        ulong sum = 0;
        for (int i = 0; i < functions.Count && sum < wanted; i++)
        {
            sum += functions[i].Samples;
            density = functions[i].Density;
        }
        return density;
    }
}
