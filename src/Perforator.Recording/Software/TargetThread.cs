using System.Buffers.Text;
using System.Diagnostics;

namespace Perforator.Recording.Software;

/// <summary>A thread of a target, with the CPU time it has used since it last gave a sample.</summary>
internal sealed class TargetThread : IDisposable
{
    /// <summary>Nanoseconds: the longest time after which the kernel accounts for a running thread, at 100 ticks a second.</summary>
    private const double LongestTick = 10e6;

    private readonly string folder;
    /// <summary>Opened once it is wanted: threads that mostly sleep do without.</summary>
    private ProcFile? statFile;
    private SchedulerReading last;
    private long accounted = Stopwatch.GetTimestamp(), taken;

    public TargetThread(TargetProcess process, int threadId)
    {
        Process = process;
        ThreadId = threadId;
        folder = $"/proc/{process.ProcessId}/task/{threadId}";
        Scheduling = new SchedulerStatistics(folder);
        last = Scheduling.Read() ?? default;
        taken = last.CpuTime;
    }

    public TargetProcess Process { get; }

    public int ThreadId { get; }

    public SchedulerStatistics Scheduling { get; }

    /// <summary>Branches that its last sample was to count.</summary>
    public int LastLength { get; set; }

    /// <summary>How many page faults it had that needed no I/O, when it was last looked at.</summary>
    public long MinorFaults { get; private set; }

    /// <summary>The pages it is likely to touch next.</summary>
    public WorkingSet WorkingSet { get; } = new();

    /// <summary>
    /// CPU time in units of the recorder's mean interval, less 1 exponentially distributed unit a sample: a sample is due when this
    /// is not negative, so over time samples are in proportion to CPU time, and their moments are those of a Poisson process.
    /// </summary>
    public double Due { get; set; }

    /// <summary>
    /// Nanoseconds that it used a CPU, and that it waited for one, since the last call. Null when it has ended. A running thread's time is
    /// estimated from the last it was accounted for, as the kernel does so at its ticks only; what was too much is taken off the next.
    /// </summary>
    public (long Used, long Waited)? TakeTimes()
    {
        if (Scheduling.Read() is not { } now)
            return null;
        if (now.CpuTime != last.CpuTime)
            accounted = Stopwatch.GetTimestamp();
        long estimate = now.CpuTime + (long)Math.Min(Stopwatch.GetElapsedTime(accounted).TotalNanoseconds, LongestTick), used = Math.Max(0, estimate - taken);
        taken += used;
        long waited = now.Waited - last.Waited;
        last = now;
        return (used, waited);
    }

    /// <summary>
    /// Whether the thread runs or waits for a CPU, rather than sleeping in the kernel: state R of proc_pid_stat(5).
    /// </summary>
    /// <param name="cpu">The CPU it was given last; -1 when unknown.</param>
    public bool IsRunning(out int cpu)
    {
        const int ProcessorField = 39, MinorFaultsField = 10, StateField = 3;
        cpu = -1;
        ReadOnlySpan<byte> stat = (statFile ??= new ProcFile($"{folder}/stat")).Read(stackalloc byte[1024]);
        // The name before may hold anything.
        int name = stat.LastIndexOf((byte)')');
        if (name < 0 || name + 2 >= stat.Length)
            return false;
        stat = stat[(name + 2)..];
        bool running = stat[0] == 'R';
        for (int field = StateField; field < ProcessorField && stat.Length > 0; field++)
        {
            if (field == MinorFaultsField && Utf8Parser.TryParse(stat, out long faults, out _))
                MinorFaults = faults;
            stat = stat[(stat.IndexOf((byte)' ') + 1)..];
        }
        if (Utf8Parser.TryParse(stat, out int number, out _))
            cpu = number;
        return running;
    }

    /// <summary>Whether it had page faults since there were so many; also while it is stopped.</summary>
    public bool HasFaultedSince(long minorFaults)
    {
        _ = IsRunning(out _);
        return MinorFaults > minorFaults;
    }

    public void Dispose()
    {
        Scheduling.Dispose();
        statFile?.Dispose();
    }
}
