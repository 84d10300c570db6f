using System.Diagnostics;
using Iced.Intel;
using Perforator.Recording.Interpreter;
using static Perforator.Recording.Syscalls;

namespace Perforator.Recording.Software;

/// <summary>Follows a stopped thread from where it stands, without moving it: interprets its code on a snapshot.</summary>
internal sealed unsafe class ThreadFollower(SoftwareRecorderOptions options) : IDisposable
{
    /// <summary>SYSCALL is 0F 05.</summary>
    private const int SystemCallLength = 2;

    private readonly Cpu cpu = new();
    private readonly byte[] extended = new byte[ExtendedState.BufferSize];

    /// <summary>Shared by the block caches of all processes.</summary>
    public Lowering Lowering { get; } = new();

    /// <summary>The system call that ended the last interpretation.</summary>
    public long SystemCall => (long)cpu.Register(CpuState.Rax);

    public Mnemonic NotInterpreted => cpu.NotInterpreted;

    /// <summary>Adds the branches that the burst's thread takes next.</summary>
    public StopReason Follow(Burst burst, in UserRegisters registers)
    {
        BlockCache code = burst.Target.Process.Code;
        cpu.Load(registers);
        ExtendedState.Load(cpu.State, extended.AsSpan(0, burst.Thread.ReadRegisterSet(NT_X86_XSTATE, extended)));
        cpu.Memory.Begin(burst.Thread.ProcessId, code.KernelPages);
        code.Begin();
        cpu.Begin(burst.Branches, burst.BranchCount);
        long deadline = burst.Since + (long)(options.MaxStop.TotalSeconds * Stopwatch.Frequency);
        StopReason reason = cpu.Run(code, options.InstructionsPerBurst - burst.InstructionCount, deadline);
        burst.BranchCount = cpu.BranchCount;
        burst.InstructionCount += cpu.InstructionCount;
        burst.ExpectedInstructionPointer = cpu.InstructionPointer + SystemCallLength;
        burst.ExpectedStackPointer = cpu.Register(CpuState.Rsp);
        return reason;
    }

    public void Dispose()
    {
        Lowering.Dispose();
        cpu.Dispose();
    }
}
