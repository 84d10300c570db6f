using Perforator.Branches;
using Perforator.Recording.Processes;

namespace Perforator.Recording.PerfEvents;

/// <summary>
/// Lets through what concerns the wanted processes, when events come in for all. A child forked by a wanted process is wanted at
/// once; every other change comes with the next <see cref="Refresh"/>.
/// </summary>
internal sealed class TargetFilter(IRecordingTargets targets, IBranchSink sink) : IBranchSink
{
    /// <summary>The process ids let through, each with how many refreshes in a row did not want it.</summary>
    private readonly Dictionary<int, int> wanted = [];

    private ulong samples;
    private ulong branches;

    public ulong Samples => Volatile.Read(ref samples);

    public ulong Branches => Volatile.Read(ref branches);

    /// <summary>Whether a process is let through.</summary>
    public bool Wants(int processId) => wanted.ContainsKey(processId);

    /// <summary>Asks for the targets again.</summary>
    /// <param name="added">The processes that were not let through before; <see cref="Announce"/> is due for each.</param>
    /// <returns>False once no target is left and none can come.</returns>
    public bool Refresh(out IReadOnlyList<int> added)
    {
        IReadOnlySet<int>? now = targets.Refresh();
        List<int> fresh = [];
        added = fresh;
        foreach (int id in now ?? new HashSet<int>())
        {
            if (!wanted.ContainsKey(id))
                fresh.Add(id);
            wanted[id] = 0;
        }
        // Samples of a process that ended may still be on their way: it is forgotten one refresh later.
        foreach ((int id, int misses) in wanted.ToArray())
            if (now is null || !now.Contains(id))
            {
                wanted[id] = misses + 1;
                if (misses > 0)
                    Forget(id);
            }
        return now is not null;
    }

    /// <summary>Tells the sink the mappings that a process has now.</summary>
    public void Announce(int processId)
    {
        foreach (ProcessMap map in ProcessMap.Load(processId))
            if (map.IsExecutable && map.Path.Length != 0)
                sink.OnMapping(map.ToMapping(processId));
    }

    public void OnMapping(Mapping mapping)
    {
        if (wanted.ContainsKey(mapping.ProcessId))
            sink.OnMapping(mapping);
    }

    public void OnFork(int processId, int parentProcessId)
    {
        if (!wanted.ContainsKey(parentProcessId))
            return;
        wanted[processId] = 0;
        sink.OnFork(processId, parentProcessId);
    }

    public void OnExec(int processId)
    {
        if (wanted.ContainsKey(processId))
            sink.OnExec(processId);
    }

    public void OnExit(int processId) => Forget(processId);

    public void OnSample(in BranchSample sample)
    {
        if (!wanted.ContainsKey(sample.ProcessId))
            return;
        samples++;
        branches += (ulong)sample.Stack.Length;
        sink.OnSample(sample);
    }

    public void OnLost(string reason, ulong count) => sink.OnLost(reason, count);

    private void Forget(int processId)
    {
        if (wanted.Remove(processId))
            sink.OnExit(processId);
    }
}
