using System.Globalization;

namespace Perforator.SampleProfiles;

/// <summary>
/// One line of a detailed summary: the <paramref name="NumCounts"/> highest counts, all at least <paramref name="MinCount"/>, make
/// up <paramref name="Cutoff"/> millionths of the total.
/// </summary>
public readonly record struct ProfileSummaryEntry(uint Cutoff, ulong MinCount, ulong NumCounts);

/// <summary>
/// How the counts of a profile are distributed; the compiler tells hot from cold by it. Computed as LLVM's
/// <c>SampleProfileSummaryBuilder</c> does: each body line, inlined ones included, is one count.
/// </summary>
/// <remarks>
/// A worked example. Lines with 70, 20, 5 and 5 samples total 100. The cutoff of 900000 wants 90 of them: 70 + 20 reach it, so its
/// entry is (900000, MinCount 20, NumCounts 2).
/// </remarks>
public sealed class ProfileSummary
{
    /// <summary>Cutoffs are in millionths.</summary>
    public const uint Scale = 1_000_000;

    /// <summary>LLVM's <c>ProfileSummaryCutoffHot</c>: a count is hot when it belongs to the top 99 % of all samples.</summary>
    public const uint HotCutoff = 990_000;

    /// <summary>LLVM's <c>ProfileSummaryCutoffCold</c>.</summary>
    public const uint ColdCutoff = 999_999;

    /// <summary>LLVM's <c>ProfileSummaryBuilder::DefaultCutoffs</c>, which every written profile carries.</summary>
    public static ReadOnlySpan<uint> DefaultCutoffs =>
    [
        10_000, 100_000, 200_000, 300_000, 400_000, 500_000, 600_000, 700_000, 800_000, 900_000, 950_000, 990_000, 999_000, 999_900,
        999_990, 999_999,
    ];

    private readonly ProfileSummaryEntry[] entries;

    private ProfileSummary(
        ulong totalCount, ulong maxCount, ulong maxFunctionCount, uint numCounts, uint numFunctions, ProfileSummaryEntry[] entries)
    {
        TotalCount = totalCount;
        MaxCount = maxCount;
        MaxFunctionCount = maxFunctionCount;
        NumCounts = numCounts;
        NumFunctions = numFunctions;
        this.entries = entries;
    }

    /// <summary>The sum of all counts, modulo 2^64 as in LLVM.</summary>
    public ulong TotalCount { get; }

    /// <summary>The highest count.</summary>
    public ulong MaxCount { get; }

    /// <summary>The highest number of head samples.</summary>
    public ulong MaxFunctionCount { get; }

    /// <summary>How many counts there are.</summary>
    public uint NumCounts { get; }

    /// <summary>How many top-level functions there are.</summary>
    public uint NumFunctions { get; }

    /// <summary>The detailed summary, by rising cutoff.</summary>
    public ReadOnlySpan<ProfileSummaryEntry> Entries => entries;

    /// <summary>A count is hot when it is at least this.</summary>
    public ulong HotCountThreshold => EntryFor(HotCutoff).MinCount;

    /// <summary>A count is cold when it is at most this.</summary>
    public ulong ColdCountThreshold => EntryFor(ColdCutoff).MinCount;

    /// <summary>The first entry whose cutoff is at least <paramref name="cutoff"/> millionths.</summary>
    /// <exception cref="ArgumentOutOfRangeException">No entry's cutoff is that high.</exception>
    public ProfileSummaryEntry EntryFor(uint cutoff)
    {
        foreach (ProfileSummaryEntry entry in Entries)
            if (entry.Cutoff >= cutoff)
                return entry;
        throw new ArgumentOutOfRangeException(nameof(cutoff), cutoff, "above the highest cutoff of this summary");
    }

    /// <summary>Computes the summary of a profile for the default cutoffs.</summary>
    public static ProfileSummary Compute(SampleProfile profile) => Compute(profile, DefaultCutoffs);

    /// <summary>Computes the summary of a profile.</summary>
    /// <param name="cutoffs">In millionths, below <see cref="Scale"/>.</param>
    public static ProfileSummary Compute(SampleProfile profile, ReadOnlySpan<uint> cutoffs)
    {
        CountHistogram counts = new();
        ulong maxFunctionCount = 0;
        foreach (FunctionSamples function in profile.Functions.Values)
        {
            maxFunctionCount = Math.Max(maxFunctionCount, function.HeadSamples);
            AddCounts(function);
        }

        List<ProfileSummaryEntry> entries = [];
        ulong sum = 0, maxCount = 0, minCount = 0, seen = 0;
        using IEnumerator<(ulong Count, uint Frequency)> descending = counts.Descending().GetEnumerator();
        bool hasMore = descending.MoveNext();
        if (hasMore)
            maxCount = descending.Current.Count;
        uint[] ascending = cutoffs.ToArray();
        Array.Sort(ascending);
        foreach (uint cutoff in ascending)
        {
            // Total * cutoff / Scale without the product, which takes 128 bits.
            ulong desired = counts.Total / Scale * cutoff + counts.Total % Scale * cutoff / Scale;
            for (; sum < desired && hasMore; hasMore = descending.MoveNext())
            {
                (minCount, uint frequency) = descending.Current;
                sum += minCount * frequency;
                seen += frequency;
            }
            entries.Add(new ProfileSummaryEntry(cutoff, minCount, seen));
        }
        return new ProfileSummary(counts.Total, maxCount, maxFunctionCount, counts.Number, (uint)profile.Functions.Count, [.. entries]);

        void AddCounts(FunctionSamples function)
        {
            foreach ((_, BodySample sample) in function.Body)
                counts.Add(sample.Samples);
            foreach ((_, NameMap<FunctionSamples> callees) in function.Callsites)
                foreach ((_, FunctionSamples callee) in callees)
                    if ((callee.Attributes & ContextAttributes.DuplicatedIntoBase) == 0)
                        AddCounts(callee);
        }
    }

    /// <summary>The summary as <c>llvm-profdata show --sample --detailed-summary</c> prints it.</summary>
    public string ToText()
    {
        System.Text.StringBuilder text = new();
        text.Append("Total functions: ").Append(NumFunctions).Append('\n');
        text.Append("Maximum function count: ").Append(MaxFunctionCount).Append('\n');
        text.Append("Maximum block count: ").Append(MaxCount).Append('\n');
        text.Append("Total number of blocks: ").Append(NumCounts).Append('\n');
        text.Append("Total count: ").Append(TotalCount).Append('\n');
        text.Append("Detailed summary:\n");
        foreach (ProfileSummaryEntry entry in Entries)
        {
            string percent = ((decimal)entry.Cutoff * 100 / Scale).ToString("0.####", CultureInfo.InvariantCulture);
            text.Append(CultureInfo.InvariantCulture,
                $"{entry.NumCounts} blocks with count >= {entry.MinCount} account for {percent} percentage of the total counts.\n");
        }
        return text.ToString();
    }
}
