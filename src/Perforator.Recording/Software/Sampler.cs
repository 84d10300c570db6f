using System.Diagnostics;
using Perforator.Branches;
using Perforator.Recording.Interpreter;
using static Perforator.Recording.Syscalls;

namespace Perforator.Recording.Software;

/// <summary>
/// Makes a sample of a moment: meets its thread, follows it, across system calls that do not wait, lets it go and hands over what was
/// followed.
/// </summary>
/// <param name="usualInterval">What the <see cref="Estimator"/> calls so.</param>
internal sealed class Sampler(SoftwareRecorderOptions options, IBranchSink sink, double usualInterval) : IDisposable
{
    public const string AlreadyTraced =
        "threads not recorded: another tracer (debugger, strace) has them, or ptrace is not permitted (perforator doctor tells)";
    public const string NoSignal =
        "threads not recorded: they block every signal that could meet them unnoticed, or run as another user (record as root)";
    public const string NotX64 = "threads not recorded: they run 32-bit code";
    public const string NotMet =
        "moments without a sample: the thread fell asleep, or had to wait for a CPU, before it was met in user mode";
    public const string Ended = "moments without a sample: the thread ended before it was met";
    public const string HeldUp = "samples dropped: the recorder was held up, and the thread was let go meanwhile";
    public const string OtherStop = "moments without a sample: the thread stopped for a signal of its own";
    public const string Diverged =
        "samples dropped: the thread took another path than the interpreter (memory shared with other threads or devices)";
    public const string Unreadable = "samples cut short at memory that is not there (the thread is about to wait for it) or cannot be read";
    public const string MadeAtRunTime = "samples cut short at code made at run time (JIT), which no file's profile has";
    public const string OutOfTime = "samples cut short by the time bound of a stop (what there is of them counts for more)";
    public const string Executed = "samples dropped: their process executed another program or ended before its mappings were known";

    /// <summary>
    /// System calls that a path does not span, as the thread does not come back from them to where it was: execve, exit, exit_group,
    /// execveat, rt_sigreturn, vfork.
    /// </summary>
    private static readonly long[] NoReturn = [59, 60, 231, 322, 15, 58];

    /// <summary>From when a thread stands still until the recorder sees it, on average; charged for each stop.</summary>
    private static readonly TimeSpan StopLatency = TimeSpan.FromMicroseconds(20);

    /// <summary>
    /// How long a thread is waited for that has fallen asleep since its moment, as a seized one refuses debuggers; and how long one stands
    /// still if this thread does not get round to letting it go. That is so rare, and so far beyond what a stop is to take
    /// (<see cref="SoftwareRecorderOptions.MaxStop"/>), that both are given up.
    /// </summary>
    private static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(5);

    /// <summary>CS of 64-bit code, as Linux sets it.</summary>
    private const ulong UserCodeSegment64 = 0x33;

    private readonly StopGuard guard = new(Patience);
    private readonly PathFollower follower = new(options);
    private readonly Estimator estimator = new(usualInterval, options.BranchesPerPath);
    private readonly CallStack? callers = options.CallStacks ? new() : null;
    private readonly byte[] status = new byte[4096];
    private TimeSpan stopped;
    private long since;
    private bool needsThisCpu;
    private (Moment Moment, TargetProcess Process)? undelivered;

    public PathFollower Follower => follower;

    /// <summary>
    /// Whether this OS thread has a thread traced that it must not wake: it is to end, as the kernel then lets go of that thread where it
    /// is.
    /// </summary>
    public bool HoldsSleeper { get; private set; }

    /// <summary>What was recorded until now.</summary>
    public RecorderStatistics Statistics { get; private set; } = new(0, 0, TimeSpan.Zero);

    /// <summary>Takes a sample, if the thread can be met.</summary>
    /// <param name="lost">The time that its thread stood still for it.</param>
    /// <returns>Branches recorded.</returns>
    public int Take(in Moment moment, TargetProcess process, out TimeSpan lost)
    {
        int recorded = 0;
        stopped = TimeSpan.Zero;
        if (Seize(moment, process) is { } thread)
        {
            bool isFollowed;
            using (thread)
                isFollowed = Follow(thread, process);
            if (isFollowed)
            {
                // The sink may take long, and a thread that is still traced may come to stand meanwhile.
                undelivered = (moment, process);
                recorded = follower.Path.Branches - Estimator.LeadIn(follower.Path.Branches);
                if (!HoldsSleeper)
                    Deliver();
            }
        }
        lost = stopped;
        Statistics = Statistics with { TargetStoppedTime = Statistics.TargetStoppedTime + stopped };
        return recorded;
    }

    /// <summary>Takes samples from the calling OS thread, until <see cref="Leave"/>.</summary>
    public void Enter()
    {
        HoldsSleeper = false;
        guard.Enter();
        Deliver();
    }

    public void Leave() => guard.Leave();

    public void Dispose()
    {
        guard.Dispose();
        follower.Dispose();
    }

    private TracedThread? Seize(in Moment moment, TargetProcess process)
    {
        int length = ReadFile($"/proc/{moment.ProcessId}/task/{moment.ThreadId}/status", status);
        ReadOnlySpan<byte> read = status.AsSpan(0, Math.Max(0, length));
        int signal = QuietSignal.Of(read);
        if (signal == 0)
        {
            sink.OnLost(read.IsEmpty ? Ended : NoSignal, 1);
            return null;
        }
        guard.Await(moment.ThreadId, PTRACE_DETACH, signal);
        TracedThread? thread = TracedThread.Seize(process.Id, moment.ThreadId, process.IsOurChild, signal, out int error);
        if (thread is null)
            _ = guard.Release();
        if (thread is null && error == EPERM)
            sink.OnLost(AlreadyTraced, 1);
        needsThisCpu = sched_getcpu() == moment.Cpu;
        return thread;
    }

    /// <summary>Meets a thread, follows it and lets it go.</summary>
    /// <returns>Whether there is a path.</returns>
    private bool Follow(TracedThread thread, TargetProcess process)
    {
        WaitResult met = thread.Meet(Patience, needsThisCpu);
        guard.Stands();
        since = Stopwatch.GetTimestamp();
        if (met != WaitResult.Stopped)
        {
            _ = guard.Release();
            if (met == WaitResult.StillRunning)
                sink.OnLost(NotMet, 1);
            HoldsSleeper = met == WaitResult.StillRunning;
            return false;
        }
        string? loss = OtherStop;
        if (thread.IsMet && thread.ReadRegisters(out UserRegisters registers))
            loss = registers.Cs == UserCodeSegment64 ? Follow(thread, process, registers) : NotX64;
        Charge();
        // A sleeper stays guarded: it may wake and stand before this OS thread has ended.
        if (!HoldsSleeper && !guard.Release())
            loss = HeldUp;
        else if (!HoldsSleeper)
            // A thread that cannot be detached is being killed: until this one ends it is a zombie that nobody can wait for.
            HoldsSleeper = !thread.Detach();
        if (loss is null)
            follower.Learn();
        else
            sink.OnLost(loss, 1);
        return loss is null;
    }

    /// <summary>Follows a thread that stands still, across system calls.</summary>
    /// <returns>Why there is no path; null when there is one.</returns>
    private string? Follow(TracedThread thread, TargetProcess process, UserRegisters registers)
    {
        follower.Begin(process);
        callers?.Begin(process.Id, registers);
        Statistics = Statistics with { Bursts = Statistics.Bursts + 1 };
        while (follower.Follow(thread, registers, since) == StopReason.SystemCall && follower.Path.Branches < options.BranchesPerPath
            && !NoReturn.Contains(follower.SystemCall))
        {
            Crossing crossing = Cross(thread, out registers);
            if (crossing is Crossing.Diverged or Crossing.HeldUp)
                return crossing == Crossing.Diverged ? Diverged : HeldUp;
            if (crossing == Crossing.Ended)
                break;
        }
        return null;
    }

    private enum Crossing
    {
        /// <summary>It stands behind the system call.</summary>
        Done,

        /// <summary>It has stopped for something else, or still is in the call.</summary>
        Ended,

        /// <summary>It came to another system call than its path.</summary>
        Diverged,

        /// <summary>It was let go by its guard before its path was followed to the end.</summary>
        HeldUp,
    }

    /// <summary>
    /// Lets a thread run into a system call and out of it. It is stopped at neither end while it waits for anything, and not let go at the
    /// entry: PTRACE_DETACH wakes like a signal, and a call that the thread is still to wait in would come back early.
    /// </summary>
    private Crossing Cross(TracedThread thread, out UserRegisters registers)
    {
        registers = default;
        bool isExpected = false;
        for (int stop = 0; stop < 2; stop++)
        {
            Charge();
            if (!guard.IsHeld)
            {
                HoldsSleeper = true;
                return Crossing.HeldUp;
            }
            guard.Await(thread.ThreadId, stop == 0 ? PTRACE_CONT : PTRACE_DETACH);
            bool runs = thread.RunToSystemCall();
            if (stop == 0)
                follower.Learn();
            if (!runs || thread.Wait(options.MaxStop, needsThisCpu) != WaitResult.Stopped)
            {
                HoldsSleeper = true;
                return stop == 0 || isExpected ? Crossing.Ended : Crossing.Diverged;
            }
            guard.Stands();
            since = Stopwatch.GetTimestamp();
            if (!thread.IsSystemCallStop)
                return Crossing.Ended;
            if (!thread.ReadRegisters(out registers))
                return Crossing.Ended;
            if (stop == 0)
                isExpected = follower.IsAtSystemCall(registers);
        }
        return isExpected ? Crossing.Done : Crossing.Diverged;
    }

    private void Charge() => stopped += Stopwatch.GetElapsedTime(since) + StopLatency;

    private void Deliver()
    {
        if (undelivered is not (Moment moment, TargetProcess process))
            return;
        undelivered = null;
        FollowedPath path = follower.Path;
        if (path.End == StopReason.UnknownCode && process.Code.IsUnknown(follower.InstructionPointer))
            _ = process.ReportMappings(sink);
        else if (path.End == StopReason.UnknownCode)
            sink.OnLost(MadeAtRunTime, 1);
        int leadIn = Estimator.LeadIn(path.Branches);
        Span<BranchEntry> branches = follower.Branches[leadIn..];
        if (!process.Knows(branches) && process.ReportMappings(sink))
        {
            sink.OnLost(Executed, 1);
            return;
        }
        string? reason = path.End switch
        {
            StopReason.TimeUp => OutOfTime,
            StopReason.UnreadableMemory => Unreadable,
            StopReason.NotInterpreted =>
                $"samples cut short at an instruction that is not interpreted: {follower.NotInterpreted.ToString().ToUpperInvariant()}",
            _ => null,
        };
        if (reason is not null)
            sink.OnLost(reason, 1);
        if (branches.Length == 0)
            return;
        int recorded = branches.Length;
        double weight = estimator.Weigh(path, moment.Interval);
        ulong samples = 0;
        FollowCalls(follower.Branches[..leadIn]);
        while (branches.Length > 0)
        {
            Span<BranchEntry> stack = branches[..Math.Min(branches.Length, options.LongestStack)];
            branches = branches[stack.Length..];
            FollowCalls(stack);
            if (estimator.Times(weight) is not 0 and ulong times)
            {
                stack.Reverse();
                samples++;
                sink.OnSample(
                    new BranchSample
                    {
                        ProcessId = process.Id,
                        ThreadId = moment.ThreadId,
                        Stack = stack,
                        Callers = callers is null ? [] : callers.Callers(),
                        Weight = times
                    });
            }
        }
        Statistics = Statistics with { Samples = Statistics.Samples + samples, Branches = Statistics.Branches + (ulong)recorded };
    }

    private void FollowCalls(ReadOnlySpan<BranchEntry> branches)
    {
        if (callers is not null)
            foreach (ref readonly BranchEntry branch in branches)
                callers.Follow(branch);
    }
}
