using System.Diagnostics;
using Perforator.Branches;
using Perforator.Recording.Interpreter;
using Perforator.Recording.Processes;

namespace Perforator.Recording.Software;

/// <summary>
/// The processes that have been met, wanted or not. What never runs is never looked at, but for those that are there at the start.
/// </summary>
internal sealed class ProcessTable(IRecordingTargets targets, Translator translator, IBranchSink sink, long maxCodeBytes)
    : IProcessWatcher, IDisposable
{
    /// <summary>Null where it is not wanted.</summary>
    private readonly Dictionary<int, TargetProcess?> processes = [];

    /// <summary>
    /// Forked by wanted processes and not met yet, or not since they executed another program: then the sink knows of them.
    /// </summary>
    private readonly Dictionary<int, bool> children = [];

    /// <summary>Those whose first thread has ended.</summary>
    private readonly HashSet<int> ending = [];

    /// <summary>
    /// Between two looks at what is there while nothing is met; a process that is not waited for, or whose other threads go on, stays among
    /// those that end.
    /// </summary>
    private static readonly TimeSpan SweepInterval = TimeSpan.FromSeconds(1);

    private long met, sweptMet;
    private long swept;

    /// <summary>A process that is about to be followed; null when it is not wanted or has ended.</summary>
    public TargetProcess? Find(int processId)
    {
        if (Know(processId) is not { } process)
            return null;
        process.LastMet = ++met;
        if (!process.IsReady)
            _ = process.ReportMappings(sink);
        return process;
    }

    /// <summary>A process is there, which need not run.</summary>
    public void Announce(int processId) => Know(processId)?.Announce(sink);

    /// <inheritdoc/>
    public void OnFork(int processId, int parentProcessId)
    {
        // Whatever had that id before has ended.
        Forget(processId);
        // The sink is told of a process with its first sample: most of what is forked ends before it is met.
        if (children.ContainsKey(parentProcessId) || processes.GetValueOrDefault(parentProcessId) is not null)
            children[processId] = false;
    }

    /// <inheritdoc/>
    public void OnExec(int processId)
    {
        if (!processes.Remove(processId, out TargetProcess? process) || process is null)
            return;
        process.Dispose();
        children[processId] = true;
        sink.OnExec(processId);
    }

    /// <inheritdoc/>
    public void OnLeaderExit(int processId)
    {
        if (processes.ContainsKey(processId) || children.ContainsKey(processId))
            ending.Add(processId);
    }

    /// <inheritdoc/>
    public void OnLostRecords() => ending.UnionWith([.. processes.Keys, .. children.Keys]);

    /// <summary>Forgets processes that have ended, and the code of those not met for longest where there is too much of it.</summary>
    public void Sweep()
    {
        if (met == sweptMet && Stopwatch.GetElapsedTime(swept) < SweepInterval)
            return;
        sweptMet = met;
        if (processes.Values.Sum(static process => process?.CodeBytes ?? 0) is var bytes && bytes > maxCodeBytes)
            foreach (TargetProcess process in processes.Values.OfType<TargetProcess>().Where(static p => p.CodeBytes != 0)
                .OrderBy(static p => p.LastMet).ToArray())
            {
                if (bytes <= maxCodeBytes / 2)
                    break;
                bytes -= process.CodeBytes;
                process.Code.Clear();
            }
        if (Stopwatch.GetElapsedTime(swept) < SweepInterval)
            return;
        swept = Stopwatch.GetTimestamp();
        foreach (int id in ending.ToArray())
        {
            // Threads may outlive the first one, whose state is Z then.
            if (Directory.Exists($"/proc/{id}")
                && (!processes.TryGetValue(id, out TargetProcess? process) || process is null || ProcessIdentity.Of(id) is not { } now
                    || now == process.Identity))
                continue;
            Forget(id);
        }
    }

    public void Dispose()
    {
        foreach (TargetProcess? process in processes.Values)
            process?.Dispose();
        processes.Clear();
    }

    private TargetProcess? Know(int processId)
    {
        if (processes.TryGetValue(processId, out TargetProcess? process))
            return process;
        bool isChild = children.Remove(processId, out bool isKnown);
        if (processId > 0 && ProcessIdentity.WithParent(processId) is (ProcessIdentity identity, int parent)
            && targets.Wants(processId, isChild))
            process = new TargetProcess(identity, parent == Environment.ProcessId, translator);
        else if (isKnown)
            sink.OnExit(processId);
        return processes[processId] = process;
    }

    private void Forget(int processId)
    {
        ending.Remove(processId);
        children.Remove(processId, out bool isKnown);
        if (!processes.Remove(processId, out TargetProcess? process) ? isKnown : process is not null)
            sink.OnExit(processId);
        process?.Dispose();
    }
}
