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

    private readonly Cpu cpu = new(keepsOriginals: true), finder = new();
    private readonly BranchBuffer next = new(1);
    /// <summary>Whose path the interpreter's registers and memory are at the end of, if that is where it can be followed on.</summary>
    private Burst? followed;
    /// <summary>Whose path the interpreter's memory is of.</summary>
    private Burst? interpreted;
    /// <summary>Whose pages the interpreter's memory holds, if they are still to be learnt.</summary>
    private TargetThread? unlearnt;
    private readonly byte[] extended = new byte[ExtendedState.BufferSize];

    private const long UsualInstructionsPerBranch = 8;

    /// <summary>After so long without work this thread's caches hold others' data.</summary>
    private static readonly TimeSpan Idle = TimeSpan.FromMilliseconds(1);

    /// <summary>How long to warm up at most.</summary>
    private static readonly TimeSpan WarmUpTime = TimeSpan.FromMicroseconds(200);

    private readonly BranchBuffer discarded = new(options.BranchesPerBurst);
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
    public bool WarmUp(TargetProcess process, int instructions)
    {
        if (lastProcess != process || Stopwatch.GetElapsedTime(lastWork) < Idle)
            return false;
        followed = interpreted = null;
        cpu.Load(lastRegisters);
        cpu.Begin(discarded.Branches, discarded.Fingerprints, 0);
        process.Code.Begin();
        _ = cpu.Run(process.Code, instructions, Stopwatch.GetTimestamp() + (long)(WarmUpTime.TotalSeconds * Stopwatch.Frequency));
        return true;
    }

    /// <summary>Adds the branches that the burst's thread takes next.</summary>
    /// <param name="instructions">How far the whole burst may go.</param>
    public StopReason Follow(Burst burst, in UserRegisters registers, int instructions)
    {
        Load(cpu, burst, registers);
        cpu.Memory.ReadAhead(burst.Target.WorkingSet.Likely);
        cpu.Begin(burst.Buffer.Branches, burst.Buffer.Fingerprints, burst.BranchCount);
        long deadline = Deadline(burst);
        burst.StretchStart = burst.BranchCount;
        interpreted = burst;
        (unlearnt, lastProcess, lastRegisters) = (burst.Target, burst.Target.Process, registers);
        StopReason reason = cpu.Run(burst.Target.Process.Code, instructions - burst.InstructionCount, deadline);
        burst.BranchCount = cpu.BranchCount;
        burst.InstructionCount += cpu.InstructionCount;
        followed = reason is StopReason.Done or StopReason.TimeUp ? burst : null;
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
    public bool HasOdometer(Burst burst, Odometer odometer) => interpreted == burst && odometer.Begin(cpu.Memory, cpu.BranchCount - burst.StretchStart);

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
        int searched = burst.StretchStart, before = burst.BranchCount;
        long deadline = Deadline(burst);
        for (int i = 0; i <= MaxExtensions; i++)
        {
            int at = burst.Buffer.Fingerprints.AsSpan(searched, burst.BranchCount - searched).IndexOf(next.Fingerprints[0]);
            beyond = i > 0 || at < 0;
            if (at >= 0)
            {
                if (beyond)
                {
                    // Pages first touched on the way here were read as this thread had written to them since: its way so far is right, but not what may be made of it.
                    burst.BranchCount = searched + at;
                    followed = null;
                }
                return searched + at;
            }
            searched = burst.BranchCount;
            if (!Extend(burst, (long)instructions << i, deadline))
                break;
        }
        // What it has written meanwhile may have led the way astray.
        burst.BranchCount = before;
        return null;
    }

    /// <summary>
    /// Follows a thread on from its path's end, as far as the time of its second stop allows. What the path has not touched is as it will be at the path's end, as the thread has
    /// not got there yet; and code and data are at hand now that took the time of the first stop.
    /// </summary>
    /// <param name="branches">How many of them to make it.</param>
    public void FollowOn(Burst burst, int branches)
    {
        long deadline = Deadline(burst);
        while (burst.BranchCount < branches && Extend(burst, (branches - burst.BranchCount) * UsualInstructionsPerBranch, deadline))
        {
        }
    }

    /// <returns>False when there is no following it any further.</returns>
    private bool Extend(Burst burst, long instructions, long deadline)
    {
        if (followed != burst || burst.BranchCount == burst.Buffer.Branches.Length)
            return false;
        cpu.Begin(burst.Buffer.Branches, burst.Buffer.Fingerprints, burst.BranchCount);
        if (cpu.Run(burst.Target.Process.Code, instructions, deadline) != StopReason.Done)
            followed = null;
        burst.BranchCount = cpu.BranchCount;
        return true;
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
