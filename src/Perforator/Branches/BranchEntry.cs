namespace Perforator.Branches;

/// <summary>What the recording source said of one taken branch.</summary>
[Flags]
public enum BranchFlags : byte
{
    None = 0,

    /// <summary>The CPU predicted this branch wrongly. Sources that cannot know (the software recorder) never set it.</summary>
    Mispredicted = 1,

    /// <summary>The CPU predicted this branch rightly.</summary>
    Predicted = 2,

    /// <summary>Taken inside a transaction (Intel TSX).</summary>
    InTransaction = 4,

    /// <summary>The branch aborted a transaction (Intel TSX).</summary>
    Abort = 8,

    /// <summary>Recorded on a path that speculation took wrongly (AMD LbrExtV2); it did not retire and must not count.</summary>
    SpeculativeWrongPath = 16,

    /// <summary>
    /// Not a branch instruction but an interrupt or fault: the instruction it left from had not run (Arm BRBE, or types saved).
    /// </summary>
    Interrupt = 32,

    /// <summary>A conditional branch that fell through, as perf makes of Arm SPE's samples; code ran straight through it.</summary>
    NotTaken = 64,
}

/// <summary>One taken branch: the address of the branch instruction and of the instruction it went to.</summary>
public readonly record struct BranchEntry(RuntimeAddress From, RuntimeAddress To, BranchFlags Flags = BranchFlags.None);

/// <summary>
/// One sample of one thread: its instruction pointer and the branches it took before, newest first (as the hardware and
/// <c>perf script -F brstack</c> list them). The stack is valid only during the call that hands it over.
/// </summary>
public readonly ref struct BranchSample
{
    /// <summary>The process (thread group) id.</summary>
    public required int ProcessId { get; init; }

    /// <summary>The thread id.</summary>
    public required int ThreadId { get; init; }

    /// <summary>The source's clock in nanoseconds; 0 when it has none.</summary>
    public ulong Time { get; init; }

    /// <summary>The sampled instruction pointer; 0 when the source gave none.</summary>
    public RuntimeAddress InstructionPointer { get; init; }

    /// <summary>The instruction pointer is exact (PEBS, IBS, SPE) rather than some instructions late.</summary>
    public bool HasExactAddress { get; init; }

    /// <summary>Taken branches, newest first; empty when the event carried none.</summary>
    public required ReadOnlySpan<BranchEntry> Stack { get; init; }

    /// <summary>Return addresses of the callers after the newest branch, innermost first; empty when the source does not tell.</summary>
    public ReadOnlySpan<RuntimeAddress> Callers { get; init; }

    /// <summary>
    /// How many times this very stack counts: more than 1 where pre-aggregated inputs saw it so often, and where it stands for more
    /// branches than the software recorder could follow.
    /// </summary>
    public ulong Weight { get; init; }
}
