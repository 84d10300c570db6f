using System.Diagnostics;
using Iced.Intel;
using Perforator.Branches;
using Perforator.Recording.Interpreter;
using static Perforator.Recording.Syscalls;

namespace Perforator.Recording.Software;

/// <summary>Follows a stopped thread from where it stands, without moving it: interprets its code on a snapshot.</summary>
internal sealed unsafe class ThreadFollower(SoftwareRecorderOptions options) : IDisposable
{
    /// <summary>SYSCALL is 0F 05.</summary>
    private const int SystemCallLength = 2;

    /// <summary>After so long without work this thread's caches hold others' data.</summary>
    private static readonly TimeSpan Idle = TimeSpan.FromMilliseconds(1);

    /// <summary>How long, and how far, to warm up at most.</summary>
    private static readonly TimeSpan WarmUpTime = TimeSpan.FromMicroseconds(200);
    private const int WarmUpInstructions = 16_000;

    private readonly Cpu cpu = new(keepsOriginals: true);
    /// <summary>Whose path the interpreter's memory is of.</summary>
    private Burst? interpreted;
    /// <summary>Whose pages the interpreter's memory holds, if they are still to be learnt.</summary>
    private TargetThread? unlearnt;
    private readonly byte[] extended = new byte[ExtendedState.BufferSize];
    private readonly BranchEntry[] discarded = new BranchEntry[options.BranchesPerBurst];
    private UserRegisters lastRegisters;
    private TargetProcess? lastProcess;
    private long lastWork;

    /// <summary>Shared by the block caches of all processes.</summary>
    public Lowering Lowering { get; } = new();

    /// <summary>The system call that ended the last interpretation.</summary>
    public long SystemCall => (long)cpu.Register(CpuState.Rax);

    public Mnemonic NotInterpreted => cpu.NotInterpreted;

    /// <summary>Gets everything compiled that following a thread needs.</summary>
    public void Rehearse() => Rehearsal.Run(cpu, Lowering);

    /// <summary>
    /// Goes the last path once more on what is left of its snapshot, for nothing but the caches of this CPU: a thread stands still for half as long when the code that it
    /// mostly executes, as this program keeps it, is at hand. To be called while it still runs.
    /// </summary>
    /// <returns>Whether there was a need and a path, and so time has passed.</returns>
    public bool WarmUp(TargetProcess process)
    {
        if (lastProcess != process || Stopwatch.GetElapsedTime(lastWork) < Idle)
            return false;
        interpreted = null;
        cpu.Load(lastRegisters);
        cpu.Begin(discarded, 0);
        process.Code.Begin();
        _ = cpu.Run(process.Code, discarded.Length, WarmUpInstructions, Stopwatch.GetTimestamp() + (long)(WarmUpTime.TotalSeconds * Stopwatch.Frequency));
        return true;
    }

    /// <summary>Takes over where the burst's thread stands, to <see cref="Follow"/> it.</summary>
    public void Load(Burst burst, in UserRegisters registers)
    {
        BlockCache code = burst.Target.Process.Code;
        cpu.Load(registers);
        ExtendedState.Load(cpu.State, extended.AsSpan(0, burst.Thread.ReadRegisterSet(NT_X86_XSTATE, extended)));
        cpu.Memory.Begin(burst.Thread.ProcessId, code.KernelPages);
        cpu.Memory.ReadAhead(burst.Target.WorkingSet.Likely);
        code.Begin();
        interpreted = burst;
        (unlearnt, lastProcess, lastRegisters) = (burst.Target, burst.Target.Process, registers);
    }

    /// <summary>Whether the next instruction is about to use a page that nothing was written to since the kernel provided it: a sign of a page fault just served.</summary>
    public bool IsAtBlankPage(Burst burst)
    {
        try
        {
            return cpu.Memory.IsBlank(cpu.Address(burst.Target.Process.Code.Find(cpu).Ops));
        }
        catch (UnreadableMemoryException)
        {
            return false;
        }
    }

    /// <summary>Adds the branches that the burst's thread takes next, from where it was loaded.</summary>
    public StopReason Follow(Burst burst)
    {
        BlockCache code = burst.Target.Process.Code;
        cpu.Begin(burst.Branches, burst.BranchCount);
        long deadline = burst.Since + (long)(options.MaxStop.TotalSeconds * Stopwatch.Frequency), instructions = options.InstructionsPerBurst - burst.InstructionCount;
        StopReason reason = StopReason.Done;
        if (cpu.BranchCount < Burst.LeadIn)
        {
            reason = cpu.Run(code, Burst.LeadIn, instructions, deadline);
            cpu.Memory.Mark();
            burst.PageCount += cpu.Memory.PageNumbers.Count;
        }
        burst.StretchStart = cpu.BranchCount;
        if (reason == StopReason.Done && cpu.BranchCount < burst.MaxBranches && cpu.InstructionCount < instructions)
            reason = cpu.Run(code, burst.MaxBranches, instructions, deadline);
        burst.BranchCount = cpu.BranchCount;
        burst.InstructionCount += cpu.InstructionCount;
        burst.ExpectedInstructionPointer = cpu.InstructionPointer + SystemCallLength;
        burst.ExpectedStackPointer = cpu.Register(CpuState.Rsp);
        return reason;
    }

    /// <summary>Learns from the last <see cref="Follow"/>; to be called once the thread runs on.</summary>
    public void Learn()
    {
        unlearnt?.WorkingSet.Learn(cpu.Memory.PageNumbers);
        unlearnt = null;
        lastWork = Stopwatch.GetTimestamp();
    }

    /// <summary>Looks for an odometer on the burst's last interpreted stretch; to be called once its thread runs on.</summary>
    /// <returns>False also when another thread was followed meanwhile.</returns>
    public bool HasOdometer(Burst burst, Odometer odometer) => interpreted == burst && odometer.Begin(cpu.Memory, burst.BranchCount - burst.StretchStart, burst.InstructionCount / (double)Math.Max(burst.BranchCount, 1));

    public void Dispose()
    {
        Lowering.Dispose();
        cpu.Dispose();
    }
}
