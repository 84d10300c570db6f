using static Perforator.Recording.Syscalls;

namespace Perforator.Recording.Software;

/// <summary>
/// Makes the calling thread one that is given a CPU at once: a recorder that waits for one while it holds a thread stopped is the target's
/// loss.
/// </summary>
internal static class Urgency
{
    private const int Nice = -10;

    /// <summary>Nanoseconds, the least there is: the shorter its slices, the sooner a thread that wakes gets a CPU (Linux 6.12).</summary>
    private const ulong Slice = 100_000;

    private const ulong OneNanosecond = 1;

    /// <summary>Does what this process may; without CAP_SYS_NICE that is less.</summary>
    public static unsafe void Ask()
    {
        // Threads that the runtime starts from here are not urgent.
        SchedulingAttributes attributes =
            new() { Size = (uint)sizeof(SchedulingAttributes), Flags = SCHED_FLAG_RESET_ON_FORK, Nice = Nice, Runtime = Slice };
        _ = sched_setattr(SYS_sched_setattr, 0, &attributes, 0);
        _ = prctl(PR_SET_TIMERSLACK, OneNanosecond, 0, 0, 0);
    }
}
