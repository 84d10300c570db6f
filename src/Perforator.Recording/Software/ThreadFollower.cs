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
    private readonly BranchBuffer next = new(1);
    private readonly byte[] extended = new byte[ExtendedState.BufferSize];

    /// <summary>Shared by the block caches of all processes.</summary>
    public Lowering Lowering { get; } = new();

    /// <summary>The system call that ended the last interpretation.</summary>
    public long SystemCall => (long)cpu.Register(CpuState.Rax);

    public Mnemonic NotInterpreted => cpu.NotInterpreted;

    /// <summary>Gets everything compiled that following a thread needs.</summary>
    public void Rehearse() => Rehearsal.Run(cpu, Lowering);

    /// <summary>Adds the branches that the burst's thread takes next.</summary>
    /// <param name="instructions">How far the whole burst may go.</param>
    public StopReason Follow(Burst burst, in UserRegisters registers, int instructions)
    {
        Load(burst, registers);
        cpu.Memory.ReadAhead(burst.Target.WorkingSet.Likely);
        cpu.Begin(burst.Buffer.Branches, burst.Buffer.Fingerprints, burst.BranchCount);
        long deadline = burst.Since + (long)(options.MaxStop.TotalSeconds * Stopwatch.Frequency);
        burst.StretchStart = burst.BranchCount;
        StopReason reason = cpu.Run(burst.Target.Process.Code, instructions - burst.InstructionCount, deadline);
        burst.BranchCount = cpu.BranchCount;
        burst.InstructionCount += cpu.InstructionCount;
        burst.ExpectedInstructionPointer = cpu.InstructionPointer + SystemCallLength;
        burst.ExpectedStackPointer = cpu.Register(CpuState.Rsp);
        return reason;
    }

    /// <summary>Learns from the last <see cref="Follow"/>, once the thread runs on.</summary>
    public void Learn(TargetThread thread) => thread.WorkingSet.Learn(cpu.Memory.PageNumbers);

    /// <summary>Finds where on its interpreted path the thread stands now: by the state after the branch it takes next.</summary>
    /// <returns>How many branches of the burst it has taken; null when it is not on the path, or beyond its end.</returns>
    public int? Locate(Burst burst, in UserRegisters registers)
    {
        const int LongestWay = 2000;
        Load(burst, registers);
        cpu.Begin(next.Branches, next.Fingerprints, 0);
        _ = cpu.Run(burst.Target.Process.Code, LongestWay, long.MaxValue);
        if (cpu.BranchCount == 0)
            return null;
        int at = burst.Buffer.Fingerprints.AsSpan(burst.StretchStart, burst.BranchCount - burst.StretchStart).IndexOf(next.Fingerprints[0]);
        return at < 0 ? null : burst.StretchStart + at;
    }

    private void Load(Burst burst, in UserRegisters registers)
    {
        BlockCache code = burst.Target.Process.Code;
        cpu.Load(registers);
        ExtendedState.Load(cpu.State, extended.AsSpan(0, burst.Thread.ReadRegisterSet(NT_X86_XSTATE, extended)));
        cpu.Memory.Begin(burst.Thread.ProcessId, code.KernelPages);
        code.Begin();
    }

    public void Dispose()
    {
        Lowering.Dispose();
        cpu.Dispose();
    }
}
