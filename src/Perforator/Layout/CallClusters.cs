namespace Perforator.Layout;

/// <summary>
/// Orders functions so that callers lie before what they call most, and busy code lies together: call-chain clustering of Ottoni and Maher
/// ("Optimizing Function Placement for Large-Scale Data-Center Applications", CGO 2017).
/// </summary>
/// <remarks>
/// From the busiest byte on, each function's cluster is put behind the cluster of its most frequent caller, unless that would get too large
/// (a megabyte), the caller makes less than a tenth of its calls, or the caller's cluster would become less than an eighth as busy.
/// </remarks>
public static class CallClusters
{
    private const ulong LargestCluster = 1 << 20;
    private const double LeastShareOfCalls = 0.1;
    private const double MostDilution = 8;

    private sealed class Cluster(int function, double weight, ulong size)
    {
        public readonly List<int> Functions = [function];
        public double Weight = weight;
        public ulong Size = size;

        public double Density => Weight / Math.Max(Size, 1);
    }

    /// <summary>Orders functions.</summary>
    /// <param name="sizes">Bytes of each that are executed.</param>
    /// <param name="weights">How often its bytes were executed, in all.</param>
    /// <param name="calls">Calls between them.</param>
    /// <returns>All functions, in order.</returns>
    public static int[] Order(ulong[] sizes, double[] weights, IReadOnlyList<CallEdge> calls)
    {
        Cluster[] clusterOf = [.. sizes.Select((size, f) => new Cluster(f, weights[f], size))];
        (int Caller, double Count)[] mostFrequent = new (int, double)[sizes.Length];
        double[] called = new double[sizes.Length];
        foreach (CallEdge call in calls)
        {
            if (call.Caller == call.Callee)
                continue;
            called[call.Callee] += call.Count;
            if (call.Count > mostFrequent[call.Callee].Count)
                mostFrequent[call.Callee] = (call.Caller, call.Count);
        }
        foreach (int f in Enumerable.Range(0, sizes.Length).OrderByDescending(f => weights[f] / Math.Max(sizes[f], 1))
            .ThenBy(static f => f))
        {
            (int caller, double count) = mostFrequent[f];
            if (count == 0 || count < LeastShareOfCalls * called[f])
                continue;
            Cluster into = clusterOf[caller], own = clusterOf[f];
            // In the midst of a cluster it would not lie behind its caller.
            if (into == own || own.Functions[0] != f || into.Size + own.Size > LargestCluster
                || into.Density > MostDilution * (into.Weight + own.Weight) / Math.Max(into.Size + own.Size, 1))
                continue;
            into.Functions.AddRange(own.Functions);
            into.Weight += own.Weight;
            into.Size += own.Size;
            foreach (int moved in own.Functions)
                clusterOf[moved] = into;
        }
        return [.. clusterOf.Distinct().OrderByDescending(static c => c.Density).ThenBy(static c => c.Functions[0])
            .SelectMany(static c => c.Functions)];
    }
}
