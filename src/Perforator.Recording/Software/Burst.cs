using Perforator.Branches;

namespace Perforator.Recording.Software;

/// <summary>Where a burst's thread is.</summary>
internal enum BurstStage
{
    /// <summary>Asked to stop.</summary>
    Stopping,

    /// <summary>Running by itself along the interpreted path, for the rest of the window or to the system call at the path's end.</summary>
    Running,

    /// <summary>Asked to stop again at the end of the window.</summary>
    Ending,

    /// <summary>In the system call.</summary>
    InSystemCall,

    /// <summary>In a system call that the stack does not span; to be let go behind it.</summary>
    Leaving,
}

/// <summary>Room for the branches of one burst.</summary>
internal sealed class BranchBuffer(int capacity)
{
    /// <summary>Oldest first.</summary>
    public BranchEntry[] Branches { get; } = new BranchEntry[capacity];

    /// <summary>The thread's state after each of them; see <see cref="Interpreter.Cpu.Fingerprint"/>.</summary>
    public ulong[] Fingerprints { get; } = new ulong[capacity];
}

/// <summary>One sample in the making: the thread that is traced for it and the branches followed so far.</summary>
internal sealed class Burst(TargetThread target, TracedThread thread, BranchBuffer buffer)
{
    public TargetThread Target { get; } = target;

    public TracedThread Thread { get; } = thread;

    public BranchBuffer Buffer { get; } = buffer;

    /// <summary>How much longer the thread is to run by itself.</summary>
    public TimeSpan Window { get; set; } = ObservationWindow.Length;

    /// <summary>Whether the interpreted path ends at a system call.</summary>
    public bool ReachedSystemCall { get; set; }

    /// <summary>Where the last interpreted stretch begins among the branches.</summary>
    public int StretchStart { get; set; }

    /// <summary>Branches on its interpreted path.</summary>
    public int BranchCount { get; set; }

    /// <summary>How many of the branches the thread had taken when its window ended; null when that is not known.</summary>
    public int? Taken { get; set; }

    public long InstructionCount { get; set; }

    /// <summary>Whether the time of a stop ended its path.</summary>
    public bool RanOutOfTime { get; set; }

    public BurstStage Stage { get; set; } = BurstStage.Stopping;

    /// <summary>The <see cref="System.Diagnostics.Stopwatch"/> time stamp at which the thread was last found stopped, or was let go.</summary>
    public long Since { get; set; }

    /// <summary>The scheduler's account of the thread when it was last asked to stop, stood still or was given a CPU.</summary>
    public SchedulerReading Standing { get; set; }

    /// <summary>Where the thread must come by if its path is the interpreted one.</summary>
    public ulong ExpectedInstructionPointer { get; set; }

    public ulong ExpectedStackPointer { get; set; }
}
