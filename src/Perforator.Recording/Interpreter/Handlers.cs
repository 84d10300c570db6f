using Iced.Intel;

namespace Perforator.Recording.Interpreter;

/// <summary>
/// What executes an instruction that the CPU may not execute for the interpreted thread: branches, and what might trap, reaches beyond its
/// operands or changes control state. It is called with the instruction pointer behind the instruction already.
/// </summary>
internal static unsafe class Handlers
{
    /// <summary>The handler of an instruction; one that ends the path where the instruction is not interpreted.</summary>
    public static delegate*<Cpu, in Instruction, void> Of(in Instruction instruction)
    {
        delegate*<Cpu, in Instruction, void> handler = instruction.IsVsib ? GatherOps.Select(instruction)
            : instruction.IsStringInstruction ? StringOps.Select(instruction)
            : instruction.FlowControl == FlowControl.Next ? Rare(instruction)
            : Branch(instruction);
        return handler is null ? &BranchOps.NotInterpreted : handler;
    }

    /// <summary>The condition of a jump on flags, which native code decides; null for any other instruction.</summary>
    public static ConditionCode? FlagsOf(in Instruction instruction) =>
        instruction.FlowControl == FlowControl.ConditionalBranch && instruction.ConditionCode != ConditionCode.None
            && instruction.Mnemonic is not (Mnemonic.Loope or Mnemonic.Loopne)
            ? instruction.ConditionCode : null;

    /// <summary>Bytes of an instruction's first operand.</summary>
    public static int SizeOf(in Instruction instruction) =>
        instruction.Op0Kind == OpKind.Register ? instruction.Op0Register.GetSize() : instruction.MemorySize.GetSize();

    private static delegate*<Cpu, in Instruction, void> Branch(in Instruction instruction)
    {
        switch (instruction.FlowControl)
        {
            // Those on flags are decided by their block's native code.
            case FlowControl.ConditionalBranch when instruction.Code is Code.Jrcxz_rel8_64 or Code.Jecxz_rel8_64
                or Code.Loop_rel8_64_RCX or Code.Loope_rel8_64_RCX or Code.Loopne_rel8_64_RCX:
                return &BranchOps.JumpOnCount;
            case FlowControl.UnconditionalBranch when instruction.Op0Kind == OpKind.NearBranch64:
                return &BranchOps.Jump;
            case FlowControl.IndirectBranch when SizeOf(instruction) == 8:
                return &BranchOps.JumpIndirect;
            case FlowControl.Call when instruction.Op0Kind == OpKind.NearBranch64:
                return &BranchOps.Call;
            case FlowControl.Call when instruction.Mnemonic == Mnemonic.Syscall:
                return &BranchOps.SystemCall;
            case FlowControl.IndirectCall when SizeOf(instruction) == 8:
                return &BranchOps.CallIndirect;
            case FlowControl.Return when instruction.Code is Code.Retnq or Code.Retnq_imm16:
                return &BranchOps.Return;
            default:
                return null;
        }
    }

    private static delegate*<Cpu, in Instruction, void> Rare(in Instruction instruction)
    {
        switch (instruction.Mnemonic)
        {
            case Mnemonic.Push when instruction.Op0Kind == OpKind.Memory && SizeOf(instruction) == 8:
                return &RareOps.PushMemory;
            case Mnemonic.Div when SizeOf(instruction) > 1:
                return &RareOps.Divide;
            case Mnemonic.Idiv when SizeOf(instruction) > 1:
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
