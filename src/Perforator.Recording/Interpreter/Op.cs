using Iced.Intel;

namespace Perforator.Recording.Interpreter;

/// <summary>
/// An instruction that this program executes itself, and not the CPU: a handler, and the operands as offsets into <see cref="CpuState"/>.
/// </summary>
internal unsafe struct Op
{
    /// <summary>Called with the instruction pointer behind the instruction already.</summary>
    public delegate*<Cpu, in Op, void> Execute;

    /// <summary>The first operand where it is a register: a byte offset into the CPU state.</summary>
    public ushort Register;

    /// <summary>Memory operand: offsets of base, index and segment base register, <see cref="CpuState.Zero"/> for none.</summary>
    public ushort Base, Index, Segment;

    /// <summary>Memory operand: the index is shifted left by this.</summary>
    public byte Scale;

    /// <summary>Of the operands, in bytes.</summary>
    public byte Size;

    /// <summary>The first operand is in memory.</summary>
    public bool IsMemory;

    /// <summary>Of a string instruction.</summary>
    public RepeatPrefix Repeat;

    public Mnemonic Mnemonic;

    /// <summary>Memory operand: displacement, or the absolute address for RIP-relative ones.</summary>
    public ulong Displacement;

    /// <summary>All ones, or the low 32 bits under an address-size prefix.</summary>
    public ulong AddressMask;

    /// <summary>Sign-extended immediate; the branch target for direct branches.</summary>
    public ulong Immediate;

    public ulong InstructionPointer, Next;
}
