using Iced.Intel;

namespace Perforator.Recording.Interpreter;

/// <summary>
/// Turns what the CPU may not execute for the interpreted thread into <see cref="Op"/>s: branches, and what might trap, reaches beyond its
/// operands or changes control state.
/// </summary>
internal static unsafe class Lowering
{
    /// <summary>The op of an instruction; one that ends the path where the instruction is not interpreted.</summary>
    public static Op Lower(in Instruction instruction)
    {
        Op op = new()
        {
            InstructionPointer = instruction.IP,
            Next = instruction.NextIP,
            Base = CpuState.Zero,
            Index = CpuState.Zero,
            Segment = instruction.IsStringInstruction ? SegmentBase(instruction.SegmentPrefix) : (ushort)CpuState.Zero,
            AddressMask = ulong.MaxValue,
            Mnemonic = instruction.Mnemonic,
        };
        for (int i = 0; i < instruction.OpCount; i++)
            SetOperand(instruction, i, ref op);
        op.Execute = instruction.IsVsib
            ? GatherOps.Select(instruction, ref op)
            : instruction.IsStringInstruction ? StringOps.Select(instruction, ref op) : Handler(instruction, op);
        if (op.Execute is null)
            op.Execute = &BranchOps.NotInterpreted;
        return op;
    }

    /// <summary>The condition of a jump on flags, which native code decides; null for any other instruction.</summary>
    public static ConditionCode? FlagsOf(in Instruction instruction) =>
        instruction.FlowControl == FlowControl.ConditionalBranch && instruction.ConditionCode != ConditionCode.None
            && instruction.Mnemonic is not (Mnemonic.Loope or Mnemonic.Loopne)
            ? instruction.ConditionCode : null;

    /// <summary>An op that ends the path before an instruction.</summary>
    public static Op NotInterpreted(in Instruction instruction) =>
        new() { Execute = &BranchOps.NotInterpreted, InstructionPointer = instruction.IP, Next = instruction.NextIP, Mnemonic = instruction.Mnemonic };

    /// <summary>An op that does nothing.</summary>
    /// <param name="address">Where it stands and goes on.</param>
    public static Op Nothing(ulong address) => new() { Execute = &BranchOps.FallThrough, InstructionPointer = address, Next = address };

    private static void SetOperand(in Instruction instruction, int operand, ref Op op)
    {
        OpKind kind = instruction.GetOpKind(operand);
        if (kind == OpKind.Register && operand == 0 && instruction.Op0Register.IsGPR())
        {
            op.Register = Offset(instruction.Op0Register);
            op.Size = (byte)instruction.Op0Register.GetSize();
        }
        else if (kind == OpKind.Memory)
        {
            op.IsMemory = operand == 0;
            op.Base = instruction.IsIPRelativeMemoryOperand ? (ushort)CpuState.Zero : Offset(instruction.MemoryBase);
            op.Index = instruction.MemoryIndex.IsGPR() ? Offset(instruction.MemoryIndex) : (ushort)CpuState.Zero;
            op.Scale = (byte)int.Log2(Math.Max(instruction.MemoryIndexScale, 1));
            op.Displacement = instruction.IsIPRelativeMemoryOperand
                ? instruction.IPRelativeMemoryAddress : instruction.MemoryDisplacement64;
            op.Segment = SegmentBase(instruction.SegmentPrefix);
            bool is32 = instruction.MemoryBase is >= Register.EAX and <= Register.R15D or Register.EIP
                || instruction.MemoryIndex is >= Register.EAX and <= Register.R15D
                || (instruction.MemoryBase == Register.None && instruction.MemoryIndex == Register.None
                    && instruction.MemoryDisplSize == 4);
            op.AddressMask = is32 ? uint.MaxValue : ulong.MaxValue;
            if (operand == 0)
                op.Size = (byte)instruction.MemorySize.GetSize();
        }
        else if (kind == OpKind.NearBranch64)
            op.Immediate = instruction.NearBranch64;
        else if (kind is >= OpKind.Immediate8 and <= OpKind.Immediate32to64)
            op.Immediate = instruction.GetImmediate(operand);
    }

    /// <summary>The byte offset of a general register in the CPU state.</summary>
    private static ushort Offset(Register register) =>
        register is Register.None or Register.RIP or Register.EIP
            ? (ushort)CpuState.Zero : (ushort)((register.GetFullRegister() - Register.RAX) * 8);

    private static ushort SegmentBase(Register segment) => segment switch
    {
        Register.FS => CpuState.FsBase,
        Register.GS => CpuState.GsBase,
        _ => CpuState.Zero,
    };

    private static delegate*<Cpu, in Op, void> Handler(in Instruction instruction, in Op op)
    {
        switch (instruction.FlowControl)
        {
            case FlowControl.Next:
                return Rare(instruction, op);
            case FlowControl.ConditionalBranch:
                // Those on flags are decided by their block's native code.
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
            case FlowControl.IndirectBranch when op.Size == 8:
                return &BranchOps.JumpIndirect;
            case FlowControl.Call when instruction.Op0Kind == OpKind.NearBranch64:
                return &BranchOps.Call;
            case FlowControl.Call when instruction.Mnemonic == Mnemonic.Syscall:
                return &BranchOps.SystemCall;
            case FlowControl.IndirectCall when op.Size == 8:
                return &BranchOps.CallIndirect;
            case FlowControl.Return when instruction.Code is Code.Retnq or Code.Retnq_imm16:
                return &BranchOps.Return;
            default:
                return null;
        }
    }

    private static delegate*<Cpu, in Op, void> Rare(in Instruction instruction, in Op op)
    {
        switch (instruction.Mnemonic)
        {
            case Mnemonic.Push when op.IsMemory && op.Size == 8:
                return &RareOps.PushMemory;
            case Mnemonic.Div when op.Size > 1:
                return &RareOps.Divide;
            case Mnemonic.Idiv when op.Size > 1:
                return &RareOps.DivideSigned;
            case Mnemonic.Pause:
                return &RareOps.Pause;
            case Mnemonic.Cld:
                return &RareOps.ClearDirection;
            case Mnemonic.Std:
                return &RareOps.SetDirection;
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
            default:
                return null;
        }
    }
}
