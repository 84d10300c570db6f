namespace Perforator.Branches;

/// <summary>
/// What every source of branch stacks (perf rings, the software recorder, perf.data, perf script, pprof) feeds, in time order.
/// </summary>
public interface IBranchSink
{
    /// <summary>A file was mapped executable; it replaces whatever the range held before.</summary>
    void OnMapping(Mapping mapping);

    /// <summary>A process was forked: the child starts with its parent's mappings.</summary>
    void OnFork(int processId, int parentProcessId);

    /// <summary>A process replaced its image: its mappings are gone.</summary>
    void OnExec(int processId);

    /// <summary>A process ended.</summary>
    void OnExit(int processId);

    /// <summary>A sample was taken.</summary>
    void OnSample(in BranchSample sample);

    /// <summary>The source lost or dropped something before it got here.</summary>
    void OnLost(string reason, ulong count);
}
