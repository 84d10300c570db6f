using System.Runtime.InteropServices;

namespace Perforator.Recording;

/// <summary>
/// The system calls that .NET does not offer. Spelling and values are Linux's, the same on x86-64 and AArch64 unless said.
/// </summary>
internal static partial class Syscalls
{
    public const int EPERM = 1;
    public const int ENOENT = 2;
    public const int ESRCH = 3;
    public const int EINTR = 4;
    public const int ENOMEM = 12;
    public const int EACCES = 13;
    public const int EBUSY = 16;
    public const int ENODEV = 19;
    public const int EINVAL = 22;
    public const int ENFILE = 23;
    public const int EMFILE = 24;
    public const int ENOSYS = 38;
    public const int EOPNOTSUPP = 95;

    public const int PROT_READ = 1;
    public const int PROT_WRITE = 2;
    public const int MAP_SHARED = 1;
    public const int MADV_HUGEPAGE = 14;

    public const short POLLIN = 1;
    public const short POLLERR = 8;
    public const short POLLHUP = 0x10;

    public const int O_RDONLY = 0;
    public const int O_CLOEXEC = 0x80000;

    public static int O_DIRECTORY => RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? 0x4000 : 0x10000;

    public const int SIGINT = 2;
    public const int SIGKILL = 9;
    public const int SIGTERM = 15;
    public const int SIGCONT = 18;
    public const int SIGSTOP = 19;
    public const int SIGTSTP = 20;

    /// <summary>The same on all architectures.</summary>
    private const long PidfdOpenNumber = 434;

    public const ulong PERF_FLAG_PID_CGROUP = 4;
    public const ulong PERF_FLAG_FD_CLOEXEC = 8;
    public const ulong PERF_EVENT_IOC_ENABLE = 0x2400;
    public const ulong PERF_EVENT_IOC_DISABLE = 0x2401;
    public const ulong PERF_EVENT_IOC_REFRESH = 0x2402;
    public const ulong PERF_EVENT_IOC_SET_OUTPUT = 0x2405;

    /// <summary>Takes a pointer to the period.</summary>
    public const ulong PERF_EVENT_IOC_PERIOD = 0x40082404;

    /// <summary>struct pollfd.</summary>
    public struct PollFd
    {
        public int Fd;
        public short Events;
        public short Returned;
    }

    private static long PerfEventOpenNumber => RuntimeInformation.ProcessArchitecture switch
    {
        Architecture.X64 => 298,
        Architecture.Arm64 => 241,
        Architecture other => throw new PlatformNotSupportedException($"recording runs on x86-64 and AArch64, not on {other}"),
    };

    /// <summary>perf_event_open(2): a file descriptor, closed on exec, or the negative error number.</summary>
    public static int PerfEventOpen(ReadOnlySpan<byte> attributes, int target, int cpu, ulong flags)
    {
        int fd = (int)Syscall(PerfEventOpenNumber, attributes, target, cpu, -1, flags | PERF_FLAG_FD_CLOEXEC);
        return fd >= 0 ? fd : -Marshal.GetLastPInvokeError();
    }

    /// <summary>What strerror(3) says of an error number.</summary>
    public static string Describe(int error) => Marshal.GetPInvokeErrorMessage(error);

    [LibraryImport("libc", EntryPoint = "syscall", SetLastError = true)]
    private static partial long Syscall(long number, ReadOnlySpan<byte> attributes, long processId, long cpu, long group, ulong flags);

    [LibraryImport("libc", EntryPoint = "mmap", SetLastError = true)]
    public static partial nint Mmap(nint address, nuint length, int protection, int flags, int fd, long offset);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int madvise(nint address, nuint length, int advice);

    [LibraryImport("libc", EntryPoint = "munmap", SetLastError = true)]
    public static partial int Munmap(nint address, nuint length);

    [LibraryImport("libc", EntryPoint = "ioctl", SetLastError = true)]
    public static partial int Ioctl(int fd, ulong request, long argument);

    [LibraryImport("libc", EntryPoint = "poll", SetLastError = true)]
    public static partial int Poll(Span<PollFd> fds, ulong count, int timeoutMilliseconds);

    /// <summary>pidfd_open(2), since Linux 5.3: a file descriptor, readable once the process has ended, or -1.</summary>
    public static int PidfdOpen(int processId) => (int)Syscall(PidfdOpenNumber, processId, 0);

    [LibraryImport("libc", EntryPoint = "syscall", SetLastError = true)]
    private static partial long Syscall(long number, long processId, long flags);

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "read", SetLastError = true)]
    public static unsafe partial nint Read(int fd, void* buffer, nuint count);

    [LibraryImport("libc", EntryPoint = "pread", SetLastError = true)]
    public static unsafe partial nint Read(int fd, void* buffer, nuint count, long offset);

    [LibraryImport("libc", EntryPoint = "close", SetLastError = true)]
    public static partial int Close(int fd);
}
