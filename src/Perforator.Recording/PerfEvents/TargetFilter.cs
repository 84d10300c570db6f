using Perforator.Branches;
using Perforator.PerfData;
using Perforator.Recording.Processes;

namespace Perforator.Recording.PerfEvents;

/// <summary>
/// Lets through what concerns the wanted processes, when events come in for all. A child forked by a wanted process is wanted at
/// once; every other change comes with the next <see cref="Refresh"/>.
/// </summary>
internal sealed class TargetFilter(IKernel kernel, IRecordingTargets targets, IBranchSink sink) : IBranchSink
{
    /// <summary>The process ids let through, each with how many refreshes in a row did not want it.</summary>
    private readonly Dictionary<int, int> wanted = [];

    private readonly List<int> forgotten = [];
    private bool inDoubt;
    private ulong samples;
    private ulong branches;

    /// <summary>Stacks that were let through, each once, however many times it counts.</summary>
    public ulong Samples => Volatile.Read(ref samples);

    public ulong Branches => Volatile.Read(ref branches);

    /// <summary>
    /// By how much periods are longer because of <see cref="IRecordingTargets.HighestShare"/>: so many samples less come in, which
    /// therefore do not count for more.
    /// </summary>
    public ulong Thinned { get; set; } = 1;

    /// <summary>How often the kernel paused sampling.</summary>
    public ulong Throttles { get; private set; }

    /// <summary>The processes that are let through.</summary>
    public IReadOnlyCollection<int> Processes => wanted.Keys;

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

    /// <summary>The processes that have been let through and ended, since the last call.</summary>
    /// <param name="added">What the last <see cref="Refresh"/> gave: where an id is among them, it is another process's by now.</param>
    public IReadOnlyList<int> TakeForgotten(IReadOnlyList<int> added)
    {
        int[] taken = [.. forgotten.Where(id => !wanted.ContainsKey(id) || added.Contains(id))];
        forgotten.Clear();
        return taken;
    }

    /// <summary>Tells the sink the mappings that a process has now.</summary>
    public void Announce(int processId)
    {
        foreach (Mapping mapping in Mappings(processId))
            sink.OnMapping(mapping);
    }

    /// <summary>Tells the sink what is mapped for the kernel, whose branches count with those of the process that was in it.</summary>
    public void AnnounceKernel(Mapping mapping) => sink.OnMapping(mapping);

    /// <summary>Whether records were lost since the last call, and with them mappings and execs perhaps.</summary>
    public bool TakeDoubt()
    {
        bool taken = inDoubt;
        inDoubt = false;
        return taken;
    }

    /// <summary>Tells the sink anew what every process has mapped, in place of what it knows.</summary>
    public void Resynchronise()
    {
        foreach (int processId in wanted.Keys.ToArray())
        {
            // One that has just ended keeps what was known: samples of it may be on their way.
            if (Mappings(processId) is not { Length: > 0 } mappings)
                continue;
            sink.OnExec(processId);
            foreach (Mapping mapping in mappings)
                sink.OnMapping(mapping);
        }
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
        double share = (targets.ShareOf(sample.ProcessId) ?? 1) * Thinned;
        if (share < 1 && Random.Shared.NextDouble() >= share)
            return;
        samples++;
        branches += (ulong)sample.Stack.Length;
        if (Thinned == 1)
            sink.OnSample(sample);
        else
            sink.OnSample(new BranchSample
            {
                ProcessId = sample.ProcessId,
                ThreadId = sample.ThreadId,
                Time = sample.Time,
                InstructionPointer = sample.InstructionPointer,
                HasExactAddress = sample.HasExactAddress,
                Stack = sample.Stack,
                Weight = Math.Max(1, sample.Weight / Thinned),
            });
    }

    public void OnLost(string reason, ulong count)
    {
        if (count == 0)
            return;
        if (reason is PerfRecordReader.RingFull or PerfEventRecorder.DamagedRing)
            inDoubt = true;
        if (reason == PerfRecordReader.Throttled)
            Throttles += count;
        sink.OnLost(reason, count);
    }

    private Mapping[] Mappings(int processId) =>
        [.. ProcessMap.Load(kernel, processId).Where(static map => map.IsExecutable && map.Path.Length != 0)
            .Select(map => map.ToMapping(processId))];

    private void Forget(int processId)
    {
        if (!wanted.Remove(processId))
            return;
        forgotten.Add(processId);
        sink.OnExit(processId);
    }
}
