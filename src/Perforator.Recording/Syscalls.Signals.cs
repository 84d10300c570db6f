using System.Runtime.InteropServices;

namespace Perforator.Recording;

/// <summary>Signals that a file descriptor sends, fcntl(2), and what a signal-delivery-stop says.</summary>
internal static partial class Syscalls
{
    public const int SIGURG = 23;
    public const int SIGWINCH = 28;

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
}
