namespace Perforator.Recording.Interpreter;

/// <summary>A run of instructions up to a branch, lowered. The last op sets the instruction pointer.</summary>
/// <remarks>After a pause little of what is decoded is in the CPU's caches: what executing a translated block takes is in here, and not in its ops.</remarks>
internal sealed unsafe class Block
{
    /// <summary>Where it begins; no address of code once it was forgotten.</summary>
    public required ulong Address { get; set; }

    public required Op* Ops { get; init; }

    /// <summary>Ops, the closing one included.</summary>
    public required int OpCount { get; init; }

    public required int InstructionCount { get; init; }

    /// <summary>The first part there is native code of; without code where there is none.</summary>
    public NativeRun FirstRun { get; private set; }

    /// <summary>Further parts there is native code of, in order.</summary>
    public NativeRun[] MoreRuns { get; private set; } = [];

    /// <summary>The last instruction's address, where it leads when it is a direct branch, and what is behind it.</summary>
    public required ulong LastInstruction { get; init; }

    /// <inheritdoc cref="LastInstruction"/>
    public required ulong Target { get; init; }

    /// <inheritdoc cref="LastInstruction"/>
    public required ulong FallThrough { get; init; }

    /// <summary>Blocks that were executed after this one.</summary>
    public Block? Next { get; private set; }

    /// <inheritdoc cref="Next"/>
    public Block? OtherNext { get; private set; }

    /// <summary>How often it was executed, counted as far as matters.</summary>
    public int Executions { get; set; }

    /// <param name="runs">The parts there is native code of, in order.</param>
    public void SetNative(NativeRun[] runs)
    {
        if (runs.Length > 0)
            (FirstRun, MoreRuns) = (runs[0], runs[1..]);
    }

    /// <summary>Remembers that a block was executed after this one.</summary>
    public void LeadsTo(Block block) => (Next, OtherNext) = (block, Next);
}
