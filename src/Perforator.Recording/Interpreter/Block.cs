namespace Perforator.Recording.Interpreter;

/// <summary>A run of instructions up to a branch, lowered. The last op sets the instruction pointer.</summary>
internal sealed unsafe class Block
{
    public required ulong Address { get; init; }

    public required Op* Ops { get; init; }

    /// <summary>Ops, the closing one included.</summary>
    public required int OpCount { get; init; }

    public required int InstructionCount { get; init; }

    /// <summary>The parts there is native code of, in order.</summary>
    public NativeRun[] Native { get; set; } = [];

    /// <summary>How often it was executed, counted as far as matters.</summary>
    public int Executions { get; set; }

    /// <summary>The code it was decoded from when that may change without a new mapping (JIT); else empty.</summary>
    public required byte[] VolatileCode { get; init; }

    /// <summary>The burst in which <see cref="VolatileCode"/> was last compared.</summary>
    public long Checked { get; set; }
}
