using System.Collections.Immutable;

namespace Perforator.SampleProfiles;

/// <summary>Samples of one line location, with the functions called from it. LLVM's <c>SampleRecord</c>.</summary>
public sealed class BodySample
{
    private SortedDictionary<string, ulong>? callTargets;

    /// <summary>How often the location ran.</summary>
    public ulong Samples { get; set; }

    /// <summary>Functions called from here that were not inlined, by linkage name, with how often each was.</summary>
    public IReadOnlyDictionary<string, ulong> CallTargets =>
        callTargets ?? (IReadOnlyDictionary<string, ulong>)ImmutableDictionary<string, ulong>.Empty;

    /// <summary>Adds samples, saturating.</summary>
    public void AddSamples(ulong count, ulong weight = 1) => Samples = SampleCount.AddWeighted(Samples, count, weight);

    /// <summary>Adds calls of a function, saturating.</summary>
    public void AddCallTarget(string function, ulong count, ulong weight = 1)
    {
        callTargets ??= new SortedDictionary<string, ulong>(FunctionNameOrder.Names);
        callTargets[function] = SampleCount.AddWeighted(callTargets.GetValueOrDefault(function), count, weight);
    }

    /// <summary>Forgets the calls of a function and returns how many there were.</summary>
    internal ulong RemoveCallTarget(string function) =>
        callTargets is not null && callTargets.Remove(function, out ulong count) ? count : 0;

    /// <summary>Adds another location's samples and call targets.</summary>
    public void Merge(BodySample other, ulong weight = 1)
    {
        AddSamples(other.Samples, weight);
        if (other.callTargets is not null)
            foreach ((string function, ulong count) in other.callTargets)
                AddCallTarget(function, count, weight);
    }
}
