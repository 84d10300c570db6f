namespace Perforator.Recording.Interpreter;

/// <summary>MOV, MOVZX, MOVSX, LEA, PUSH, POP and the sign extensions of RAX.</summary>
internal static unsafe class MoveOps
{
    public static delegate*<Cpu, Op*, void> Move(OperandForm form) => form.Bytes switch
    {
        1 => Move<Size8>(form),
        2 => Move<Size16>(form),
        4 => Move<Size32>(form),
        8 => Move<Size64>(form),
        _ => null,
    };

    /// <param name="to">The destination's size; the form's is the source's.</param>
    public static delegate*<Cpu, Op*, void> ZeroExtend(OperandForm form, int to) => (form.Bytes, form.Source, to) switch
    {
        (1, OperandKind.Register, 4 or 8) => &ZeroExtend<Size8, SourceRegister>,
        (2, OperandKind.Register, 4 or 8) => &ZeroExtend<Size16, SourceRegister>,
        (1, OperandKind.Memory, 4 or 8) => &ZeroExtend<Size8, MemoryOperand>,
        (2, OperandKind.Memory, 4 or 8) => &ZeroExtend<Size16, MemoryOperand>,
        _ => null,
    };

    /// <param name="to">The destination's size; the form's is the source's.</param>
    public static delegate*<Cpu, Op*, void> SignExtend(OperandForm form, int to) => (form.Bytes, form.Source, to) switch
    {
        (1, OperandKind.Register, 4) => &SignExtend<Size8, Size32, SourceRegister>,
        (2, OperandKind.Register, 4) => &SignExtend<Size16, Size32, SourceRegister>,
        (1, OperandKind.Register, 8) => &SignExtend<Size8, Size64, SourceRegister>,
        (2, OperandKind.Register, 8) => &SignExtend<Size16, Size64, SourceRegister>,
        (4, OperandKind.Register, 8) => &SignExtend<Size32, Size64, SourceRegister>,
        (1, OperandKind.Memory, 4) => &SignExtend<Size8, Size32, MemoryOperand>,
        (2, OperandKind.Memory, 4) => &SignExtend<Size16, Size32, MemoryOperand>,
        (1, OperandKind.Memory, 8) => &SignExtend<Size8, Size64, MemoryOperand>,
        (2, OperandKind.Memory, 8) => &SignExtend<Size16, Size64, MemoryOperand>,
        (4, OperandKind.Memory, 8) => &SignExtend<Size32, Size64, MemoryOperand>,
        _ => null,
    };

    /// <summary>The address itself: no segment base counts.</summary>
    public static delegate*<Cpu, Op*, void> LoadEffectiveAddress(OperandForm form) => form.Bytes switch
    {
        4 => &LoadEffectiveAddress<Size32>,
        8 => &LoadEffectiveAddress<Size64>,
        _ => null,
    };

    public static delegate*<Cpu, Op*, void> Push(OperandForm form) => (form.Bytes, form.Destination) switch
    {
        (8, OperandKind.Register) => &Push<DestinationRegister>,
        (8, OperandKind.Memory) => &Push<MemoryOperand>,
        (_, OperandKind.Immediate) => &Push<ImmediateOperand>,
        _ => null,
    };

    public static delegate*<Cpu, Op*, void> Pop(OperandForm form) => (form.Bytes, form.Destination) switch
    {
        (8, OperandKind.Register) => &Pop,
        _ => null,
    };

    public static void Leave(Cpu cpu, Op* op)
    {
        ulong frame = cpu.Register(CpuState.Rbp);
        cpu.Register(CpuState.Rbp) = cpu.Memory.Read<ulong>(frame);
        cpu.Register(CpuState.Rsp) = frame + 8;
    }

    public static void Cdqe(Cpu cpu, Op* op) => cpu.Register(CpuState.Rax) = (ulong)(int)cpu.Register(CpuState.Rax);

    public static void Cdq(Cpu cpu, Op* op) => cpu.Register(CpuState.Rdx) = (uint)((int)cpu.Register(CpuState.Rax) >> 31);

    public static void Cqo(Cpu cpu, Op* op) => cpu.Register(CpuState.Rdx) = (ulong)((long)cpu.Register(CpuState.Rax) >> 63);

    public static void Nothing(Cpu cpu, Op* op)
    {
    }

    /// <summary>PAUSE: a loop that writes nothing between two of them waits for another thread, which a copy of its memory will never show it.</summary>
    public static void Pause(Cpu cpu, Op* op)
    {
        if (cpu.HasPaused && !cpu.Memory.HasWritten)
        {
            cpu.InstructionPointer = op->InstructionPointer;
            cpu.Stop = StopReason.SpinWait;
        }
        cpu.HasPaused = true;
        cpu.Memory.Mark();
    }

    /// <summary>The program says what it is about to read, so the snapshot can fetch it along with the next page that it has to.</summary>
    public static void Prefetch(Cpu cpu, Op* op) => cpu.Memory.Expect(cpu.Address(op));

    public static void ReadFsBase(Cpu cpu, Op* op) => cpu.Register(op->Destination) = cpu.Register(CpuState.FsBase);

    private static delegate*<Cpu, Op*, void> Move<TSize>(OperandForm form)
        where TSize : struct, ISize => (form.Destination, form.Source) switch
        {
            (OperandKind.Register, OperandKind.Register) => &Move<TSize, DestinationRegister, SourceRegister>,
            (OperandKind.Register, OperandKind.Immediate) => &Move<TSize, DestinationRegister, ImmediateOperand>,
            (OperandKind.Register, OperandKind.Memory) => &Move<TSize, DestinationRegister, MemoryOperand>,
            (OperandKind.Memory, OperandKind.Register) => &Move<TSize, MemoryOperand, SourceRegister>,
            (OperandKind.Memory, OperandKind.Immediate) => &Move<TSize, MemoryOperand, ImmediateOperand>,
            _ => null,
        };

    private static void Move<TSize, TDestination, TSource>(Cpu cpu, Op* op)
        where TSize : struct, ISize
        where TDestination : struct, IOperand
        where TSource : struct, IOperand => TDestination.Set<TSize>(cpu, op, TSource.Get<TSize>(cpu, op));

    private static void ZeroExtend<TFrom, TSource>(Cpu cpu, Op* op)
        where TFrom : struct, ISize
        where TSource : struct, IOperand => cpu.Register(op->Destination) = TSource.Get<TFrom>(cpu, op);

    private static void SignExtend<TFrom, TTo, TSource>(Cpu cpu, Op* op)
        where TFrom : struct, ISize
        where TTo : struct, ISize
        where TSource : struct, IOperand
    {
        int unused = 64 - (TFrom.Bytes * 8);
        DestinationRegister.Set<TTo>(cpu, op, (ulong)((long)(TSource.Get<TFrom>(cpu, op) << unused) >> unused));
    }

    private static void LoadEffectiveAddress<TSize>(Cpu cpu, Op* op)
        where TSize : struct, ISize => DestinationRegister.Set<TSize>(cpu, op, cpu.Address(op));

    private static void Push<TSource>(Cpu cpu, Op* op)
        where TSource : struct, IOperand => cpu.Push(TSource.Get<Size64>(cpu, op));

    private static void Pop(Cpu cpu, Op* op)
    {
        ulong value = cpu.Pop();
        cpu.Register(op->Destination) = value;
    }
}
