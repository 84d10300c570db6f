using Perforator.PerfData;

namespace Perforator.Recording.PerfEvents;

/// <summary>An open perf event: one file descriptor.</summary>
internal sealed class PerfEvent : IDisposable
{
    /// <summary>Stands for every process in <see cref="TryOpen"/>.</summary>
    public const int AllProcesses = -1;

    private PerfEvent(int fd) => Fd = fd;

    public int Fd { get; }

    /// <summary>Opens an event on one CPU, for one thread or for <see cref="AllProcesses"/>.</summary>
    /// <returns>The event, or null and the error number.</returns>
    public static PerfEvent? TryOpen(PerfEventAttributes attributes, int threadId, int cpu, out int error)
    {
        int fd = Syscalls.PerfEventOpen(attributes.ToBytes(), threadId, cpu);
        error = fd < 0 ? -fd : 0;
        return fd < 0 ? null : new PerfEvent(fd);
    }

    /// <summary>Lets this event write into another's ring buffer; both must be of the same CPU.</summary>
    public void ShareRingOf(PerfEvent other) => Control(Syscalls.PERF_EVENT_IOC_SET_OUTPUT, other.Fd);

    public void Enable() => Control(Syscalls.PERF_EVENT_IOC_ENABLE, 0);

    public void Disable() => Control(Syscalls.PERF_EVENT_IOC_DISABLE, 0);

    public void Dispose() => Syscalls.Close(Fd);

    private void Control(ulong request, long argument)
    {
        if (Syscalls.Ioctl(Fd, request, argument) < 0)
            throw new IOException($"perf event ioctl 0x{request:x}: {Syscalls.Describe(System.Runtime.InteropServices.Marshal.GetLastPInvokeError())}");
    }
}
