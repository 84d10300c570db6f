using Perforator.PerfData;

namespace Perforator.Recording.PerfEvents;

/// <summary>An open perf event: one file descriptor.</summary>
internal sealed class PerfEvent : IDisposable
{
    /// <summary>Stands for every process where an event is opened.</summary>
    public const int AllProcesses = -1;

    private readonly IKernel kernel;

    private PerfEvent(IKernel kernel, int fd)
    {
        this.kernel = kernel;
        Fd = fd;
    }

    public int Fd { get; }

    /// <summary>Opens an event.</summary>
    /// <param name="target">A thread's id, 0 for the calling one, <see cref="AllProcesses"/>, or an open control group's folder.</param>
    /// <param name="cpu">A CPU; -1 for any, with a thread.</param>
    /// <param name="flags">PERF_FLAG_PID_CGROUP for a control group.</param>
    /// <returns>The event, or null and the error number.</returns>
    public static PerfEvent? TryOpen(IKernel kernel, PerfEventAttributes attributes, int target, int cpu, out int error, ulong flags = 0)
    {
        int fd = kernel.OpenEvent(attributes, target, cpu, flags);
        error = fd < 0 ? -fd : 0;
        return fd < 0 ? null : new PerfEvent(kernel, fd);
    }

    /// <summary>Lets this event write into another's ring buffer; both must be of the same CPU. Returns 0 or the error number.</summary>
    public int ShareRingOf(PerfEvent other) => -kernel.Control(Fd, Syscalls.PERF_EVENT_IOC_SET_OUTPUT, other.Fd);

    /// <summary>Begins to count. Returns 0 or the error number.</summary>
    public int Enable() => -kernel.Control(Fd, Syscalls.PERF_EVENT_IOC_ENABLE);

    /// <summary>Counts no more, which cannot fail in a way that matters.</summary>
    public void Disable() => _ = kernel.Control(Fd, Syscalls.PERF_EVENT_IOC_DISABLE);

    /// <summary>Sets how many events lie between two samples, from the next sample on.</summary>
    public void SetPeriod(ulong period) => _ = kernel.SetPeriod(Fd, period);

    /// <summary>What it has counted; 0 when that cannot be read.</summary>
    public ulong ReadCount() => (ulong)Math.Max(0, kernel.ReadCount(Fd));

    public void Dispose() => kernel.Close(Fd);
}
