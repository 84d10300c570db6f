using System.Globalization;

namespace Perforator.Recording.Software;

/// <summary>A thread of a target, with the CPU time it has used since it last gave a sample.</summary>
internal sealed class TargetThread
{
    private readonly string folder;
    private long lastCpuTime;

    public TargetThread(TargetProcess process, int threadId)
    {
        Process = process;
        ThreadId = threadId;
        folder = $"/proc/{process.ProcessId}/task/{threadId}";
        lastCpuTime = ReadCpuTime() ?? 0;
    }

    public TargetProcess Process { get; }

    public int ThreadId { get; }

    /// <summary>
    /// CPU time in units of the recorder's mean interval, less 1 exponentially distributed unit a sample: a sample is due when this
    /// is not negative, so over time samples are in proportion to CPU time, and their moments are those of a Poisson process.
    /// </summary>
    public double Due { get; set; }

    /// <summary>Nanoseconds of CPU time since the last call; the kernel counts a running thread's at its scheduler tick. Null when it has ended.</summary>
    public long? TakeCpuTime()
    {
        if (ReadCpuTime() is not { } now)
            return null;
        long used = now - lastCpuTime;
        lastCpuTime = now;
        return used;
    }

    /// <summary>Whether the thread runs or waits for a CPU, rather than sleeping in the kernel: state R of proc_pid_stat(5).</summary>
    public bool IsRunning()
    {
        ReadOnlySpan<byte> stat = ProcFile.Read($"{folder}/stat", stackalloc byte[512]);
        int name = stat.LastIndexOf((byte)')');
        return name >= 0 && name + 2 < stat.Length && stat[name + 2] == 'R';
    }

    /// <summary>The first field of /proc/PID/task/TID/schedstat: nanoseconds on a CPU.</summary>
    private long? ReadCpuTime()
    {
        ReadOnlySpan<byte> text = ProcFile.Read($"{folder}/schedstat", stackalloc byte[128]);
        int space = text.IndexOf((byte)' ');
        return space > 0 && long.TryParse(text[..space], NumberStyles.None, CultureInfo.InvariantCulture, out long time) ? time : null;
    }
}
