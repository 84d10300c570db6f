using System.Runtime.InteropServices;

namespace Perforator.Recording;

internal static partial class Syscalls
{
    public const ulong SCHED_FLAG_RESET_ON_FORK = 1;
    public const int PR_SET_TIMERSLACK = 29;

    /// <summary>x86-64's.</summary>
    public const long SYS_sched_setattr = 314;

    /// <summary>struct sched_attr of sched_setattr(2), as long as it was at first; policy 0 is SCHED_OTHER.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 48)]
    public struct SchedulingAttributes
    {
        [FieldOffset(0)]
        public uint Size;
        [FieldOffset(8)]
        public ulong Flags;
        [FieldOffset(16)]
        public int Nice;
        /// <summary>For an ordinary thread the slice in nanoseconds, since Linux 6.12.</summary>
        [FieldOffset(24)]
        public ulong Runtime;
    }

    [LibraryImport("libc", EntryPoint = "syscall", SetLastError = true)]
    public static unsafe partial long sched_setattr(long number, int thread, SchedulingAttributes* attributes, uint flags);

    /// <summary>The CPU that the calling thread runs on.</summary>
    [LibraryImport("libc")]
    public static partial int sched_getcpu();

    /// <summary>Here the calling thread's, with <paramref name="thread"/> 0.</summary>
    [LibraryImport("libc", SetLastError = true)]
    public static unsafe partial int sched_getaffinity(int thread, nint size, ulong* mask);

    [LibraryImport("libc", SetLastError = true)]
    public static unsafe partial int sched_setaffinity(int thread, nint size, ulong* mask);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int prctl(int option, ulong first, ulong second, ulong third, ulong fourth);
}
