using Perforator.PerfData;

namespace Perforator.Recording.PerfEvents;

/// <summary>
/// The system calls and the files of /proc and /sys that recording by perf events needs, so that a test can be the kernel: one with CPUs
/// that come and go, without rights, or with a PMU that this machine lacks. Calls that fail return the negative error number.
/// </summary>
internal interface IKernel
{
    /// <summary>Bytes of a page.</summary>
    int PageSize { get; }

    /// <summary>Time on a clock that only goes forward.</summary>
    TimeSpan Now { get; }

    /// <summary>CPU time of the calling thread.</summary>
    TimeSpan ThreadCpuTime { get; }

    /// <summary>perf_event_open(2).</summary>
    /// <param name="attributes">What to count and what to write down.</param>
    /// <param name="target">A thread's id, 0 for the calling one, -1 for all, or a control group's folder (see
    /// <paramref name="flags"/>).</param>
    /// <param name="cpu">A CPU, or -1 for any.</param>
    /// <param name="flags">PERF_FLAG_PID_CGROUP or 0; the descriptor is always closed on exec.</param>
    /// <returns>A file descriptor.</returns>
    int OpenEvent(PerfEventAttributes attributes, int target, int cpu, ulong flags = 0);

    /// <summary>ioctl(2) on an event, with an argument by value.</summary>
    int Control(int fd, ulong request, long argument = 0);

    /// <summary>PERF_EVENT_IOC_PERIOD: how many events from one sample to the next.</summary>
    int SetPeriod(int fd, ulong period);

    /// <summary>read(2) on an event that was opened without a read format: its count.</summary>
    long ReadCount(int fd);

    /// <summary>mmap(2) of an event's ring buffer, shared, readable and writable.</summary>
    nint Map(int fd, nuint length);

    /// <summary>munmap(2).</summary>
    void Unmap(nint address, nuint length);

    /// <summary>open(2) of a folder, of a control group.</summary>
    int OpenFolder(string path);

    /// <summary>close(2).</summary>
    void Close(int fd);

    /// <summary>poll(2).</summary>
    int Poll(Span<Syscalls.PollFd> fds, int milliseconds);

    /// <summary>Lets the calling thread run on one CPU only.</summary>
    /// <returns>False when it may not run there.</returns>
    bool RunOn(int cpu);

    /// <summary>All of a small file, without the newline at its end; null when it is not there or may not be read.</summary>
    string? ReadText(string path);

    /// <summary>The first bytes of a file, of as many as are asked for; none when it is not there or may not be read.</summary>
    byte[] ReadBytes(string path, int length);

    /// <summary>The names in a folder; none when it is not there or may not be read.</summary>
    IReadOnlyList<string> List(string folder);
}
