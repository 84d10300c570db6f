using System.Buffers.Text;
using static Perforator.Recording.Syscalls;

namespace Perforator.Recording.Software;

/// <summary>
/// Chooses the CPU of the calling thread, the recorder, by that of the thread that it is about to stop. It keeps off that CPU where another is free: a thread that is let go
/// runs where it ran before, and would wait there for the recorder, which waits for it. Where all CPUs are busy it moves there: elsewhere it would keep a second thread waiting while
/// the CPU of the stopped one stands idle.
/// </summary>
/// <param name="loadAverages">Where to look for how many threads run: proc_loadavg(5).</param>
internal sealed class Placement(string loadAverages = "/proc/loadavg") : IDisposable
{
    /// <summary>A nice value: a recorder that waits for a CPU while it holds a thread stopped is the target's loss.</summary>
    private const int Urgent = -10;

    /// <summary>Nanoseconds, the least there is: the shorter its slices, the sooner a thread that wakes gets a CPU.</summary>
    private const ulong Slice = 100_000;

    private const ulong OneNanosecond = 1;

    private const int MaskWords = 16, NoCpu = -1;

    private readonly ulong[] allowed = new ulong[MaskWords], mask = new ulong[MaskWords];
    private readonly ProcFile load = new(loadAverages);
    private int shared = NoCpu;

    /// <summary>Whether the calling thread is where the thread that it is to stop runs, and must sleep for that one to run.</summary>
    public bool SharesCpu => shared != NoCpu;

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

    /// <summary>Moves off a CPU where another is free, else to it.</summary>
    /// <param name="cpu">Its number. Without effect where the caller may not run there.</param>
    public void MoveFor(int cpu)
    {
        if (cpu < 0 || cpu >= MaskWords * 64 || (allowed[cpu / 64] & (1UL << (cpu % 64))) == 0)
            return;
        if (AllBusy)
            Share(cpu);
        else if (SharesCpu || sched_getcpu() == cpu)
            Leave(cpu);
    }

    public void Dispose() => load.Dispose();

    /// <summary>Whether, besides the caller, as many threads of this machine run or want to as it has CPUs.</summary>
    private bool AllBusy
    {
        get
        {
            // Three averages, then running/all.
            ReadOnlySpan<byte> text = load.Read(stackalloc byte[64]);
            for (int i = 0; i < 3; i++)
                text = text[(text.IndexOf((byte)' ') + 1)..];
            return Utf8Parser.TryParse(text, out int running, out _) && running > Machine.OnlineCpus.Count;
        }
    }

    private void Share(int cpu)
    {
        if (shared == cpu)
            return;
        Array.Clear(mask);
        mask[cpu / 64] = 1UL << (cpu % 64);
        shared = TryApply() ? cpu : NoCpu;
    }

    private void Leave(int cpu)
    {
        allowed.CopyTo(mask, 0);
        mask[cpu / 64] &= ~(1UL << (cpu % 64));
        if (mask.AsSpan().ContainsAnyExcept(0UL) && TryApply())
            shared = NoCpu;
        else
            Share(cpu);
    }

    private unsafe bool TryApply()
    {
        fixed (ulong* bits = mask)
            return sched_setaffinity(0, mask.Length * sizeof(ulong), bits) == 0;
    }
}
