using Perforator.Bytes;

namespace Perforator;

/// <summary>
/// What was dropped, by reason. Nothing is lost silently: every reader adds to one of these, they add up along the flow and the
/// final report shows them. Reasons are short sentences a person can act on.
/// </summary>
public sealed class LossCounts
{
    private sealed class Counter
    {
        public ulong Count { get; set; }
    }

    private readonly Dictionary<string, Counter> counts = new(StringComparer.Ordinal);

    /// <summary>All reasons with how often each occurred, in ordinal order of the reason. A copy.</summary>
    public IReadOnlyDictionary<string, ulong> ByReason
    {
        get
        {
            SortedDictionary<string, ulong> sorted = new(StringComparer.Ordinal);
            foreach ((string reason, Counter counter) in counts)
                sorted.Add(reason, counter.Count);
            return sorted;
        }
    }

    /// <summary>All reasons with how often each occurred, the most frequent first, equally frequent ones in ordinal order.</summary>
    public IEnumerable<(string Reason, ulong Count)> LargestFirst()
    {
        string[] reasons = [.. counts.Keys];
        Array.Sort(reasons, StringComparer.Ordinal);
        ulong[] rarity = new ulong[reasons.Length];
        for (int i = 0; i < rarity.Length; i++)
            rarity[i] = ~counts[reasons[i]].Count;
        foreach (int i in KeyOrder.Of(rarity))
            yield return (reasons[i], ~rarity[i]);
    }

    /// <summary>The sum over all reasons, saturating.</summary>
    public ulong Total
    {
        get
        {
            ulong total = 0;
            foreach (Counter counter in counts.Values)
                total = total > ulong.MaxValue - counter.Count ? ulong.MaxValue : total + counter.Count;
            return total;
        }
    }

    /// <summary>Counts <paramref name="count"/> losses, saturating.</summary>
    public void Add(string reason, ulong count = 1)
    {
        if (count == 0)
            return;
        if (!counts.TryGetValue(reason, out Counter? counter))
            counts.Add(reason, counter = new Counter());
        counter.Count = counter.Count > ulong.MaxValue - count ? ulong.MaxValue : counter.Count + count;
    }

    /// <summary>How often <paramref name="reason"/> occurred.</summary>
    public ulong this[string reason] => counts.TryGetValue(reason, out Counter? counter) ? counter.Count : 0;

    /// <summary>Sets all counts back to none.</summary>
    public void Clear() => counts.Clear();

    /// <summary>Adds all of another's counts.</summary>
    public void Merge(LossCounts other)
    {
        foreach (string reason in (string[])[.. other.counts.Keys])
            Add(reason, other[reason]);
    }
}
