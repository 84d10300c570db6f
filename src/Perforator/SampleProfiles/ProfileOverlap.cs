namespace Perforator.SampleProfiles;

/// <summary>How one function, present in at least the test profile, compares.</summary>
public sealed class FunctionOverlap
{
    internal FunctionOverlap(string name) => Name = name;

    public string Name { get; }

    /// <summary>Whether both profiles have the function.</summary>
    public bool IsInBoth { get; internal set; }

    /// <summary>From 0 (nothing in common) to 1.</summary>
    public double Similarity { get; internal set; }

    /// <summary>Samples of all lines in the base profile.</summary>
    public ulong BaseSamples { get; internal set; }

    /// <summary>Samples of all lines in the test profile.</summary>
    public ulong TestSamples { get; internal set; }

    /// <summary>The highest line in the test profile.</summary>
    public ulong TestMaxSamples { get; internal set; }

    /// <summary>Line by line, the lower of both counts.</summary>
    public ulong OverlapSamples { get; internal set; }

    /// <summary>Line by line, the higher of both counts.</summary>
    public ulong UnionSamples { get; internal set; }

    /// <summary>Samples of lines that only the base profile has.</summary>
    public ulong BaseUniqueSamples { get; internal set; }

    /// <summary>Samples of lines that only the test profile has.</summary>
    public ulong TestUniqueSamples { get; internal set; }
}

/// <summary>How many of something both profiles have, and how many only one.</summary>
public readonly record struct OverlapCount(ulong Common, ulong BaseUnique, ulong TestUnique)
{
    /// <summary>Common to all, from 0 to 1.</summary>
    public double Ratio => Common == 0 ? 0 : (double)Common / (Common + BaseUnique + TestUnique);
}

/// <summary>
/// Compares two profiles by the figures of <c>llvm-profdata overlap --sample</c>.
/// </summary>
/// <remarks>
/// Lines are compared by their share of the function: two lines with shares b and t differ by |b - t|, and a function whose
/// differences add up to d is alike by (2 - d) / 2, reduced by the distance of the function's own shares of the program. The
/// program's similarity is the mean over functions, weighted by those shares.
/// </remarks>
public sealed class ProfileOverlap
{
    /// <summary>Differences below this are rounding (llvm-profdata's <c>Epsilon</c>).</summary>
    private const double Epsilon = 0.000005;

    private readonly ulong baseHotThreshold;
    private readonly ulong testHotThreshold;
    private ulong baseHotBlocks;
    private ulong testHotBlocks;
    private ulong commonHotBlocks;

    private ProfileOverlap(ulong baseHotThreshold, ulong testHotThreshold)
    {
        this.baseHotThreshold = baseHotThreshold;
        this.testHotThreshold = testHotThreshold;
    }

    /// <summary>Similarity of the whole program, from 0 to 1.</summary>
    public double Similarity { get; private set; }

    /// <summary>Samples of all lines of the base profile.</summary>
    public ulong BaseSamples { get; private set; }

    /// <summary>Samples of all lines of the test profile.</summary>
    public ulong TestSamples { get; private set; }

    /// <summary>Line by line, the lower of both counts.</summary>
    public ulong OverlapSamples { get; private set; }

    /// <summary>Line by line, the higher of both counts.</summary>
    public ulong UnionSamples { get; private set; }

    /// <summary>Samples of functions and lines that only the base profile has.</summary>
    public ulong BaseUniqueSamples { get; private set; }

    /// <summary>Samples of functions and lines that only the test profile has.</summary>
    public ulong TestUniqueSamples { get; private set; }

    /// <summary>Top-level functions.</summary>
    public OverlapCount Functions { get; private set; }

    /// <summary>Functions with a line at or above the profile's hot threshold.</summary>
    public OverlapCount HotFunctions { get; private set; }

    /// <summary>Lines at or above the profile's hot threshold, as llvm-profdata counts them.</summary>
    public OverlapCount HotBlocks { get; private set; }

    /// <summary>Every function of the test profile, by falling share of the base profile, then by name.</summary>
    public IReadOnlyList<FunctionOverlap> TestFunctions { get; private set; } = [];

    /// <summary>Compares two profiles.</summary>
    /// <exception cref="UserErrorException">One is probe-based and the other is not, or only one has MD5 names, or one has no
    /// samples.</exception>
    public static ProfileOverlap Compare(SampleProfile baseProfile, SampleProfile testProfile)
    {
        if (baseProfile.IsProbeBased != testProfile.IsProbeBased)
            throw new UserErrorException("a probe-based profile and one that is not do not compare");
        if (baseProfile.UsesMd5Names != testProfile.UsesMd5Names)
        {
            baseProfile = Md5Names.Of(baseProfile);
            testProfile = Md5Names.Of(testProfile);
        }
        ProfileOverlap overlap =
            new(ProfileSummary.Compute(baseProfile).HotCountThreshold, ProfileSummary.Compute(testProfile).HotCountThreshold);
        overlap.Run(baseProfile, testProfile);
        return overlap;
    }

    private void Run(SampleProfile baseProfile, SampleProfile testProfile)
    {
        Dictionary<string, FunctionExtent> baseExtents = Extents(baseProfile, baseHotThreshold);
        Dictionary<string, FunctionExtent> testExtents = Extents(testProfile, testHotThreshold);
        BaseSamples = baseExtents.Values.Aggregate(0UL, static (sum, extent) => sum + extent.Samples);
        TestSamples = testExtents.Values.Aggregate(0UL, static (sum, extent) => sum + extent.Samples);
        if (BaseSamples == 0 || TestSamples == 0)
            throw new UserErrorException($"the {(BaseSamples == 0 ? "base" : "test")} profile has no samples to compare");

        List<FunctionOverlap> functions = [];
        ulong common = 0;
        foreach (FunctionSamples test in testProfile.Functions.Values)
        {
            FunctionExtent extent = testExtents[test.Name];
            FunctionOverlap overlap = new(test.Name) { TestSamples = extent.Samples, TestMaxSamples = extent.MaxSamples };
            functions.Add(overlap);
            if (!baseProfile.Functions.TryGetValue(test.Name, out FunctionSamples? match))
            {
                overlap.TestUniqueSamples = extent.Samples;
                TestUniqueSamples += extent.Samples;
                UnionSamples += extent.Samples;
                CountHotBlocks(0, extent.Samples, extent.HotLines);
                continue;
            }
            common++;
            overlap.IsInBoth = true;
            overlap.BaseSamples = baseExtents[test.Name].Samples;
            double inside = 1 - Difference(match, test, overlap) / 2;
            if (Math.Abs(inside) < Epsilon)
                inside = 0;
            double baseShare = (double)overlap.BaseSamples / BaseSamples, testShare = (double)overlap.TestSamples / TestSamples;
            overlap.Similarity = inside * (1 - Math.Abs(baseShare - testShare));
            Similarity += overlap.Similarity * (baseShare / 2 + testShare / 2);
            OverlapSamples += overlap.OverlapSamples;
            UnionSamples += overlap.UnionSamples;
            BaseUniqueSamples += overlap.BaseUniqueSamples;
            TestUniqueSamples += overlap.TestUniqueSamples;
        }
        foreach (FunctionSamples missing in baseProfile.Functions.Values)
        {
            if (testProfile.Functions.ContainsKey(missing.Name))
                continue;
            FunctionExtent extent = baseExtents[missing.Name];
            BaseUniqueSamples += extent.Samples;
            UnionSamples += extent.Samples;
            CountHotBlocks(extent.Samples, 0, extent.HotLines);
        }
        if (Math.Abs(Similarity - 1) < Epsilon)
            Similarity = 1;

        functions.Sort(
            (a, b) => a.BaseSamples != b.BaseSamples
                ? b.BaseSamples.CompareTo(a.BaseSamples) : testProfile.NameOrder.Compare(a.Name, b.Name));
        TestFunctions = functions;
        Functions = new OverlapCount(common, (ulong)baseProfile.Functions.Count - common, (ulong)testProfile.Functions.Count - common);
        HotBlocks = new OverlapCount(commonHotBlocks, baseHotBlocks - commonHotBlocks, testHotBlocks - commonHotBlocks);
        HotFunctions = CountHotFunctions(baseExtents, testExtents);
    }

    private static Dictionary<string, FunctionExtent> Extents(SampleProfile profile, ulong hotThreshold)
    {
        Dictionary<string, FunctionExtent> extents = new(profile.Functions.Count, StringComparer.Ordinal);
        foreach (FunctionSamples function in profile.Functions.Values)
            extents.Add(function.Name, FunctionExtent.Of(function, hotThreshold));
        return extents;
    }

    private OverlapCount CountHotFunctions(Dictionary<string, FunctionExtent> baseExtents, Dictionary<string, FunctionExtent> testExtents)
    {
        ulong common = 0, inBase = 0, inTest = 0;
        foreach ((string name, FunctionExtent extent) in baseExtents)
        {
            if (extent.MaxSamples < baseHotThreshold)
                continue;
            inBase++;
            if (testExtents.TryGetValue(name, out FunctionExtent test) && test.MaxSamples >= testHotThreshold)
                common++;
        }
        foreach (FunctionExtent extent in testExtents.Values)
            if (extent.MaxSamples >= testHotThreshold)
                inTest++;
        return new OverlapCount(common, inBase - common, inTest - common);
    }

    /// <summary>The summed differences of all lines of two functions, inlined callees included: 0 … 2.</summary>
    private double Difference(FunctionSamples baseFunction, FunctionSamples testFunction, FunctionOverlap overlap)
    {
        double difference = 0;
        foreach ((BodySample? ours, BodySample? theirs) in Join(baseFunction.Body, testFunction.Body))
            difference += Compare(ours?.Samples, theirs?.Samples, lines: 1, overlap);
        foreach ((NameMap<FunctionSamples>? ours, NameMap<FunctionSamples>? theirs) in Join(baseFunction.Callsites, testFunction.Callsites))
        {
            foreach (FunctionSamples callee in ours?.Values ?? Enumerable.Empty<FunctionSamples>())
                if (theirs is not null && theirs.TryGetValue(callee.Name, out FunctionSamples? match))
                    difference += Difference(callee, match, overlap);
                else
                    difference += CompareUnmatched(callee, baseHotThreshold, isBase: true, overlap);
            foreach (FunctionSamples callee in theirs?.Values ?? Enumerable.Empty<FunctionSamples>())
                if (ours is null || !ours.ContainsKey(callee.Name))
                    difference += CompareUnmatched(callee, testHotThreshold, isBase: false, overlap);
        }
        return difference;
    }

    private double CompareUnmatched(FunctionSamples callee, ulong hotThreshold, bool isBase, FunctionOverlap overlap)
    {
        FunctionExtent extent = FunctionExtent.Of(callee, hotThreshold);
        return isBase ? Compare(extent.Samples, null, extent.HotLines, overlap) : Compare(null, extent.Samples, extent.HotLines, overlap);
    }

    private double Compare(ulong? ours, ulong? theirs, ulong lines, FunctionOverlap overlap)
    {
        if (theirs is null)
            overlap.BaseUniqueSamples += ours!.Value;
        else if (ours is null)
            overlap.TestUniqueSamples += theirs.Value;
        ulong baseSamples = ours ?? 0, testSamples = theirs ?? 0;
        overlap.UnionSamples += Math.Max(baseSamples, testSamples);
        overlap.OverlapSamples += Math.Min(baseSamples, testSamples);
        CountHotBlocks(baseSamples, testSamples, lines);
        double baseShare = overlap.BaseSamples == 0 ? 0 : (double)baseSamples / overlap.BaseSamples;
        double testShare = overlap.TestSamples == 0 ? 0 : (double)testSamples / overlap.TestSamples;
        return Math.Abs(baseShare - testShare);
    }

    private void CountHotBlocks(ulong baseSamples, ulong testSamples, ulong lines)
    {
        bool isBaseHot = baseSamples >= baseHotThreshold, isTestHot = testSamples >= testHotThreshold;
        if (!isBaseHot && !isTestHot)
            return;
        if (isBaseHot)
            baseHotBlocks += lines;
        if (isTestHot)
            testHotBlocks += lines;
        if (isBaseHot && isTestHot)
            commonHotBlocks += lines;
    }

    /// <summary>Both values of every location that either map has.</summary>
    private static IEnumerable<(T? Base, T? Test)> Join<T>(LocationMap<T> ours, LocationMap<T> theirs)
        where T : class
    {
        LocationMap<T>.Enumerator a = ours.GetEnumerator(), b = theirs.GetEnumerator();
        bool hasA = a.MoveNext(), hasB = b.MoveNext();
        while (hasA || hasB)
        {
            int order = !hasA ? 1 : !hasB ? -1 : a.Current.Key.CompareTo(b.Current.Key);
            yield return (order <= 0 ? a.Current.Value : null, order >= 0 ? b.Current.Value : null);
            if (order <= 0)
                hasA = a.MoveNext();
            if (order >= 0)
                hasB = b.MoveNext();
        }
    }
}
