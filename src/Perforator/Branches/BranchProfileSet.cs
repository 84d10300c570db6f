namespace Perforator.Branches;

/// <summary>
/// What was observed in one span of time: the profiles of any number of binaries with labels that say where they come from.
/// The unit in which profiles are filed and uploaded.
/// </summary>
public sealed class BranchProfileSet
{
    /// <summary>Where the profiles come from, by label name; see <see cref="ProfileLabels"/>.</summary>
    public SortedDictionary<string, string> Labels { get; } = new(StringComparer.Ordinal);

    /// <summary>When observation began; kept to the microsecond.</summary>
    public DateTimeOffset Start { get; set; } = DateTimeOffset.UnixEpoch;

    /// <summary>When observation ended; never before <see cref="Start"/>.</summary>
    public DateTimeOffset End { get; set; } = DateTimeOffset.UnixEpoch;

    /// <summary>All samples taken, whether or not they touched one of the binaries.</summary>
    public ulong TotalSamples { get; set; }

    /// <summary>What was dropped before it could be attributed to a binary, by reason.</summary>
    public LossCounts Losses { get; } = new();

    /// <summary>The profiles by build id.</summary>
    public SortedDictionary<BuildId, BranchProfile> Profiles { get; } = [];

    /// <summary>The service label's value, or null.</summary>
    public string? Service => Labels.GetValueOrDefault(ProfileLabels.Service);

    /// <summary>Adds a binary's profile to what the set already has of that binary.</summary>
    public void Add(BranchProfile profile)
    {
        if (!Profiles.TryGetValue(profile.BuildId, out BranchProfile? known))
            Profiles.Add(profile.BuildId, known = new BranchProfile(profile.BuildId, profile.Path));
        known.Merge(profile);
    }

    /// <summary>
    /// Adds a binary's profile, which is not to be used by others any more: the first of a binary is kept rather than copied.
    /// </summary>
    public void TakeOver(BranchProfile profile)
    {
        if (!Profiles.TryAdd(profile.BuildId, profile))
            Profiles[profile.BuildId].Merge(profile);
    }

    /// <summary>Takes over an aggregator's profiles, losses and samples.</summary>
    public void Add(BranchAggregator aggregator)
    {
        foreach (BranchProfile profile in aggregator.Profiles.Values)
            Add(profile);
        Losses.Merge(aggregator.Losses);
        TotalSamples = PairCounts.Saturating(TotalSamples, aggregator.Samples);
    }
}

/// <summary>The labels every profile may carry, and what names they may have.</summary>
public static class ProfileLabels
{
    /// <summary>The service the profiled processes belong to; what <c>pgo</c> asks for.</summary>
    public const string Service = "service";

    /// <summary>Host name.</summary>
    public const string Host = "host";

    /// <summary>CPU model.</summary>
    public const string Cpu = "cpu";

    /// <summary>Where the branch stacks come from: <c>lbr</c>, <c>software</c>, or a file format for imported ones.</summary>
    public const string Source = "source";

    /// <summary>The longest service or label name, in characters.</summary>
    public const int MaxNameLength = 100;

    /// <summary>The longest label value, in characters.</summary>
    public const int MaxValueLength = 1000;

    /// <summary>
    /// Whether a text can name a service or a label: ASCII letters, digits, '.', '_' and '-', beginning with a letter or digit, so that
    /// it is safe in paths, URLs and terminals.
    /// </summary>
    public static bool IsName(string text)
    {
        if (text.Length is 0 or > MaxNameLength || !char.IsAsciiLetterOrDigit(text[0]))
            return false;
        foreach (char c in text)
            if (!char.IsAsciiLetterOrDigit(c) && c is not ('.' or '_' or '-'))
                return false;
        return true;
    }

    /// <summary>A text of unknown origin made fit for a label value or a terminal: control characters replaced, length limited.</summary>
    public static string Printable(string text, int maxLength = MaxValueLength)
    {
        System.Text.StringBuilder printable = new();
        foreach (System.Text.Rune rune in text.EnumerateRunes())
        {
            if (printable.Length + rune.Utf16SequenceLength > maxLength)
                break;
            printable.Append(System.Text.Rune.IsControl(rune) ? "\ufffd" : rune.ToString());
        }
        return printable.ToString();
    }
}
