namespace Perforator.Recording.Interpreter;

/// <summary>
/// Instructions that the CPU may not execute for the thread, because it would trap (division) or change this process (control registers,
/// vector state as a whole).
/// </summary>
internal static unsafe class RareOps
{
    public static void PushMemory(Cpu cpu, in Op op) => cpu.Push(cpu.Operand(op));

    /// <summary>DIV of RDX:RAX, EDX:EAX or DX:AX. A division that traps is not interpreted.</summary>
    public static void Divide(Cpu cpu, in Op op)
    {
        ulong divisor = cpu.Operand(op);
        UInt128 dividend = Dividend(cpu, op);
        UInt128 quotient = divisor == 0 ? UInt128.MaxValue : dividend / divisor;
        if (quotient >> (8 * op.Size) == 0)
            SetQuotient(cpu, op, (ulong)quotient, (ulong)dividend - ((ulong)quotient * divisor));
        else
            BranchOps.NotInterpreted(cpu, op);
    }

    /// <summary>IDIV, like <see cref="Divide"/>.</summary>
    public static void DivideSigned(Cpu cpu, in Op op)
    {
        int bits = 8 * op.Size, unused = 64 - bits;
        long divisor = (long)(cpu.Operand(op) << unused) >> unused;
        Int128 dividend = (Int128)(Dividend(cpu, op) << (2 * unused)) >> (2 * unused);
        Int128 quotient = divisor switch { 0 => Int128.MaxValue, -1 => -dividend, _ => dividend / divisor };
        if (quotient >> (bits - 1) is var sign && (sign == 0 || sign == -1))
            SetQuotient(cpu, op, (ulong)quotient, (ulong)dividend - ((ulong)quotient * (ulong)divisor));
        else
            BranchOps.NotInterpreted(cpu, op);
    }

    /// <summary>
    /// PAUSE: a loop that writes nothing between two of them waits for another thread, which a copy of its memory will never show it.
    /// </summary>
    public static void Pause(Cpu cpu, in Op op)
    {
        if (cpu.HasPaused && !cpu.Memory.HasWritten)
            cpu.End(op, StopReason.SpinWait);
        cpu.HasPaused = true;
        cpu.Memory.Mark();
    }

    public static void ClearDirection(Cpu cpu, in Op op) => cpu.Flags &= ~Flags.DF;

    public static void SetDirection(Cpu cpu, in Op op) => cpu.Flags |= Flags.DF;

    /// <summary>VZEROUPPER: clears all but the low 16 bytes of registers 0 … 15.</summary>
    public static void ZeroUpper(Cpu cpu, in Op op)
    {
        for (int i = 0; i < 16; i++)
            new Span<byte>(cpu.State + CpuState.Vectors + (i * 64) + 16, 48).Clear();
    }

    /// <summary>VZEROALL: clears registers 0 … 15.</summary>
    public static void ZeroAll(Cpu cpu, in Op op) => new Span<byte>(cpu.State + CpuState.Vectors, 16 * 64).Clear();

    /// <summary>
    /// LDMXCSR. Reserved bits are a fault; exceptions stay masked, as they must not trap when this process executes the instructions that
    /// follow.
    /// </summary>
    public static void LoadMxcsr(Cpu cpu, in Op op)
    {
        uint value = cpu.Memory.Read<uint>(cpu.Address(op));
        if ((value & ~0xFFFFu) != 0)
            BranchOps.NotInterpreted(cpu, op);
        else
            *(uint*)(cpu.State + CpuState.Mxcsr) = value | ExtendedState.MxcsrExceptionMasks;
    }

    public static void StoreMxcsr(Cpu cpu, in Op op) => cpu.Memory.Write(cpu.Address(op), *(uint*)(cpu.State + CpuState.Mxcsr));

    /// <summary>FLDCW. Exceptions stay masked, as by <see cref="LoadMxcsr"/>.</summary>
    public static void LoadX87Control(Cpu cpu, in Op op) =>
        *(ushort*)(cpu.State + CpuState.X87) = (ushort)(cpu.Memory.Read<ushort>(cpu.Address(op)) | ExtendedState.ControlWordExceptionMasks);

    private static UInt128 Dividend(Cpu cpu, in Op op) =>
        ((UInt128)Cpu.Truncate(cpu.Register(CpuState.Rdx), op.Size) << (8 * op.Size)) | Cpu.Truncate(cpu.Register(CpuState.Rax), op.Size);

    private static void SetQuotient(Cpu cpu, in Op op, ulong quotient, ulong remainder)
    {
        cpu.SetRegister(CpuState.Rax, quotient, op.Size);
        cpu.SetRegister(CpuState.Rdx, remainder, op.Size);
    }
}
