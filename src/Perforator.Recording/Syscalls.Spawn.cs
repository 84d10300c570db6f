using System.Runtime.InteropServices;

namespace Perforator.Recording;

/// <summary>posix_spawn(3) and what its caller needs besides.</summary>
internal static partial class Syscalls
{
    public const short POSIX_SPAWN_SETSIGDEF = 0x04;
    public const short POSIX_SPAWN_SETSIGMASK = 0x08;
    public const int SIGCHLD = 17;
    public const int SA_NOCLDSTOP = 1;

    /// <summary>Room for glibc's and musl's posix_spawnattr_t (336 bytes in both).</summary>
    public const int SpawnAttributesSize = 512;

    /// <summary>Room for sigset_t (128 bytes).</summary>
    public const int SignalSetSize = 128;

    /// <summary>struct sigaction of glibc and musl on x86-64 and AArch64.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public unsafe struct SignalAction
    {
        public nint Handler;
        public fixed ulong Mask[16];
        public int Flags;
        public nint Restorer;
    }

    [LibraryImport("libc")]
    public static unsafe partial int posix_spawnp(
        int* pid, byte* file, void* fileActions, void* attributes, byte** arguments, byte** environment);

    [LibraryImport("libc")]
    public static unsafe partial int posix_spawnattr_init(void* attributes);

    [LibraryImport("libc")]
    public static unsafe partial int posix_spawnattr_destroy(void* attributes);

    [LibraryImport("libc")]
    public static unsafe partial int posix_spawnattr_setflags(void* attributes, short flags);

    [LibraryImport("libc")]
    public static unsafe partial int posix_spawnattr_setsigdefault(void* attributes, void* signals);

    [LibraryImport("libc")]
    public static unsafe partial int posix_spawnattr_setsigmask(void* attributes, void* signals);

    [LibraryImport("libc")]
    public static unsafe partial int sigfillset(void* signals);

    [LibraryImport("libc")]
    public static unsafe partial int sigemptyset(void* signals);

    [LibraryImport("libc", SetLastError = true)]
    public static unsafe partial int sigaction(int signal, SignalAction* action, SignalAction* previous);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int kill(int process, int signal);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int tgkill(int process, int thread, int signal);
}
