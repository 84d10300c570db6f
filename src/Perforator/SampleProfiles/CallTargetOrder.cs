namespace Perforator.SampleProfiles;

/// <summary>The orders in which a profile lists the callees of one location.</summary>
internal static class CallTargetOrder
{
    /// <summary>Call targets: the most frequent first, then by name (LLVM's <c>CallTargetComparator</c>).</summary>
    public static IEnumerable<KeyValuePair<string, ulong>> Of(BodySample sample, FunctionNameOrder names) => sample.CallTargets.Count switch
    {
        0 => [],
        1 => sample.CallTargets,
        _ => sample.CallTargets.OrderByDescending(static target => target.Value).ThenBy(static target => target.Key, names),
    };

    /// <summary>Inlined callees: by name.</summary>
    public static IEnumerable<FunctionSamples> Of(SortedDictionary<string, FunctionSamples> callees, FunctionNameOrder names) =>
        callees.Count > 1 && names != FunctionNameOrder.Names ? callees.Values.OrderBy(static callee => callee.Name, names) : callees.Values;
}
