using Iced.Intel;

namespace Perforator.Recording.Interpreter;

/// <summary>
/// Instructions that the CPU may not execute for the thread, because it would trap (division) or change this process (control registers,
/// vector state as a whole).
/// </summary>
internal static unsafe class RareOps
{
    public static void PushMemory(Cpu cpu, in Instruction instruction) => cpu.Push(cpu.Operand(instruction));

    /// <summary>DIV of RDX:RAX, EDX:EAX or DX:AX. A division that traps is not interpreted.</summary>
    public static void Divide(Cpu cpu, in Instruction instruction)
    {
        ulong divisor = cpu.Operand(instruction);
        UInt128 dividend = Dividend(cpu, instruction);
        UInt128 quotient = divisor == 0 ? UInt128.MaxValue : dividend / divisor;
        if (quotient >> (8 * Handlers.SizeOf(instruction)) == 0)
            SetQuotient(cpu, instruction, (ulong)quotient, (ulong)dividend - ((ulong)quotient * divisor));
        else
            BranchOps.NotInterpreted(cpu, instruction);
    }

    /// <summary>IDIV, like <see cref="Divide"/>.</summary>
    public static void DivideSigned(Cpu cpu, in Instruction instruction)
    {
        int bits = 8 * Handlers.SizeOf(instruction), unused = 64 - bits;
        long divisor = (long)(cpu.Operand(instruction) << unused) >> unused;
        Int128 dividend = (Int128)(Dividend(cpu, instruction) << (2 * unused)) >> (2 * unused);
        Int128 quotient = divisor switch { 0 => Int128.MaxValue, -1 => -dividend, _ => dividend / divisor };
        if (quotient >> (bits - 1) is var sign && (sign == 0 || sign == -1))
            SetQuotient(cpu, instruction, (ulong)quotient, (ulong)dividend - ((ulong)quotient * (ulong)divisor));
        else
            BranchOps.NotInterpreted(cpu, instruction);
    }

    /// <summary>
    /// PAUSE: a loop that writes nothing between two of them waits for another thread, which a copy of its memory will never show it.
    /// </summary>
    public static void Pause(Cpu cpu, in Instruction instruction)
    {
        if (cpu.HasPaused && !cpu.Memory.HasWritten)
            cpu.End(instruction, StopReason.SpinWait);
        cpu.HasPaused = true;
        cpu.Memory.Mark();
    }

    public static void ClearDirection(Cpu cpu, in Instruction instruction) => cpu.Flags &= ~Flags.DF;

    public static void SetDirection(Cpu cpu, in Instruction instruction) => cpu.Flags |= Flags.DF;

    /// <summary>VZEROUPPER: clears all but the low 16 bytes of registers 0 … 15.</summary>
    public static void ZeroUpper(Cpu cpu, in Instruction instruction)
    {
        for (int i = 0; i < 16; i++)
            new Span<byte>(cpu.State + CpuState.Vectors + (i * 64) + 16, 48).Clear();
    }

    /// <summary>VZEROALL: clears registers 0 … 15.</summary>
    public static void ZeroAll(Cpu cpu, in Instruction instruction) => new Span<byte>(cpu.State + CpuState.Vectors, 16 * 64).Clear();

    /// <summary>
    /// LDMXCSR. Reserved bits are a fault; exceptions stay masked, as they must not trap when this process executes the instructions that
    /// follow.
    /// </summary>
    public static void LoadMxcsr(Cpu cpu, in Instruction instruction)
    {
        uint value = (uint)cpu.Memory.Read(cpu.Address(instruction), sizeof(uint));
        if ((value & ~0xFFFFu) != 0)
            BranchOps.NotInterpreted(cpu, instruction);
        else
            *(uint*)(cpu.State + CpuState.Mxcsr) = value | ExtendedState.MxcsrExceptionMasks;
    }

    public static void StoreMxcsr(Cpu cpu, in Instruction instruction) =>
        cpu.Memory.Write(cpu.Address(instruction), *(uint*)(cpu.State + CpuState.Mxcsr), sizeof(uint));

    /// <summary>FLDCW. Exceptions stay masked, as by <see cref="LoadMxcsr"/>.</summary>
    public static void LoadX87Control(Cpu cpu, in Instruction instruction) =>
        *(ushort*)(cpu.State + CpuState.X87) =
            (ushort)(cpu.Memory.Read(cpu.Address(instruction), sizeof(ushort)) | ExtendedState.ControlWordExceptionMasks);

    private static UInt128 Dividend(Cpu cpu, in Instruction instruction)
    {
        int size = Handlers.SizeOf(instruction);
        return ((UInt128)Cpu.Truncate(cpu.Register(CpuState.Rdx), size) << (8 * size)) | Cpu.Truncate(cpu.Register(CpuState.Rax), size);
    }

    private static void SetQuotient(Cpu cpu, in Instruction instruction, ulong quotient, ulong remainder)
    {
        cpu.SetRegister(CpuState.Rax, quotient, Handlers.SizeOf(instruction));
        cpu.SetRegister(CpuState.Rdx, remainder, Handlers.SizeOf(instruction));
    }
}
