using Perforator.Bytes;

namespace Perforator.SampleProfiles;

/// <summary>The orders in which a profile lists the callees of one location.</summary>
internal static class CallTargetOrder
{
    /// <summary>Call targets: the most frequent first, then by name (LLVM's <c>CallTargetComparator</c>).</summary>
    public static ReadOnlySpan<KeyValuePair<string, ulong>> Of(BodySample sample, FunctionNameOrder names)
    {
        NameMap<ulong> targets = sample.CallTargets;
        if (targets.Count == 0)
            return default;
        string[] sorted = new string[targets.Count];
        int n = 0;
        foreach ((string name, _) in targets)
            sorted[n++] = name;
        if (names != FunctionNameOrder.Names)
            Array.Sort(sorted, names);
        ulong[] rarity = new ulong[sorted.Length];
        for (int i = 0; i < sorted.Length; i++)
            rarity[i] = targets.TryGetValue(sorted[i], out ulong count) ? ~count : 0;
        KeyValuePair<string, ulong>[] ordered = new KeyValuePair<string, ulong>[sorted.Length];
        n = 0;
        foreach (int i in KeyOrder.Of(rarity))
            ordered[n++] = new(sorted[i], ~rarity[i]);
        return ordered;
    }

    /// <summary>Inlined callees: by name.</summary>
    public static ReadOnlySpan<FunctionSamples> Of(NameMap<FunctionSamples> callees, FunctionNameOrder names)
    {
        FunctionSamples[] sorted = new FunctionSamples[callees.Count];
        int n = 0;
        foreach ((_, FunctionSamples callee) in callees)
            sorted[n++] = callee;
        if (names != FunctionNameOrder.Names)
            Array.Sort(sorted, (a, b) => names.Compare(a.Name, b.Name));
        return sorted;
    }
}
