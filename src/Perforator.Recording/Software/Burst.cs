using Perforator.Branches;
using Perforator.Recording.Interpreter;

namespace Perforator.Recording.Software;

/// <summary>Where a burst's thread is.</summary>
internal enum BurstStage
{
    /// <summary>Asked to stop.</summary>
    Stopping,

    /// <summary>Running by itself along the interpreted path to the system call at the path's end.</summary>
    Running,

    /// <summary>In the system call.</summary>
    InSystemCall,

    /// <summary>In a system call that the stack does not span; to be let go behind it.</summary>
    Leaving,
}

/// <summary>One sample in the making: the thread that is traced for it and the branches followed so far.</summary>
/// <param name="target">Whose sample it is.</param>
/// <param name="thread">The thread as traced.</param>
/// <param name="branches">Filled with the branches, oldest first.</param>
internal sealed class Burst(TargetThread target, TracedThread thread, BranchEntry[] branches)
{
    /// <summary>
    /// Branches that are followed first and not counted where there are enough. A random moment meets slow places (a cache miss, a page fault) more often than others: right behind it
    /// they would weigh too much, and what happens there seldom would look as if it happened all the time.
    /// </summary>
    public const int LeadIn = 1000;

    /// <summary>Where there are too few branches, one part in so many of them is the lead-in.</summary>
    private const int LeadInOfCut = 8;

    /// <summary>How many times a branch counts at most.</summary>
    private const double MostTimes = 4;

    public TargetThread Target { get; } = target;

    public TracedThread Thread { get; } = thread;

    public BranchEntry[] Branches { get; } = branches;

    /// <summary>How many branches to follow, the <see cref="LeadIn"/> included.</summary>
    public int MaxBranches { get; init; }

    /// <summary>How many times the usual time this sample stands for, when samples are rarer or denser for a while.</summary>
    public double Weight { get; init; } = 1;

    /// <summary>The thread's <see cref="TargetThread.MinorFaults"/> before it was asked to stop.</summary>
    public long MinorFaults { get; init; }

    /// <summary>Where the last interpreted stretch begins among the branches, behind the <see cref="LeadIn"/>.</summary>
    public int StretchStart { get; set; }

    /// <summary>Branches on its interpreted path.</summary>
    public int BranchCount { get; set; }

    public long InstructionCount { get; set; }

    /// <summary>Pages that its stretches touched up to the end of the <see cref="LeadIn"/>.</summary>
    public int PageCount { get; set; }

    public PathShape Shape => new(BranchCount, InstructionCount, PageCount);

    /// <summary>What ended its path.</summary>
    public StopReason End { get; set; }

    public BurstStage Stage { get; set; } = BurstStage.Stopping;

    /// <summary>The <see cref="System.Diagnostics.Stopwatch"/> time stamp at which the thread was last found stopped, or was let go.</summary>
    public long Since { get; set; }

    /// <summary>The scheduler's account of the thread when it was last asked to stop, or stood still.</summary>
    public SchedulerReading Standing { get; set; }

    /// <summary>Where the thread must come by if its path is the interpreted one.</summary>
    public ulong ExpectedInstructionPointer { get; set; }

    public ulong ExpectedStackPointer { get; set; }

    /// <summary>The branches that count.</summary>
    /// <param name="wanted">As many as there are, at most.</param>
    /// <param name="times">
    /// How many times each counts: more than once where there are too few because following them took too long. That takes longest where a path touches many pages, and such code
    /// would be thin.
    /// </param>
    public Span<BranchEntry> Counted(int wanted, out double times)
    {
        bool isCut = BranchCount < wanted + LeadIn && End is (StopReason.TimeUp or StopReason.Done);
        int first = Math.Clamp(BranchCount - wanted, isCut ? Math.Min(BranchCount / LeadInOfCut, LeadIn) : 0, LeadIn);
        Span<BranchEntry> counted = Branches.AsSpan(first, Math.Min(wanted, BranchCount - first));
        times = isCut && counted.Length > 0 ? Math.Clamp(wanted / (double)counted.Length, 1, MostTimes) : 1;
        return counted;
    }
}
