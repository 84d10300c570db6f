using System.Runtime.InteropServices;

namespace Perforator.Recording;

/// <summary>Signals that a file descriptor sends, fcntl(2), and what a signal-delivery-stop says.</summary>
internal static partial class Syscalls
{
    public const int SIGURG = 23;
    public const int SIGWINCH = 28;

    public const int SA_RESTART = 0x10000000;
    public const nint SIG_IGN = 1;

    /// <summary>x86-64's.</summary>
    public const int SYS_ptrace = 101;

    public const int PTRACE_CONT = 7;
    public const int PTRACE_GETSIGINFO = 0x4202;


    private const int F_SETFL = 4, F_SETSIG = 10, F_SETOWN_EX = 15, O_ASYNC = 0x2000, F_OWNER_TID = 0;

    /// <summary>struct f_owner_ex.</summary>
    private struct FileOwner
    {
        public int Type;
        public int Id;
    }

    /// <summary>Has a file descriptor send a signal to a thread whenever it would be ready.</summary>
    public static unsafe bool SendSignal(int fd, int signal, int threadId)
    {
        FileOwner owner = new() { Type = F_OWNER_TID, Id = threadId };
        return Fcntl(fd, F_SETFL, O_ASYNC) == 0 && Fcntl(fd, F_SETSIG, signal) == 0 && Fcntl(fd, F_SETOWN_EX, (nint)(&owner)) == 0;
    }

    [LibraryImport("libc")]
    public static partial uint geteuid();

    [LibraryImport("libc", EntryPoint = "fcntl", SetLastError = true)]
    private static partial int Fcntl(int fd, int command, nint argument);

    /// <summary>struct sigevent.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 64)]
    private struct SignalEvent
    {
        [FieldOffset(8)] public int Signal;
        [FieldOffset(12)] public int Notify;
        [FieldOffset(16)] public int ThreadId;
    }

    /// <summary>A timer that sends a signal to one thread of this process.</summary>
    /// <exception cref="UserErrorException">There is none to be had.</exception>
    public static unsafe nint CreateThreadTimer(int signal, int threadId)
    {
        const int CLOCK_MONOTONIC = 1, SIGEV_THREAD_ID = 4;
        SignalEvent to = new() { Signal = signal, Notify = SIGEV_THREAD_ID, ThreadId = threadId };
        nint timer;
        return timer_create(CLOCK_MONOTONIC, &to, &timer) == 0 ? timer
            : throw new UserErrorException(
                "the software recorder can have no timer, which ends stops that last too long: raise the limit of pending signals (ulimit -i)");
    }

    /// <summary>Has a timer strike after a time, and then again and again; zero stops it.</summary>
    public static unsafe void SetTimer(nint timer, TimeSpan first, TimeSpan next)
    {
        long* times =
            stackalloc long[4] { (long)next.TotalSeconds, (long)(next.TotalNanoseconds % 1e9), (long)first.TotalSeconds, (long)(first.TotalNanoseconds % 1e9) };
        _ = timer_settime(timer, 0, times, null);
    }

    [LibraryImport("libc")]
    private static unsafe partial int timer_create(int clock, SignalEvent* to, nint* timer);

    [LibraryImport("libc")]
    private static unsafe partial int timer_settime(nint timer, int flags, long* times, long* before);

    [LibraryImport("libc")]
    public static partial int timer_delete(nint timer);
}
