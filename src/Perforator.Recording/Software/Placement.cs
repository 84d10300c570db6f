using static Perforator.Recording.Syscalls;

namespace Perforator.Recording.Software;

/// <summary>
/// Keeps the calling thread, the recorder, off the CPU of the thread that it is about to stop: a thread that is let go runs where it ran
/// before, and would wait there for the recorder, which waits for it.
/// </summary>
internal sealed class Placement
{
    /// <summary>A nice value: a recorder that waits for a CPU while it holds a thread stopped is the target's loss.</summary>
    private const int Urgent = -10;

    /// <summary>Nanoseconds, the least there is: the shorter its slices, the sooner a thread that wakes gets a CPU.</summary>
    private const ulong Slice = 100_000;

    private const ulong OneNanosecond = 1;

    private readonly ulong[] allowed = new ulong[16], mask = new ulong[16];

    /// <summary>Makes the calling thread urgent, as far as it may without CAP_SYS_NICE, and notes where it may run.</summary>
    public unsafe void Begin()
    {
        // Threads that the runtime starts from here are not urgent.
        SchedulingAttributes attributes = new() { Size = (uint)sizeof(SchedulingAttributes), Flags = SCHED_FLAG_RESET_ON_FORK, Nice = Urgent, Runtime = Slice };
        _ = sched_setattr(SYS_sched_setattr, 0, &attributes, 0);
        _ = prctl(PR_SET_TIMERSLACK, OneNanosecond, 0, 0, 0);
        fixed (ulong* bits = allowed)
            if (sched_getaffinity(0, allowed.Length * sizeof(ulong), bits) != 0)
                Array.Clear(allowed);
    }

    /// <summary>Leaves a CPU, when the caller is on it and may run on another.</summary>
    /// <param name="cpu">Its number; another CPU than that of the last call becomes usable again.</param>
    public unsafe void LeaveTo(int cpu)
    {
        if (cpu < 0 || cpu >= allowed.Length * 64 || sched_getcpu() != cpu)
            return;
        allowed.CopyTo(mask, 0);
        mask[cpu / 64] &= ~(1UL << (cpu % 64));
        if (!mask.AsSpan().ContainsAnyExcept(0UL))
            return;
        fixed (ulong* bits = mask)
            _ = sched_setaffinity(0, mask.Length * sizeof(ulong), bits);
    }
}
