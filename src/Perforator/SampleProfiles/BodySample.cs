namespace Perforator.SampleProfiles;

/// <summary>Samples of one line location, with the functions called from it. LLVM's <c>SampleRecord</c>.</summary>
public sealed class BodySample
{
    private NameMap<ulong>? callTargets;

    /// <summary>How often the location ran.</summary>
    public ulong Samples { get; set; }

    /// <summary>Functions called from here that were not inlined, by linkage name, with how often each was.</summary>
    public NameMap<ulong> CallTargets => callTargets ?? NameMap<ulong>.Empty;

    /// <summary>Adds samples, saturating.</summary>
    public void AddSamples(ulong count, ulong weight = 1) => Samples = SampleCount.AddWeighted(Samples, count, weight);

    /// <summary>Adds calls of a function, saturating.</summary>
    public void AddCallTarget(string function, ulong count, ulong weight = 1)
    {
        callTargets ??= new NameMap<ulong>();
        callTargets.TryGetValue(function, out ulong known);
        callTargets.Set(function, SampleCount.AddWeighted(known, count, weight));
    }

    /// <summary>Forgets the calls of a function and returns how many there were.</summary>
    internal ulong RemoveCallTarget(string function)
    {
        ulong count = 0;
        if (callTargets is not null && callTargets.TryGetValue(function, out count))
            callTargets.Remove(function);
        return count;
    }

    /// <summary>Adds another location's samples and call targets.</summary>
    public void Merge(BodySample other, ulong weight = 1)
    {
        AddSamples(other.Samples, weight);
        foreach ((string function, ulong count) in other.CallTargets)
            AddCallTarget(function, count, weight);
    }
}
