using Iced.Intel;

namespace Perforator.Recording.Interpreter;

/// <summary>Everything that decides what comes next, but jumps on flags: those are decided by native code.</summary>
internal static class BranchOps
{
    /// <summary>Closes a block that ends without a branch.</summary>
    public static void FallThrough(Cpu cpu, in Instruction instruction)
    {
    }

    public static void Jump(Cpu cpu, in Instruction instruction) => cpu.Branch(instruction, instruction.NearBranch64);

    public static void JumpIndirect(Cpu cpu, in Instruction instruction) => cpu.Branch(instruction, cpu.Operand(instruction));

    public static void Call(Cpu cpu, in Instruction instruction)
    {
        cpu.Push(instruction.NextIP);
        cpu.Branch(instruction, instruction.NearBranch64);
    }

    public static void CallIndirect(Cpu cpu, in Instruction instruction)
    {
        ulong target = cpu.Operand(instruction);
        cpu.Push(instruction.NextIP);
        cpu.Branch(instruction, target);
    }

    /// <summary>RET; the immediate is how many bytes of arguments it drops.</summary>
    public static void Return(Cpu cpu, in Instruction instruction)
    {
        ulong target = cpu.Pop();
        cpu.Register(CpuState.Rsp) += instruction.Immediate16;
        cpu.Branch(instruction, target);
    }

    /// <summary>JRCXZ, JECXZ, LOOP, LOOPE, LOOPNE.</summary>
    public static void JumpOnCount(Cpu cpu, in Instruction instruction)
    {
        ref ulong count = ref cpu.Register(CpuState.Rcx);
        bool taken = instruction.Code switch
        {
            Code.Jrcxz_rel8_64 => count == 0,
            Code.Jecxz_rel8_64 => (uint)count == 0,
            Code.Loope_rel8_64_RCX => --count != 0 && cpu.IsZero,
            Code.Loopne_rel8_64_RCX => --count != 0 && !cpu.IsZero,
            _ => --count != 0,
        };
        if (taken)
            cpu.Branch(instruction, instruction.NearBranch64);
    }

    public static void SystemCall(Cpu cpu, in Instruction instruction) => cpu.End(instruction, StopReason.SystemCall);

    /// <summary>Also what would trap.</summary>
    public static void NotInterpreted(Cpu cpu, in Instruction instruction)
    {
        cpu.NotInterpreted = instruction.Mnemonic;
        cpu.End(instruction, StopReason.NotInterpreted);
    }
}
