using System.Buffers.Text;

namespace Perforator.Recording.Software;

/// <summary>One reading of /proc/PID/task/TID/schedstat (Documentation/scheduler/sched-stats.rst).</summary>
/// <param name="CpuTime">Nanoseconds on a CPU; the kernel counts a running thread's at its scheduler tick.</param>
/// <param name="Waited">Nanoseconds waited for a CPU while ready to run.</param>
/// <param name="Arrivals">How often the thread was given a CPU; counted as it happens.</param>
internal readonly record struct SchedulerReading(long CpuTime, long Waited, long Arrivals);

/// <summary>The scheduler's account of a thread.</summary>
/// <param name="folder">/proc/PID/task/TID.</param>
internal sealed class SchedulerStatistics(string folder) : IDisposable
{
    private readonly ProcFile file = new($"{folder}/schedstat");

    /// <summary>Null once the thread has ended.</summary>
    public SchedulerReading? Read()
    {
        ReadOnlySpan<byte> text = file.Read(stackalloc byte[80]);
        return Utf8Parser.TryParse(text, out long cpuTime, out int first) && Utf8Parser.TryParse(text[Math.Min(first + 1, text.Length)..], out long waited, out int second)
            && Utf8Parser.TryParse(text[Math.Min(first + second + 2, text.Length)..], out long arrivals, out _)
            ? new(cpuTime, waited, arrivals) : null;
    }

    public void Dispose() => file.Dispose();
}
