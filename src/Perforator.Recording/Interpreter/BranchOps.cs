namespace Perforator.Recording.Interpreter;

/// <summary>Everything that decides what comes next, but jumps on flags: those are decided by native code.</summary>
internal static class BranchOps
{
    /// <summary>Closes a block that ends without a branch.</summary>
    public static void FallThrough(Cpu cpu, in Op op)
    {
    }

    public static void Jump(Cpu cpu, in Op op) => cpu.Branch(op, op.Immediate);

    public static void JumpIndirect(Cpu cpu, in Op op) => cpu.Branch(op, cpu.Operand(op));

    public static void Call(Cpu cpu, in Op op)
    {
        cpu.Push(op.Next);
        cpu.Branch(op, op.Immediate);
    }

    public static void CallIndirect(Cpu cpu, in Op op)
    {
        ulong target = cpu.Operand(op);
        cpu.Push(op.Next);
        cpu.Branch(op, target);
    }

    /// <summary>RET; the immediate is how many bytes of arguments it drops.</summary>
    public static void Return(Cpu cpu, in Op op)
    {
        ulong target = cpu.Pop();
        cpu.Register(CpuState.Rsp) += op.Immediate;
        cpu.Branch(op, target);
    }

    public static void JumpIfRcxZero(Cpu cpu, in Op op) => JumpWhen(cpu, op, cpu.Register(CpuState.Rcx) == 0);

    public static void JumpIfEcxZero(Cpu cpu, in Op op) => JumpWhen(cpu, op, (uint)cpu.Register(CpuState.Rcx) == 0);

    public static void Loop(Cpu cpu, in Op op) => JumpWhen(cpu, op, --cpu.Register(CpuState.Rcx) != 0);

    public static void LoopIfEqual(Cpu cpu, in Op op) => JumpWhen(cpu, op, --cpu.Register(CpuState.Rcx) != 0 && cpu.IsZero);

    public static void LoopIfNotEqual(Cpu cpu, in Op op) => JumpWhen(cpu, op, --cpu.Register(CpuState.Rcx) != 0 && !cpu.IsZero);

    public static void SystemCall(Cpu cpu, in Op op) => cpu.End(op, StopReason.SystemCall);

    /// <summary>Also what would trap.</summary>
    public static void NotInterpreted(Cpu cpu, in Op op)
    {
        cpu.NotInterpreted = op.Mnemonic;
        cpu.End(op, StopReason.NotInterpreted);
    }

    private static void JumpWhen(Cpu cpu, in Op op, bool taken)
    {
        if (taken)
            cpu.Branch(op, op.Immediate);
    }
}
