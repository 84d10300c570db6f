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

    /// <summary>A thread that got beyond its path is looked for on so many more stretches, the first as long as the path and each twice as long as the one before.</summary>
    private const int MaxExtensions = 4;

    private readonly Cpu cpu = new(), finder = new();
    private readonly BranchBuffer next = new(1);
    /// <summary>Whose path the interpreter's registers and memory are at the end of, if that is where it can be followed on.</summary>
    private Burst? followed;
    /// <summary>Whose pages the interpreter's memory holds, if they are still to be learnt.</summary>
    private TargetThread? unlearnt;
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
        Load(cpu, burst, registers);
        cpu.Memory.ReadAhead(burst.Target.WorkingSet.Likely);
        cpu.Begin(burst.Buffer.Branches, burst.Buffer.Fingerprints, burst.BranchCount);
        long deadline = Deadline(burst);
        burst.StretchStart = burst.BranchCount;
        unlearnt = burst.Target;
        StopReason reason = cpu.Run(burst.Target.Process.Code, instructions - burst.InstructionCount, deadline);
        burst.BranchCount = cpu.BranchCount;
        burst.InstructionCount += cpu.InstructionCount;
        followed = reason == StopReason.Done ? burst : null;
        burst.ExpectedInstructionPointer = cpu.InstructionPointer + SystemCallLength;
        burst.ExpectedStackPointer = cpu.Register(CpuState.Rsp);
        return reason;
    }

    /// <summary>Learns from the last <see cref="Follow"/>; to be called once the thread runs on.</summary>
    public void Learn()
    {
        unlearnt?.WorkingSet.Learn(cpu.Memory.PageNumbers);
        unlearnt = null;
    }

    /// <summary>
    /// Finds where on its interpreted path the thread stands now: by the state after the branch it takes next. A thread that has got beyond is followed
    /// on from the path's end; else code would be thin that is executed more quickly than what was executed before.
    /// </summary>
    /// <param name="instructions">How long the path is that suffices for most.</param>
    /// <param name="beyond">Whether that path was too short.</param>
    /// <returns>How many branches of the burst it has taken; null when it was not found.</returns>
    public int? Locate(Burst burst, in UserRegisters registers, int instructions, out bool beyond)
    {
        const int LongestWay = 2000;
        beyond = true;
        Load(finder, burst, registers);
        finder.Begin(next.Branches, next.Fingerprints, 0);
        _ = finder.Run(burst.Target.Process.Code, LongestWay, long.MaxValue);
        if (finder.BranchCount == 0)
            return null;
        int searched = burst.StretchStart, end = burst.BranchCount;
        long deadline = Deadline(burst);
        for (int i = 0; i <= MaxExtensions; i++)
        {
            int at = burst.Buffer.Fingerprints.AsSpan(searched, end - searched).IndexOf(next.Fingerprints[0]);
            beyond = i > 0 || at < 0;
            if (at >= 0)
                return searched + at;
            if (followed != burst || end == burst.Buffer.Branches.Length)
                return null;
            searched = end;
            cpu.Begin(burst.Buffer.Branches, burst.Buffer.Fingerprints, end);
            if (cpu.Run(burst.Target.Process.Code, (long)instructions << i, deadline) != StopReason.Done)
                followed = null;
            end = cpu.BranchCount;
        }
        return null;
    }

    private long Deadline(Burst burst) => burst.Since + (long)(options.MaxStop.TotalSeconds * Stopwatch.Frequency);

    private void Load(Cpu into, Burst burst, in UserRegisters registers)
    {
        BlockCache code = burst.Target.Process.Code;
        into.Load(registers);
        ExtendedState.Load(into.State, extended.AsSpan(0, burst.Thread.ReadRegisterSet(NT_X86_XSTATE, extended)));
        into.Memory.Begin(burst.Thread.ProcessId, code.KernelPages);
        code.Begin();
    }

    public void Dispose()
    {
        Lowering.Dispose();
        cpu.Dispose();
        finder.Dispose();
    }
}
