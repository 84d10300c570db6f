namespace Perforator.Recording.Interpreter;

/// <summary>A condition code (Jcc, SETcc, CMOVcc).</summary>
internal interface ICondition
{
    static abstract bool Holds(in Flags flags);
}

internal readonly struct IfOverflow : ICondition { public static bool Holds(in Flags flags) => flags.Overflow; }
internal readonly struct IfNotOverflow : ICondition { public static bool Holds(in Flags flags) => !flags.Overflow; }
internal readonly struct IfBelow : ICondition { public static bool Holds(in Flags flags) => flags.Carry; }
internal readonly struct IfNotBelow : ICondition { public static bool Holds(in Flags flags) => !flags.Carry; }
internal readonly struct IfEqual : ICondition { public static bool Holds(in Flags flags) => flags.Zero; }
internal readonly struct IfNotEqual : ICondition { public static bool Holds(in Flags flags) => !flags.Zero; }
internal readonly struct IfNotAbove : ICondition { public static bool Holds(in Flags flags) => flags.Carry || flags.Zero; }
internal readonly struct IfAbove : ICondition { public static bool Holds(in Flags flags) => !flags.Carry && !flags.Zero; }
internal readonly struct IfSign : ICondition { public static bool Holds(in Flags flags) => flags.Sign; }
internal readonly struct IfNotSign : ICondition { public static bool Holds(in Flags flags) => !flags.Sign; }
internal readonly struct IfParity : ICondition { public static bool Holds(in Flags flags) => flags.Parity; }
internal readonly struct IfNotParity : ICondition { public static bool Holds(in Flags flags) => !flags.Parity; }
internal readonly struct IfLess : ICondition { public static bool Holds(in Flags flags) => flags.Less; }
internal readonly struct IfNotLess : ICondition { public static bool Holds(in Flags flags) => !flags.Less; }
internal readonly struct IfNotGreater : ICondition { public static bool Holds(in Flags flags) => flags.Zero || flags.Less; }
internal readonly struct IfGreater : ICondition { public static bool Holds(in Flags flags) => !flags.Zero && !flags.Less; }

/// <summary>Handlers of one condition: the conditional jump, set and moves.</summary>
internal unsafe struct ConditionalHandlers
{
    public delegate*<Cpu, Op*, void> Jump, SetRegister, SetMemory;
    public delegate*<Cpu, Op*, void> MoveRegister32, MoveRegister64, MoveMemory32, MoveMemory64;

    public static ConditionalHandlers Of<TCondition>()
        where TCondition : struct, ICondition => new()
        {
            Jump = &BranchOps.JumpIf<TCondition>,
            SetRegister = &BranchOps.SetIf<TCondition, DestinationRegister>,
            SetMemory = &BranchOps.SetIf<TCondition, MemoryOperand>,
            MoveRegister32 = &BranchOps.MoveIf<TCondition, Size32, SourceRegister>,
            MoveRegister64 = &BranchOps.MoveIf<TCondition, Size64, SourceRegister>,
            MoveMemory32 = &BranchOps.MoveIf<TCondition, Size32, MemoryOperand>,
            MoveMemory64 = &BranchOps.MoveIf<TCondition, Size64, MemoryOperand>,
        };
}

/// <summary>Everything that decides what comes next, and the other users of conditions.</summary>
internal static unsafe class BranchOps
{
    /// <summary>The handlers by condition code, in encoding order (O, NO, B, AE, E, NE, BE, A, S, NS, P, NP, L, GE, LE, G).</summary>
    public static readonly ConditionalHandlers[] Conditional =
    [
        ConditionalHandlers.Of<IfOverflow>(), ConditionalHandlers.Of<IfNotOverflow>(),
        ConditionalHandlers.Of<IfBelow>(), ConditionalHandlers.Of<IfNotBelow>(),
        ConditionalHandlers.Of<IfEqual>(), ConditionalHandlers.Of<IfNotEqual>(),
        ConditionalHandlers.Of<IfNotAbove>(), ConditionalHandlers.Of<IfAbove>(),
        ConditionalHandlers.Of<IfSign>(), ConditionalHandlers.Of<IfNotSign>(),
        ConditionalHandlers.Of<IfParity>(), ConditionalHandlers.Of<IfNotParity>(),
        ConditionalHandlers.Of<IfLess>(), ConditionalHandlers.Of<IfNotLess>(),
        ConditionalHandlers.Of<IfNotGreater>(), ConditionalHandlers.Of<IfGreater>(),
    ];

    /// <summary>Closes a block that ends without a branch.</summary>
    public static void FallThrough(Cpu cpu, Op* op) => cpu.InstructionPointer = op->Next;

    public static void JumpIf<TCondition>(Cpu cpu, Op* op)
        where TCondition : struct, ICondition => JumpWhen(cpu, op, TCondition.Holds(cpu.Flags));

    public static void Jump(Cpu cpu, Op* op) => cpu.Branch(op, op->Immediate);

    public static void JumpIndirect<TTarget>(Cpu cpu, Op* op)
        where TTarget : struct, IOperand => cpu.Branch(op, TTarget.Get<Size64>(cpu, op));

    public static void Call(Cpu cpu, Op* op)
    {
        cpu.Push(op->Next);
        cpu.Branch(op, op->Immediate);
    }

    public static void CallIndirect<TTarget>(Cpu cpu, Op* op)
        where TTarget : struct, IOperand
    {
        ulong target = TTarget.Get<Size64>(cpu, op);
        cpu.Push(op->Next);
        cpu.Branch(op, target);
    }

    /// <summary>RET; the immediate is how many bytes of arguments it drops.</summary>
    public static void Return(Cpu cpu, Op* op)
    {
        ulong target = cpu.Pop();
        cpu.Register(CpuState.Rsp) += op->Immediate;
        cpu.Branch(op, target);
    }

    public static void JumpIfRcxZero(Cpu cpu, Op* op) => JumpWhen(cpu, op, cpu.Register(CpuState.Rcx) == 0);

    public static void JumpIfEcxZero(Cpu cpu, Op* op) => JumpWhen(cpu, op, (uint)cpu.Register(CpuState.Rcx) == 0);

    public static void Loop(Cpu cpu, Op* op) => JumpWhen(cpu, op, --cpu.Register(CpuState.Rcx) != 0);

    public static void LoopIfEqual(Cpu cpu, Op* op) => JumpWhen(cpu, op, --cpu.Register(CpuState.Rcx) != 0 && cpu.Flags.Zero);

    public static void LoopIfNotEqual(Cpu cpu, Op* op) => JumpWhen(cpu, op, --cpu.Register(CpuState.Rcx) != 0 && !cpu.Flags.Zero);

    public static void SystemCall(Cpu cpu, Op* op)
    {
        cpu.InstructionPointer = op->InstructionPointer;
        cpu.Stop = StopReason.SystemCall;
    }

    public static void NotInterpreted(Cpu cpu, Op* op)
    {
        cpu.InstructionPointer = op->InstructionPointer;
        cpu.NotInterpreted = (Iced.Intel.Mnemonic)op->Native;
        cpu.Stop = StopReason.NotInterpreted;
    }

    public static void SetIf<TCondition, TDestination>(Cpu cpu, Op* op)
        where TCondition : struct, ICondition
        where TDestination : struct, IOperand => TDestination.Set<Size8>(cpu, op, TCondition.Holds(cpu.Flags) ? 1u : 0u);

    public static void MoveIf<TCondition, TSize, TSource>(Cpu cpu, Op* op)
        where TCondition : struct, ICondition
        where TSize : struct, ISize
        where TSource : struct, IOperand
    {
        // The source is read, and a 32-bit destination's upper half cleared, whatever the condition.
        ulong source = TSource.Get<TSize>(cpu, op);
        DestinationRegister.Set<TSize>(cpu, op, TCondition.Holds(cpu.Flags) ? source : DestinationRegister.Get<TSize>(cpu, op));
    }

    private static void JumpWhen(Cpu cpu, Op* op, bool taken)
    {
        if (taken)
            cpu.Branch(op, op->Immediate);
        else
            cpu.InstructionPointer = op->Next;
    }
}
