using Perforator.Branches;

namespace Perforator.Recording.Software;

/// <summary>Where a burst's thread is.</summary>
internal enum BurstStage
{
    /// <summary>Asked to stop.</summary>
    Stopping,

    /// <summary>On its way, by itself, to the system call that the interpreter has reached.</summary>
    EnteringSystemCall,

    /// <summary>In the system call.</summary>
    InSystemCall,
}

/// <summary>One sample in the making: the thread that is traced for it and the branches followed so far.</summary>
internal sealed class Burst(TargetThread target, TracedThread thread, BranchEntry[] branches)
{
    public TargetThread Target { get; } = target;

    public TracedThread Thread { get; } = thread;

    /// <summary>Oldest first.</summary>
    public BranchEntry[] Branches { get; } = branches;

    public int BranchCount { get; set; }

    public long InstructionCount { get; set; }

    public BurstStage Stage { get; set; } = BurstStage.Stopping;

    /// <summary>The <see cref="System.Diagnostics.Stopwatch"/> time stamp at which the thread was last asked to stop, found stopped or let go.</summary>
    public long Since { get; set; }

    /// <summary>Where the thread must come by if its path is the interpreted one.</summary>
    public ulong ExpectedInstructionPointer { get; set; }

    public ulong ExpectedStackPointer { get; set; }
}
