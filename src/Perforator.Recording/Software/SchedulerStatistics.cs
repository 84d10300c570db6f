using System.Buffers.Text;
using Microsoft.Win32.SafeHandles;

namespace Perforator.Recording.Software;

/// <summary>One reading of /proc/PID/task/TID/schedstat (Documentation/scheduler/sched-stats.rst).</summary>
/// <param name="CpuTime">Nanoseconds on a CPU; the kernel counts a running thread's at its scheduler tick.</param>
/// <param name="Waited">Nanoseconds waited for a CPU while ready to run.</param>
/// <param name="Arrivals">How often the thread was given a CPU; counted as it happens.</param>
internal readonly record struct SchedulerReading(long CpuTime, long Waited, long Arrivals);

/// <summary>The scheduler's account of a thread. The file stays open, since opening it costs twenty times as much as reading it.</summary>
internal sealed class SchedulerStatistics : IDisposable
{
    private readonly SafeFileHandle? file;

    /// <param name="folder">/proc/PID/task/TID.</param>
    public SchedulerStatistics(string folder)
    {
        try
        {
            file = File.OpenHandle($"{folder}/schedstat");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // It has ended already: every reading fails.
        }
    }

    /// <summary>Null once the thread has ended.</summary>
    public SchedulerReading? Read()
    {
        if (file is null)
            return null;
        Span<byte> text = stackalloc byte[80];
        try
        {
            text = text[..RandomAccess.Read(file, text, 0)];
        }
        catch (IOException)
        {
            return null;
        }
        return Utf8Parser.TryParse(text, out long cpuTime, out int first) && Utf8Parser.TryParse(text[Math.Min(first + 1, text.Length)..], out long waited, out int second)
            && Utf8Parser.TryParse(text[Math.Min(first + second + 2, text.Length)..], out long arrivals, out _)
            ? new(cpuTime, waited, arrivals) : null;
    }

    public void Dispose() => file?.Dispose();
}
