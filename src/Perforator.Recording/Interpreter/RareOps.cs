namespace Perforator.Recording.Interpreter;

/// <summary>
/// Instructions that may not be replayed natively, because the CPU would trap (division), address beyond their operand (bit tests
/// in memory) or change this process (control registers, vector state as a whole).
/// </summary>
internal static unsafe class RareOps
{
    /// <summary>DIV and IDIV of RDX:RAX (EDX:EAX). A division that traps is not interpreted.</summary>
    public static delegate*<Cpu, Op*, void> Divide(OperandForm form, bool signed) => (form.Bytes, form.Destination, signed) switch
    {
        (4, OperandKind.Register, false) => &Divide32<DestinationRegister>,
        (4, OperandKind.Memory, false) => &Divide32<MemoryOperand>,
        (8, OperandKind.Register, false) => &Divide64<DestinationRegister>,
        (8, OperandKind.Memory, false) => &Divide64<MemoryOperand>,
        (4, OperandKind.Register, true) => &DivideSigned32<DestinationRegister>,
        (4, OperandKind.Memory, true) => &DivideSigned32<MemoryOperand>,
        (8, OperandKind.Register, true) => &DivideSigned64<DestinationRegister>,
        (8, OperandKind.Memory, true) => &DivideSigned64<MemoryOperand>,
        _ => null,
    };

    /// <summary>BT, BTS, BTR, BTC with a bit string in memory, indexed by a register of <see cref="OperandForm.Bytes"/>.</summary>
    public static delegate*<Cpu, Op*, void> TestBitInMemory(int bytes) => bytes switch
    {
        2 => &TestBit<Size16>,
        4 => &TestBit<Size32>,
        8 => &TestBit<Size64>,
        _ => null,
    };

    public static void PushFlags(Cpu cpu, Op* op) => cpu.Push(cpu.Flags.Value & ~0x30000UL);

    public static void PopFlags(Cpu cpu, Op* op)
    {
        // What user mode can change: the status flags, TF, DF, NT, AC, ID.
        const ulong Changeable = Flags.Status | 0x100 | Flags.DF | 0x4000 | 0x40000 | 0x200000;
        cpu.Flags.Set((cpu.Flags.Value & ~Changeable) | (cpu.Pop() & Changeable));
    }

    public static void ClearDirection(Cpu cpu, Op* op) => cpu.Flags.Others &= ~Flags.DF;

    public static void SetDirection(Cpu cpu, Op* op) => cpu.Flags.Others |= Flags.DF;

    public static void ClearCarry(Cpu cpu, Op* op) => cpu.Flags.SetCarry(false);

    public static void SetCarry(Cpu cpu, Op* op) => cpu.Flags.SetCarry(true);

    public static void ComplementCarry(Cpu cpu, Op* op) => cpu.Flags.SetCarry(!cpu.Flags.Carry);

    /// <summary>VZEROUPPER: clears all but the low 16 bytes of registers 0 … 15.</summary>
    public static void ZeroUpper(Cpu cpu, Op* op)
    {
        for (int i = 0; i < 16; i++)
            new Span<byte>(cpu.State + CpuState.Vectors + (i * 64) + 16, 48).Clear();
    }

    /// <summary>VZEROALL: clears registers 0 … 15.</summary>
    public static void ZeroAll(Cpu cpu, Op* op) => new Span<byte>(cpu.State + CpuState.Vectors, 16 * 64).Clear();

    /// <summary>LDMXCSR. Reserved bits are a fault; exceptions stay masked, as they must not trap when this process replays the instructions that follow.</summary>
    public static void LoadMxcsr(Cpu cpu, Op* op)
    {
        uint value = cpu.Memory.Read<uint>(cpu.Address(op));
        if ((value & ~0xFFFFu) != 0)
            Trap(cpu, op);
        else
            *(uint*)(cpu.State + CpuState.Mxcsr) = value | ExtendedState.MxcsrExceptionMasks;
    }

    public static void StoreMxcsr(Cpu cpu, Op* op) => cpu.Memory.Write(cpu.Address(op), *(uint*)(cpu.State + CpuState.Mxcsr));

    /// <summary>FLDCW. Exceptions stay masked: they must not trap when this process replays the instructions that follow.</summary>
    public static void LoadX87Control(Cpu cpu, Op* op) => *(ushort*)(cpu.State + CpuState.X87) = (ushort)(cpu.Memory.Read<ushort>(cpu.Address(op)) | ExtendedState.ControlWordExceptionMasks);

    /// <summary>XSAVE, XSAVEC: remembers the state instead of laying it out in memory, where only XRSTOR looks.</summary>
    public static void SaveState(Cpu cpu, Op* op) =>
        cpu.SavedStates[cpu.Address(op)] = new ReadOnlySpan<byte>(cpu.State + CpuState.Opmasks, CpuState.Size - CpuState.Opmasks).ToArray();

    /// <summary>XRSTOR of what was saved in this burst. EDX:EAX selects the components; vectors and opmasks go together.</summary>
    public static void RestoreState(Cpu cpu, Op* op)
    {
        const uint X87 = 1, VectorsAndOpmasks = 0xE6;
        uint components = (uint)cpu.Register(CpuState.Rax);
        if (!cpu.SavedStates.TryGetValue(cpu.Address(op), out byte[]? saved) || (components & VectorsAndOpmasks) != VectorsAndOpmasks)
        {
            BranchOps.NotInterpreted(cpu, op);
            return;
        }
        int length = ((components & X87) != 0 ? CpuState.Size : CpuState.X87) - CpuState.Opmasks;
        saved.AsSpan(0, length).CopyTo(new Span<byte>(cpu.State + CpuState.Opmasks, length));
    }

    private static void Divide32<TDivisor>(Cpu cpu, Op* op)
        where TDivisor : struct, IOperand
    {
        ulong divisor = TDivisor.Get<Size32>(cpu, op);
        ulong dividend = (cpu.Register(CpuState.Rdx) << 32) | (uint)cpu.Register(CpuState.Rax);
        if (divisor == 0 || dividend / divisor > uint.MaxValue)
        {
            Trap(cpu, op);
            return;
        }
        cpu.Register(CpuState.Rax) = dividend / divisor;
        cpu.Register(CpuState.Rdx) = dividend % divisor;
    }

    private static void DivideSigned32<TDivisor>(Cpu cpu, Op* op)
        where TDivisor : struct, IOperand
    {
        long divisor = (int)TDivisor.Get<Size32>(cpu, op);
        long dividend = (long)((cpu.Register(CpuState.Rdx) << 32) | (uint)cpu.Register(CpuState.Rax));
        if (divisor == 0 || (divisor == -1 && dividend == long.MinValue) || dividend / divisor is < int.MinValue or > int.MaxValue)
        {
            Trap(cpu, op);
            return;
        }
        cpu.Register(CpuState.Rax) = (uint)(dividend / divisor);
        cpu.Register(CpuState.Rdx) = (uint)(dividend % divisor);
    }

    private static void Divide64<TDivisor>(Cpu cpu, Op* op)
        where TDivisor : struct, IOperand
    {
        ulong divisor = TDivisor.Get<Size64>(cpu, op);
        ref ulong low = ref cpu.Register(CpuState.Rax);
        ref ulong high = ref cpu.Register(CpuState.Rdx);
        if (high >= divisor)
        {
            Trap(cpu, op);
            return;
        }
        if (high == 0)
        {
            (low, high) = Math.DivRem(low, divisor);
            return;
        }
        (UInt128 quotient, UInt128 remainder) = UInt128.DivRem(new UInt128(high, low), divisor);
        (low, high) = ((ulong)quotient, (ulong)remainder);
    }

    private static void DivideSigned64<TDivisor>(Cpu cpu, Op* op)
        where TDivisor : struct, IOperand
    {
        long divisor = (long)TDivisor.Get<Size64>(cpu, op);
        ref ulong low = ref cpu.Register(CpuState.Rax);
        ref ulong high = ref cpu.Register(CpuState.Rdx);
        bool fits = (long)high == (long)low >> 63;
        if (divisor == 0 || (divisor == -1 && fits && (long)low == long.MinValue))
        {
            Trap(cpu, op);
            return;
        }
        if (fits)
        {
            (long q, long r) = Math.DivRem((long)low, divisor);
            (low, high) = ((ulong)q, (ulong)r);
            return;
        }
        Int128 dividend = new(high, low);
        Int128 quotient = divisor == -1 ? -dividend : dividend / divisor;
        if (quotient < long.MinValue || quotient > long.MaxValue)
        {
            Trap(cpu, op);
            return;
        }
        Int128 remainder = dividend - (quotient * divisor);
        (low, high) = ((ulong)quotient, (ulong)remainder);
    }

    /// <summary>
    /// The bit offset counts from the operand's first byte, over any distance. The immediate says what becomes of the bit: 0 stays,
    /// 1 set, 2 reset, 3 complemented.
    /// </summary>
    private static void TestBit<TSize>(Cpu cpu, Op* op)
        where TSize : struct, ISize
    {
        int unused = 64 - (TSize.Bytes * 8);
        long index = (long)(TSize.Load(cpu.State + op->Source) << unused) >> unused;
        int bits = TSize.Bytes * 8;
        ulong address = cpu.Address(op) + (ulong)((index >> System.Numerics.BitOperations.Log2((uint)bits)) * TSize.Bytes);
        ulong mask = 1UL << (int)(index & (bits - 1));
        ulong value = TSize.Read(cpu.Memory, address);
        cpu.Flags.SetCarry((value & mask) != 0);
        if (op->Immediate != 0)
            TSize.Write(cpu.Memory, address, op->Immediate switch { 1 => value | mask, 2 => value & ~mask, _ => value ^ mask });
    }

    private static void Trap(Cpu cpu, Op* op) => BranchOps.NotInterpreted(cpu, op);
}
