using System.Collections.Immutable;

namespace Perforator;

/// <summary>
/// What was dropped, by reason. Nothing is lost silently: every reader adds to one of these, they add up along the flow and the
/// final report shows them. Reasons are short sentences a person can act on.
/// </summary>
public sealed class LossCounts
{
    private readonly SortedDictionary<string, ulong> counts = new(StringComparer.Ordinal);

    /// <summary>All reasons with how often each occurred, in ordinal order of the reason.</summary>
    public IReadOnlyDictionary<string, ulong> ByReason => counts;

    /// <summary>The sum over all reasons.</summary>
    public ulong Total => counts.Values.Aggregate(0UL, (a, b) => a + b);

    /// <summary>Counts <paramref name="count"/> losses.</summary>
    public void Add(string reason, ulong count = 1)
    {
        if (count != 0)
            counts[reason] = counts.GetValueOrDefault(reason) + count;
    }

    /// <summary>How often <paramref name="reason"/> occurred.</summary>
    public ulong this[string reason] => counts.GetValueOrDefault(reason);

    /// <summary>Sets all counts back to none.</summary>
    public void Clear() => counts.Clear();

    /// <summary>Adds all of another's counts.</summary>
    public void Merge(LossCounts other)
    {
        foreach ((string reason, ulong count) in other.counts.ToImmutableArray())
            Add(reason, count);
    }
}
