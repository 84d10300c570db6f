namespace Perforator.Recording.Software;

/// <summary>A thread of a target, with the CPU time it has used since it last gave a sample.</summary>
internal sealed class TargetThread : IDisposable
{
    private readonly string folder;
    private SchedulerReading last;

    public TargetThread(TargetProcess process, int threadId)
    {
        Process = process;
        ThreadId = threadId;
        folder = $"/proc/{process.ProcessId}/task/{threadId}";
        Scheduling = new SchedulerStatistics(folder);
        last = Scheduling.Read() ?? default;
    }

    public TargetProcess Process { get; }

    public int ThreadId { get; }

    public SchedulerStatistics Scheduling { get; }

    /// <summary>The pages it is likely to touch next.</summary>
    public WorkingSet WorkingSet { get; } = new();

    /// <summary>
    /// CPU time in units of the recorder's mean interval, less 1 exponentially distributed unit a sample: a sample is due when this
    /// is not negative, so over time samples are in proportion to CPU time, and their moments are those of a Poisson process.
    /// </summary>
    public double Due { get; set; }

    /// <summary>Nanoseconds that it used a CPU, and that it waited for one, since the last call. Null when it has ended.</summary>
    public (long Used, long Waited)? TakeTimes()
    {
        if (Scheduling.Read() is not { } now)
            return null;
        SchedulerReading before = last;
        last = now;
        return (now.CpuTime - before.CpuTime, now.Waited - before.Waited);
    }

    /// <summary>Whether the thread runs or waits for a CPU, rather than sleeping in the kernel: state R of proc_pid_stat(5).</summary>
    public bool IsRunning()
    {
        ReadOnlySpan<byte> stat = ProcFile.Read($"{folder}/stat", stackalloc byte[512]);
        int name = stat.LastIndexOf((byte)')');
        return name >= 0 && name + 2 < stat.Length && stat[name + 2] == 'R';
    }

    public void Dispose() => Scheduling.Dispose();
}
