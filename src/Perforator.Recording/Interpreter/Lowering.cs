using Iced.Intel;

namespace Perforator.Recording.Interpreter;

/// <summary>Turns decoded instructions into <see cref="Op"/>s: finds the handler and works out the operands once.</summary>
internal sealed unsafe class Lowering : IDisposable
{
    private readonly ReplayCompiler replay = new();

    /// <summary>Lowers an instruction.</summary>
    /// <returns>True when the op decides what comes next itself, so that it closes its block.</returns>
    public bool Lower(in Instruction instruction, Op* op)
    {
        *op = new Op
        {
            InstructionPointer = instruction.IP,
            Next = instruction.NextIP,
            Base = CpuState.Zero,
            Index = CpuState.Zero,
            Segment = CpuState.Zero,
            AddressMask = ulong.MaxValue,
            Native = (int)instruction.Mnemonic,
        };
        SetOperands(instruction, op);
        if (instruction.FlowControl != FlowControl.Next)
        {
            op->Execute = ControlFlow(instruction, op);
            op->LeavesFlags = instruction.FlowControl != FlowControl.ConditionalBranch;
            if (op->Execute is null)
                op->Execute = &BranchOps.NotInterpreted;
            return true;
        }
        op->Execute = Handler(instruction, op);
        if (op->Execute is null && ReplayPolicy.Admits(instruction))
            op->Execute = Replay(instruction, op);
        if (op->Execute is not null)
            return false;
        op->Execute = &BranchOps.NotInterpreted;
        return true;
    }

    public void Dispose() => replay.Dispose();

    /// <summary>The byte offset of a general register in the CPU state; 1 more for AH, CH, DH, BH.</summary>
    private static ushort Offset(Register register) => register switch
    {
        Register.None or Register.RIP or Register.EIP => CpuState.Zero,
        Register.AH or Register.CH or Register.DH or Register.BH => (ushort)(((register - Register.AH) * 8) + 1),
        _ => (ushort)((register.GetFullRegister() - Register.RAX) * 8),
    };

    private static void SetOperands(in Instruction instruction, Op* op)
    {
        bool destinationSet = false;
        for (int i = 0; i < instruction.OpCount; i++)
        {
            switch (instruction.GetOpKind(i))
            {
                case OpKind.Register:
                    if (!instruction.GetOpRegister(i).IsGPR())
                        break;
                    if (!destinationSet && i == 0)
                        op->Destination = Offset(instruction.GetOpRegister(i));
                    else if (i == 1)
                        op->Source = Offset(instruction.GetOpRegister(i));
                    break;
                case OpKind.Memory:
                    SetMemory(instruction, op);
                    break;
                case OpKind.NearBranch64:
                    op->Immediate = instruction.NearBranch64;
                    break;
                case >= OpKind.Immediate8 and <= OpKind.Immediate32to64:
                    op->Immediate = instruction.GetImmediate(i);
                    break;
                default:
                    break;
            }
            destinationSet = true;
        }
        if (instruction.IsStringInstruction)
            op->Segment = SegmentBase(instruction.SegmentPrefix);
    }

    private static void SetMemory(in Instruction instruction, Op* op)
    {
        op->Base = instruction.IsIPRelativeMemoryOperand ? (ushort)CpuState.Zero : Offset(instruction.MemoryBase);
        op->Index = instruction.MemoryIndex.IsGPR() ? Offset(instruction.MemoryIndex) : (ushort)CpuState.Zero;
        op->Scale = (byte)int.Log2(Math.Max(instruction.MemoryIndexScale, 1));
        op->Displacement = instruction.IsIPRelativeMemoryOperand ? instruction.IPRelativeMemoryAddress : instruction.MemoryDisplacement64;
        op->Segment = instruction.Mnemonic == Mnemonic.Lea ? (ushort)CpuState.Zero : SegmentBase(instruction.SegmentPrefix);
        bool is32 = instruction.MemoryBase is >= Register.EAX and <= Register.R15D or Register.EIP
            || instruction.MemoryIndex is >= Register.EAX and <= Register.R15D || (instruction.MemoryBase == Register.None && instruction.MemoryDisplSize == 4 && instruction.MemoryIndex == Register.None);
        op->AddressMask = is32 ? uint.MaxValue : ulong.MaxValue;
    }

    private static ushort SegmentBase(Register segment) => segment switch
    {
        Register.FS => CpuState.FsBase,
        Register.GS => CpuState.GsBase,
        _ => CpuState.Zero,
    };

    private static OperandKind Kind(in Instruction instruction, int operand) =>
        operand >= instruction.OpCount ? OperandKind.None : instruction.GetOpKind(operand) switch
        {
            OpKind.Register => instruction.GetOpRegister(operand).IsGPR() ? OperandKind.Register : OperandKind.None,
            OpKind.Memory => OperandKind.Memory,
            >= OpKind.Immediate8 and <= OpKind.Immediate32to64 => OperandKind.Immediate,
            _ => OperandKind.None,
        };

    private static int Bytes(in Instruction instruction, int operand) =>
        operand >= instruction.OpCount ? 0 : instruction.GetOpKind(operand) switch
        {
            OpKind.Register => instruction.GetOpRegister(operand).GetSize(),
            OpKind.Memory => instruction.MemorySize.GetSize(),
            _ => 0,
        };

    private static delegate*<Cpu, Op*, void> Handler(in Instruction instruction, Op* op)
    {
        OperandForm form = new(Bytes(instruction, 0), Kind(instruction, 0), Kind(instruction, 1));
        OperandForm fromSource = form with { Bytes = Bytes(instruction, 1) };
        switch (instruction.Mnemonic)
        {
            case Mnemonic.Mov:
                return MoveOps.Move(form);
            case Mnemonic.Movzx:
                return MoveOps.ZeroExtend(fromSource, form.Bytes);
            case Mnemonic.Movsx or Mnemonic.Movsxd:
                return MoveOps.SignExtend(fromSource, form.Bytes);
            case Mnemonic.Lea:
                return MoveOps.LoadEffectiveAddress(form);
            case Mnemonic.Push:
                return MoveOps.Push(form.Destination == OperandKind.Immediate && instruction.Code == Code.Pushw_imm8 ? default : form);
            case Mnemonic.Pop:
                return MoveOps.Pop(form);
            case Mnemonic.Leave:
                return instruction.Code == Code.Leaveq ? &MoveOps.Leave : null;
            case Mnemonic.Add:
                return ArithmeticOps.Binary<Add>(form);
            case Mnemonic.Adc:
                return ArithmeticOps.Binary<AddWithCarry>(form);
            case Mnemonic.Sub:
                return ArithmeticOps.Binary<Subtract>(form);
            case Mnemonic.Sbb:
                return ArithmeticOps.Binary<SubtractWithBorrow>(form);
            case Mnemonic.Cmp:
                return ArithmeticOps.Binary<Compare>(form);
            case Mnemonic.And:
                return ArithmeticOps.Binary<And>(form);
            case Mnemonic.Test:
                return ArithmeticOps.Binary<Test>(form);
            case Mnemonic.Or:
                return ArithmeticOps.Binary<Or>(form);
            case Mnemonic.Xor:
                return ArithmeticOps.Binary<Xor>(form);
            case Mnemonic.Inc:
                return ArithmeticOps.Unary<Increment>(form);
            case Mnemonic.Dec:
                return ArithmeticOps.Unary<Decrement>(form);
            case Mnemonic.Neg:
                return ArithmeticOps.Unary<Negate>(form);
            case Mnemonic.Not:
                return ArithmeticOps.Unary<Not>(form);
            case Mnemonic.Shl or Mnemonic.Sal:
                return ShiftOps.Select<ShiftLeft>(form);
            case Mnemonic.Shr:
                return ShiftOps.Select<ShiftRight>(form);
            case Mnemonic.Sar:
                return ShiftOps.Select<ShiftArithmeticRight>(form);
            case Mnemonic.Imul when instruction.OpCount >= 2:
                op->Size = instruction.OpCount == 2 ? (byte)1 : (byte)0;
                return ArithmeticOps.Multiply(form);
            case Mnemonic.Div:
                return RareOps.Divide(form, signed: false);
            case Mnemonic.Idiv:
                return RareOps.Divide(form, signed: true);
            case Mnemonic.Cdqe:
                return &MoveOps.Cdqe;
            case Mnemonic.Cdq:
                return &MoveOps.Cdq;
            case Mnemonic.Cqo:
                return &MoveOps.Cqo;
            case Mnemonic.Nop or Mnemonic.Endbr64 or Mnemonic.Endbr32 or Mnemonic.Lfence or Mnemonic.Mfence or Mnemonic.Sfence
                or Mnemonic.Reservednop or Mnemonic.Wait or Mnemonic.Clflush or Mnemonic.Clflushopt or Mnemonic.Clwb or Mnemonic.Cldemote
                or Mnemonic.Rdsspd or Mnemonic.Rdsspq:
                return &MoveOps.Nothing;
            case Mnemonic.Pause:
                return &MoveOps.Pause;
            case Mnemonic.Prefetcht0 or Mnemonic.Prefetcht1 or Mnemonic.Prefetcht2 or Mnemonic.Prefetchnta or Mnemonic.Prefetchw or Mnemonic.Prefetch:
                return &MoveOps.Prefetch;
            case Mnemonic.Bt or Mnemonic.Bts or Mnemonic.Btr or Mnemonic.Btc when form is { Destination: OperandKind.Memory, Source: OperandKind.Register }:
                op->Immediate = instruction.Mnemonic switch { Mnemonic.Bt => 0u, Mnemonic.Bts => 1u, Mnemonic.Btr => 2u, _ => 3u };
                return RareOps.TestBitInMemory(form.Bytes);
            case Mnemonic.Pushfq:
                return &RareOps.PushFlags;
            case Mnemonic.Popfq:
                return &RareOps.PopFlags;
            case Mnemonic.Cld:
                return &RareOps.ClearDirection;
            case Mnemonic.Std:
                return &RareOps.SetDirection;
            case Mnemonic.Clc:
                return &RareOps.ClearCarry;
            case Mnemonic.Stc:
                return &RareOps.SetCarry;
            case Mnemonic.Cmc:
                return &RareOps.ComplementCarry;
            case Mnemonic.Vzeroupper:
                return &RareOps.ZeroUpper;
            case Mnemonic.Vzeroall:
                return &RareOps.ZeroAll;
            case Mnemonic.Ldmxcsr or Mnemonic.Vldmxcsr:
                return &RareOps.LoadMxcsr;
            case Mnemonic.Stmxcsr or Mnemonic.Vstmxcsr:
                return &RareOps.StoreMxcsr;
            case Mnemonic.Fldcw:
                return &RareOps.LoadX87Control;
            case Mnemonic.Xsave or Mnemonic.Xsavec or Mnemonic.Xsaveopt or Mnemonic.Xsave64 or Mnemonic.Xsavec64 or Mnemonic.Xsaveopt64:
                return &RareOps.SaveState;
            case Mnemonic.Xrstor or Mnemonic.Xrstor64:
                return &RareOps.RestoreState;
            case Mnemonic.Rdfsbase when form.Bytes == 8:
                return &MoveOps.ReadFsBase;
            default:
                return instruction.IsVsib ? GatherOps.Select(instruction, op)
                    : instruction.IsStringInstruction ? String(instruction) : Conditional(instruction, form, fromSource);
        }
    }

    private static delegate*<Cpu, Op*, void> Conditional(in Instruction instruction, OperandForm form, OperandForm fromSource)
    {
        if (instruction.ConditionCode == ConditionCode.None || instruction.OpCount == 0)
            return null;
        ref readonly ConditionalHandlers handlers = ref BranchOps.Conditional[instruction.ConditionCode - ConditionCode.o];
        if (instruction.OpCount == 1)
            return form.Destination == OperandKind.Memory ? handlers.SetMemory : handlers.SetRegister;
        return (form.Bytes, form.Destination, fromSource.Source) switch
        {
            (4, OperandKind.Register, OperandKind.Register) => handlers.MoveRegister32,
            (8, OperandKind.Register, OperandKind.Register) => handlers.MoveRegister64,
            (4, OperandKind.Register, OperandKind.Memory) => handlers.MoveMemory32,
            (8, OperandKind.Register, OperandKind.Memory) => handlers.MoveMemory64,
            _ => null,
        };
    }

    private static delegate*<Cpu, Op*, void> String(in Instruction instruction)
    {
        // 32-bit addresses (ESI, EDI, ECX) are not worth handlers.
        for (int i = 0; i < instruction.OpCount; i++)
            if (instruction.GetOpKind(i) is OpKind.MemorySegESI or OpKind.MemoryESEDI or OpKind.MemorySegEDI)
                return null;
        RepeatPrefix repeat = instruction.HasRepnePrefix ? RepeatPrefix.WhileNotEqual
            : instruction.HasRepePrefix ? RepeatPrefix.WhileEqual
            : RepeatPrefix.None;
        return instruction.Mnemonic switch
        {
            Mnemonic.Movsb => StringOps.Move(1, repeat),
            Mnemonic.Movsw => StringOps.Move(2, repeat),
            Mnemonic.Movsd => StringOps.Move(4, repeat),
            Mnemonic.Movsq => StringOps.Move(8, repeat),
            Mnemonic.Stosb => StringOps.Store(1, repeat),
            Mnemonic.Stosw => StringOps.Store(2, repeat),
            Mnemonic.Stosd => StringOps.Store(4, repeat),
            Mnemonic.Stosq => StringOps.Store(8, repeat),
            Mnemonic.Lodsb => StringOps.Load(1, repeat),
            Mnemonic.Lodsw => StringOps.Load(2, repeat),
            Mnemonic.Lodsd => StringOps.Load(4, repeat),
            Mnemonic.Lodsq => StringOps.Load(8, repeat),
            Mnemonic.Scasb => StringOps.Scan(1, repeat),
            Mnemonic.Scasw => StringOps.Scan(2, repeat),
            Mnemonic.Scasd => StringOps.Scan(4, repeat),
            Mnemonic.Scasq => StringOps.Scan(8, repeat),
            Mnemonic.Cmpsb => StringOps.Compare(1, repeat),
            Mnemonic.Cmpsw => StringOps.Compare(2, repeat),
            Mnemonic.Cmpsd => StringOps.Compare(4, repeat),
            Mnemonic.Cmpsq => StringOps.Compare(8, repeat),
            _ => null,
        };
    }

    private static delegate*<Cpu, Op*, void> ControlFlow(in Instruction instruction, Op* op)
    {
        OperandKind target = Kind(instruction, 0);
        switch (instruction.FlowControl)
        {
            case FlowControl.ConditionalBranch when instruction.Mnemonic is not (Mnemonic.Jrcxz or Mnemonic.Jecxz or Mnemonic.Loop or Mnemonic.Loope or Mnemonic.Loopne):
                return BranchOps.Conditional[instruction.ConditionCode - ConditionCode.o].Jump;
            case FlowControl.ConditionalBranch:
                return instruction.Code switch
                {
                    Code.Jrcxz_rel8_64 => &BranchOps.JumpIfRcxZero,
                    Code.Jecxz_rel8_64 => &BranchOps.JumpIfEcxZero,
                    Code.Loop_rel8_64_RCX => &BranchOps.Loop,
                    Code.Loope_rel8_64_RCX => &BranchOps.LoopIfEqual,
                    Code.Loopne_rel8_64_RCX => &BranchOps.LoopIfNotEqual,
                    _ => null,
                };
            case FlowControl.UnconditionalBranch when instruction.Op0Kind == OpKind.NearBranch64:
                return &BranchOps.Jump;
            case FlowControl.IndirectBranch when Bytes(instruction, 0) == 8:
                return target == OperandKind.Memory ? &BranchOps.JumpIndirect<MemoryOperand> : &BranchOps.JumpIndirect<DestinationRegister>;
            case FlowControl.Call when instruction.Op0Kind == OpKind.NearBranch64:
                return &BranchOps.Call;
            case FlowControl.Call when instruction.Mnemonic == Mnemonic.Syscall:
                return &BranchOps.SystemCall;
            case FlowControl.IndirectCall when Bytes(instruction, 0) == 8:
                return target == OperandKind.Memory ? &BranchOps.CallIndirect<MemoryOperand> : &BranchOps.CallIndirect<DestinationRegister>;
            case FlowControl.Return when instruction.Code is Code.Retnq or Code.Retnq_imm16:
                return &BranchOps.Return;
            default:
                return null;
        }
    }

    private delegate*<Cpu, Op*, void> Replay(in Instruction instruction, Op* op)
    {
        bool hasMemory = false;
        for (int i = 0; i < instruction.OpCount; i++)
        {
            OpKind kind = instruction.GetOpKind(i);
            hasMemory |= kind == OpKind.Memory;
            // Other memory operands than the plain one are implicit: not admitted.
            if (kind is >= OpKind.MemorySegSI and < OpKind.Memory)
                return null;
        }
        int size = instruction.MemorySize.GetSize();
        if (hasMemory && size is 0 or > 64)
            return null;
        nint native = replay.Compile(instruction);
        if (native == 0)
            return null;
        op->Native = native;
        op->Size = (byte)size;
        op->Needs = (ReplayPolicy.ReadsFlags(instruction) ? ReplayNeeds.ReadsFlags : 0)
            | (ReplayPolicy.WritesFlags(instruction) ? ReplayNeeds.WritesFlags : 0)
            | (hasMemory && instruction.Op0Kind == OpKind.Memory ? ReplayNeeds.WritesMemory : 0)
            | (hasMemory && ReplayPolicy.NeedsAlignment(instruction, size) ? ReplayNeeds.Aligned : 0)
            | (instruction.Mnemonic == Mnemonic.Fldenv ? ReplayNeeds.LoadsX87Control : 0);
        return hasMemory ? &ReplayOps.OnMemory : &ReplayOps.OnRegisters;
    }
}
