using System.Numerics;

namespace Perforator.Recording.Interpreter;

/// <summary>
/// Instructions that the CPU may not execute for the thread, because it would trap (division), address beyond their operand (bit tests
/// in memory) or change this process (control registers, vector state as a whole).
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

    /// <summary>
    /// BT, BTS, BTR, BTC with a bit string in memory, indexed by a register: the bit offset counts from the operand's first byte, over any
    /// distance.
    /// </summary>
    public static void TestBitInMemory(Cpu cpu, in Op op)
    {
        int bits = 8 * op.Size;
        long index = (long)(cpu.Register(op.Source) << (64 - bits)) >> (64 - bits);
        ulong address = cpu.Address(op) + (ulong)((index >> BitOperations.Log2((uint)bits)) * op.Size);
        ulong mask = 1UL << (int)(index & (bits - 1));
        ulong value = cpu.Memory.Read(address, op.Size);
        ulong flags = (cpu.Flags & ~Flags.CF) | ((value & mask) != 0 ? Flags.CF : 0);
        if (op.Mnemonic != Iced.Intel.Mnemonic.Bt)
            cpu.Memory.Write(
                address, op.Mnemonic switch
                {
                    Iced.Intel.Mnemonic.Bts => value | mask,
                    Iced.Intel.Mnemonic.Btr => value & ~mask,
                    _ => value ^ mask
                }, op.Size);
        cpu.Flags = flags;
    }

    public static void PushFlags(Cpu cpu, in Op op) => cpu.Push(cpu.Flags & ~0x30000UL);

    public static void PopFlags(Cpu cpu, in Op op)
    {
        // What user mode can change: the status flags, TF, DF, NT, AC, ID.
        const ulong Changeable = Flags.Status | 0x100 | Flags.DF | 0x4000 | 0x40000 | 0x200000;
        cpu.Flags = (cpu.Flags & ~Changeable) | (cpu.Pop() & Changeable);
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

    /// <summary>
    /// XSAVE, XSAVEC: remembers the state instead of laying it out in memory, where only XRSTOR looks. EDX:EAX selects the components;
    /// vectors and opmasks go together.
    /// </summary>
    public static void SaveState(Cpu cpu, in Op op)
    {
        if (!HasVectors(cpu))
            BranchOps.NotInterpreted(cpu, op);
        else
            cpu.SavedStates[cpu.Address(op)] = new SavedState(
                (uint)cpu.Register(CpuState.Rax), *(uint*)(cpu.State + CpuState.Mxcsr), Registers(cpu).ToArray());
    }

    /// <summary>XRSTOR of what was saved on this path.</summary>
    public static void RestoreState(Cpu cpu, in Op op)
    {
        const uint X87 = 1;
        uint components = (uint)cpu.Register(CpuState.Rax);
        if (!HasVectors(cpu) || !cpu.SavedStates.TryGetValue(cpu.Address(op), out SavedState? saved)
            || (components & X87 & ~saved.Components) != 0)
        {
            BranchOps.NotInterpreted(cpu, op);
            return;
        }
        Span<byte> registers = Registers(cpu);
        int length = (components & X87) != 0 ? registers.Length : CpuState.X87 - CpuState.Opmasks;
        saved.Registers.AsSpan(0, length).CopyTo(registers);
        *(uint*)(cpu.State + CpuState.Mxcsr) = saved.Mxcsr;
    }

    public static void ReadFsBase(Cpu cpu, in Op op) => cpu.Register(op.Destination) = cpu.Register(CpuState.FsBase);

    /// <summary>Opmasks, vectors, and x87 registers behind them.</summary>
    private static Span<byte> Registers(Cpu cpu) => new(cpu.State + CpuState.Opmasks, CpuState.PageAddresses - CpuState.Opmasks);

    private static bool HasVectors(Cpu cpu)
    {
        const uint VectorsAndOpmasks = 0xE6;
        return ((uint)cpu.Register(CpuState.Rax) & VectorsAndOpmasks) == VectorsAndOpmasks;
    }

    private static UInt128 Dividend(Cpu cpu, in Op op) =>
        ((UInt128)Cpu.Truncate(cpu.Register(CpuState.Rdx), op.Size) << (8 * op.Size)) | Cpu.Truncate(cpu.Register(CpuState.Rax), op.Size);

    private static void SetQuotient(Cpu cpu, in Op op, ulong quotient, ulong remainder)
    {
        cpu.SetRegister(CpuState.Rax, quotient, op.Size);
        cpu.SetRegister(CpuState.Rdx, remainder, op.Size);
    }
}

/// <summary>What XSAVE saved.</summary>
/// <param name="Components">The low half of its mask.</param>
/// <param name="Registers">Opmasks, vectors, x87 registers.</param>
internal sealed record SavedState(uint Components, uint Mxcsr, byte[] Registers);
