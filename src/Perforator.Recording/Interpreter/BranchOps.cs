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

    public static void JumpIfRcxZero(Cpu cpu, in Instruction instruction) => JumpWhen(cpu, instruction, cpu.Register(CpuState.Rcx) == 0);

    public static void JumpIfEcxZero(Cpu cpu, in Instruction instruction) => JumpWhen(cpu, instruction, (uint)cpu.Register(CpuState.Rcx) == 0);

    public static void Loop(Cpu cpu, in Instruction instruction) => JumpWhen(cpu, instruction, --cpu.Register(CpuState.Rcx) != 0);

    public static void LoopIfEqual(Cpu cpu, in Instruction instruction) => JumpWhen(cpu, instruction, --cpu.Register(CpuState.Rcx) != 0 && cpu.IsZero);

    public static void LoopIfNotEqual(Cpu cpu, in Instruction instruction) => JumpWhen(cpu, instruction, --cpu.Register(CpuState.Rcx) != 0 && !cpu.IsZero);

    public static void SystemCall(Cpu cpu, in Instruction instruction) => cpu.End(instruction, StopReason.SystemCall);

    /// <summary>Also what would trap.</summary>
    public static void NotInterpreted(Cpu cpu, in Instruction instruction)
    {
        cpu.NotInterpreted = instruction.Mnemonic;
        cpu.End(instruction, StopReason.NotInterpreted);
    }

    private static void JumpWhen(Cpu cpu, in Instruction instruction, bool taken)
    {
        if (taken)
            cpu.Branch(instruction, instruction.NearBranch64);
    }
}
