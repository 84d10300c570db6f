namespace Perforator.Recording.Interpreter;

/// <summary>
/// One instruction lowered to what executing it needs: a handler for exactly its operation, operand size and operand kinds, and
/// the operands as offsets into <see cref="CpuState"/>.
/// </summary>
internal unsafe struct Op
{
    public delegate*<Cpu, Op*, void> Execute;

    /// <summary>Register operands: byte offsets into the CPU state (AH is 1).</summary>
    public ushort Destination, Source;

    /// <summary>Memory operand: offsets of base, index and segment base register, <see cref="CpuState.Zero"/> for none.</summary>
    public ushort Base, Index, Segment;

    /// <summary>Memory operand: the index is shifted left by this.</summary>
    public byte Scale;

    /// <summary>Operand or memory size in bytes.</summary>
    public byte Size;

    /// <summary>Replayed instruction: what it needs besides its registers.</summary>
    public ReplayNeeds Needs;

    /// <summary>It neither reads nor writes flags.</summary>
    public bool LeavesFlags;

    /// <summary>Memory operand: displacement, or the absolute address for RIP-relative ones.</summary>
    public ulong Displacement;

    /// <summary>All ones, or the low 32 bits under an address-size prefix.</summary>
    public ulong AddressMask;

    /// <summary>Sign-extended immediate; the branch target for direct branches.</summary>
    public ulong Immediate;

    public ulong InstructionPointer, Next;

    /// <summary>Replayed instruction: its native code. Not interpreted instruction: its Iced mnemonic.</summary>
    public nint Native;
}

/// <summary>What replaying an instruction natively needs and leaves.</summary>
[Flags]
internal enum ReplayNeeds : byte
{
    None = 0,
    ReadsFlags = 1,
    WritesFlags = 2,

    /// <summary>The memory operand must be aligned to its size; the CPU would fault otherwise.</summary>
    Aligned = 4,

    /// <summary>It may unmask x87 exceptions, which must not trap in this process.</summary>
    LoadsX87Control = 8,

    /// <summary>Its memory operand comes first, so that it may be written to.</summary>
    WritesMemory = 16,
}
