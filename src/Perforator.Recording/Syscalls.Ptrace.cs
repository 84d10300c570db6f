using System.Runtime.InteropServices;

namespace Perforator.Recording;

/// <summary>ptrace(2), waitid(2) and process_vm_readv(2), as the software recorder needs them.</summary>
internal static partial class Syscalls
{
    public const int PTRACE_SYSCALL = 24;
    public const int PTRACE_DETACH = 17;
    public const int PTRACE_GETREGSET = 0x4204;
    public const int PTRACE_SEIZE = 0x4206;

    /// <summary>System-call stops report SIGTRAP | 0x80, which no signal-delivery stop does.</summary>
    public const int PTRACE_O_TRACESYSGOOD = 1;

    public const int NT_PRSTATUS = 1;
    public const int NT_X86_XSTATE = 0x202;

    public const int P_PID = 1;
    public const int WNOHANG = 1;
    public const int WSTOPPED = 2;
    public const int WEXITED = 4;
    public const int WNOWAIT = 0x01000000;
    public const int __WALL = 0x40000000;
    public const int CLD_EXITED = 1;
    public const int CLD_KILLED = 2;
    public const int CLD_DUMPED = 3;

    public const int SIGTRAP = 5;

    /// <summary>struct user_regs_struct of x86-64 (sys/user.h), as NT_PRSTATUS gives it.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct UserRegisters
    {
        public ulong R15, R14, R13, R12, Rbp, Rbx, R11, R10, R9, R8, Rax, Rcx, Rdx, Rsi, Rdi;
        public ulong OrigRax, Rip, Cs, Eflags, Rsp, Ss, FsBase, GsBase, Ds, Es, Fs, Gs;
    }

    /// <summary>struct iovec.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct IoVector
    {
        public nint Base;
        public nint Length;
    }

    /// <summary>siginfo_t as waitid fills it for SIGCHLD: 128 bytes, of which these matter.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 128)]
    public struct ChildSignalInfo
    {
        [FieldOffset(8)] public int Code;
        [FieldOffset(16)] public int Pid;
        [FieldOffset(24)] public int Status;
    }

    [LibraryImport("libc", SetLastError = true)]
    public static partial nint ptrace(long request, int thread, nint address, nint data);

    [LibraryImport("libc", SetLastError = true)]
    public static unsafe partial int waitid(int idType, int id, ChildSignalInfo* info, int options);

    [LibraryImport("libc", SetLastError = true)]
    public static unsafe partial nint process_vm_readv(
        int process, IoVector* local, ulong localCount, IoVector* remote, ulong remoteCount, ulong flags);

    [LibraryImport("libc")]
    public static partial int gettid();

    [LibraryImport("libc")]
    public static partial int sched_yield();

    [LibraryImport("libc")]
    private static unsafe partial int nanosleep(long* duration, long* remaining);

    /// <summary>Sleeps with the kernel's precision, some 50 µs, where Thread.Sleep has milliseconds.</summary>
    public static unsafe void Sleep(TimeSpan duration)
    {
        long* seconds = stackalloc long[2] { (long)duration.TotalSeconds, (long)(duration.TotalNanoseconds % 1e9) };
        _ = nanosleep(seconds, null);
    }

    [LibraryImport("libc")]
    private static unsafe partial int clock_gettime(int clock, long* time);

    /// <summary>CPU time of the calling thread.</summary>
    public static unsafe TimeSpan ThreadCpuTime()
    {
        const int CLOCK_THREAD_CPUTIME_ID = 3;
        long* time = stackalloc long[2];
        _ = clock_gettime(CLOCK_THREAD_CPUTIME_ID, time);
        return TimeSpan.FromSeconds(time[0]) + TimeSpan.FromMicroseconds(time[1] / 1000.0);
    }
}
