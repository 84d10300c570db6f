namespace Perforator.Disassembly;

/// <summary>How an instruction passes control on.</summary>
public enum InstructionKind : byte
{
    /// <summary>To the next instruction; traps and system calls included.</summary>
    Sequential,

    /// <summary>To its target or the next instruction.</summary>
    ConditionalBranch,

    /// <summary>Always to a target it names.</summary>
    UnconditionalBranch,

    /// <summary>Always to a target that a register or memory names: a jump table, a PLT entry, an indirect tail call.</summary>
    IndirectBranch,

    /// <summary>To a callee that it names, and back to the next instruction.</summary>
    Call,

    /// <summary>To a callee that a register or memory names, and back to the next instruction.</summary>
    IndirectCall,

    /// <summary>To the caller, or out of an interrupt.</summary>
    Return,
}

/// <summary>One decoded instruction, as far as control flow needs it.</summary>
/// <param name="Length">Size in bytes.</param>
/// <param name="Kind">How it passes control on.</param>
/// <param name="Target">Where a direct branch or call goes; 0 for all others.</param>
public readonly record struct Instruction(int Length, InstructionKind Kind, ulong Target)
{
    /// <summary>Whether this may be the source of a taken branch.</summary>
    public bool IsTransfer => Kind != InstructionKind.Sequential;
}

/// <summary>Decodes the instructions of one architecture.</summary>
public interface IInstructionDecoder
{
    /// <summary>
    /// Decodes the instruction at the start of <paramref name="code"/>, which the binary holds at <paramref name="address"/>.
    /// False when the bytes are no instruction or are cut; <see cref="Instruction.Length"/> then says how many to step over.
    /// </summary>
    bool TryDecode(ReadOnlySpan<byte> code, BinaryAddress address, out Instruction instruction);
}
