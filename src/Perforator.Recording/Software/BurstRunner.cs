using System.Diagnostics;
using Perforator.Branches;
using Perforator.Recording.Interpreter;
using static Perforator.Recording.Syscalls;

namespace Perforator.Recording.Software;

/// <summary>
/// Takes one sample after another: stops the thread, has it followed, lets it through its system calls and follows it on, hands
/// over the branch stack. Threads inside long system calls are kept aside meanwhile.
/// </summary>
internal sealed class BurstRunner(SoftwareRecorderOptions options) : IDisposable
{
    public const string AlreadyTraced = "threads not recorded: another tracer (debugger, strace) has them, or ptrace is not permitted (perforator doctor tells)";
    public const string NotX64 = "threads not recorded: they run 32-bit code";
    public const string InKernel = "stops that met a thread in the kernel: no sample, as user time is what is sampled";
    public const string LostRace = "stops that met a thread waiting in a system call, which the kernel restarts or ends with EINTR";
    public const string Diverged = "samples dropped: the thread took another path than the interpreter (memory shared with other threads or devices)";
    public const string Unreadable = "samples cut short at memory that cannot be read";
    public const string OutOfTime = "samples cut short by the time bound of a stop";
    public const string Executed = "samples dropped: their process executed another program or ended before its mappings were known";

    /// <summary>System calls that a stack does not span, as the thread does not come back from them to where it was.</summary>
    private const long ExecveCall = 59, ExitCall = 60, ExitGroupCall = 231, ExecveatCall = 322, SigreturnCall = 15, VforkCall = 58;

    /// <summary>More threads than this are not kept waiting for their system calls; further samples then end at theirs.</summary>
    private const int MaxAside = 32;

    private const ulong UserCodeSegment64 = 0x33;

    /// <summary>From the moment a thread stands still to the moment the recorder sees it: some 10 µs, charged for each stop.</summary>
    private static readonly TimeSpan StopLatency = TimeSpan.FromMicroseconds(10);

    /// <summary>Longer than it takes to stop a thread where neither it nor the recorder waits for a CPU.</summary>
    private static readonly TimeSpan UsualStop = TimeSpan.FromMicroseconds(100);

    /// <summary>Microseconds from letting a thread go to its running, where it need not wait for a CPU: an interrupt to a sleeping one.</summary>
    private const double LongestWakeUp = 50;

    /// <summary>How long to watch for a thread that was let go to be given a CPU.</summary>
    private static readonly TimeSpan ArrivalPatience = TimeSpan.FromMilliseconds(2);

    /// <summary>Longer than a thread takes to run again that need not wait for a CPU.</summary>
    private static readonly TimeSpan UsualArrival = TimeSpan.FromMicroseconds(200);

    private static readonly TimeSpan ShortSleep = TimeSpan.FromMicroseconds(20);

    private static readonly TimeSpan StopPatience = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan SystemCallPatience = TimeSpan.FromMicroseconds(100);

    private readonly ThreadFollower follower = new(options);
    private readonly List<Burst> aside = [];
    private readonly Stack<BranchBuffer> buffers = [];
    private readonly ObservationWindow window = new(options.InstructionsPerBurst);
    private readonly Odometer odometer = new();
    /// <summary>Whose thread's counters are being read, so that its sample is still to be handed over.</summary>
    private Burst? watched;
    private TimeSpan wakeUp;

    public Lowering Lowering => follower.Lowering;

    public ulong Samples { get; private set; }

    public ulong Branches { get; private set; }

    /// <summary>How often a thread was stopped and followed.</summary>
    public ulong Bursts { get; private set; }

    public TimeSpan Stopped { get; private set; }

    /// <summary>Whether any thread is being waited for.</summary>
    public bool IsWaiting => aside.Count > 0;

    /// <summary>Whether a thread that runs on is being watched.</summary>
    public bool IsWatching => watched is not null;

    /// <summary>To be called before the first sample.</summary>
    public void Rehearse() => follower.Rehearse();

    /// <inheritdoc cref="ThreadFollower.WarmUp"/>
    public bool WarmUp(TargetProcess process) => follower.WarmUp(process, window.Instructions);

    /// <summary>Takes a sample of a running thread, or begins to.</summary>
    public void Begin(TargetThread target, IBranchSink sink)
    {
        EndWatch(sink);
        if (aside.Exists(b => b.Target == target))
            return;
        TracedThread? thread = TracedThread.Seize(target.Process.ProcessId, target.ThreadId, target.Process.IsOurChild, out int error);
        if (thread is null)
        {
            if (error == EPERM)
                sink.OnLost(AlreadyTraced, 1);
            return;
        }
        Burst burst = new(target, thread, buffers.TryPop(out BranchBuffer? buffer) ? buffer : new BranchBuffer(options.BranchesPerBurst));
        bool released = false;
        try
        {
            burst.Standing = target.Scheduling.Read() ?? default;
            if (thread.Interrupt())
                Continue(burst, AwaitStop(burst), sink);
            released = true;
        }
        finally
        {
            // An exception of the sink or of ours must not leave the thread behind stopped.
            if (!released)
                thread.Detach();
        }
    }

    /// <summary>Looks after the threads that are being waited for, or watched.</summary>
    public void Poll(IBranchSink sink)
    {
        foreach (Burst burst in aside.ToArray())
        {
            WaitResult state = burst.Thread.Poll();
            if (state == WaitResult.StillRunning)
                continue;
            aside.Remove(burst);
            Continue(burst, state, sink);
        }
        if (watched is not null && odometer.Read(watched.Target.Process.ProcessId))
            EndWatch(sink);
    }

    /// <summary>Hands over the sample whose thread is being watched.</summary>
    public void EndWatch(IBranchSink sink)
    {
        if (watched is not { } burst)
            return;
        watched = null;
        if (odometer.Speed() is { } speed)
            burst.Target.SampleLength.Learn(speed, burst.Taken ?? burst.BranchCount);
        Deliver(burst, sink);
    }

    /// <summary>How soon the next <see cref="Poll"/> is wanted: a thread should wait for it no more than an eighth of what its call took.</summary>
    public TimeSpan PollInterval()
    {
        TimeSpan interval = TimeSpan.FromMilliseconds(1);
        if (watched is not null && odometer.Due < interval)
            interval = odometer.Due;
        foreach (Burst burst in aside)
        {
            TimeSpan due = Stopwatch.GetElapsedTime(burst.Since) / 8;
            if (due < interval)
                interval = due;
        }
        return interval < SystemCallPatience ? SystemCallPatience : interval;
    }

    /// <summary>Hands over what is there of unfinished samples. Their threads are let go by the end of this OS thread, which wakes none.</summary>
    public void Finish(IBranchSink sink)
    {
        EndWatch(sink);
        foreach (Burst burst in aside)
            Deliver(burst, sink);
        aside.Clear();
    }

    public void Dispose() => follower.Dispose();

    private void Continue(Burst burst, WaitResult state, IBranchSink sink)
    {
        burst.Since = Stopwatch.GetTimestamp();
        while (state == WaitResult.Stopped && Advance(burst, sink))
        {
            state = burst.Stage == BurstStage.Running ? RunWindow(burst) : burst.Thread.Wait(SystemCallPatience);
            if (state == WaitResult.Stopped)
                burst.Since = Stopwatch.GetTimestamp();
        }
        if (state == WaitResult.StillRunning)
        {
            aside.Add(burst);
            return;
        }
        if (state == WaitResult.Stopped)
        {
            // What the kernel does until the thread runs again is charged as it was seen last.
            Charge(burst);
            Stopped += wakeUp;
            burst.Thread.Detach();
        }
        if (burst.InstructionCount > 0)
        {
            Bursts++;
            follower.Learn();
        }
        EndWatch(sink);
        if (state == WaitResult.Stopped && burst.BranchCount > 0 && follower.HasOdometer(burst, odometer))
            watched = burst;
        else
            Deliver(burst, sink);
    }

    /// <summary>
    /// Waits for a stop that was asked for. What it takes beyond the usual is charged, but for what the thread itself waited for a CPU: perhaps it stood still and this one had no CPU
    /// to see it.
    /// </summary>
    private WaitResult AwaitStop(Burst burst)
    {
        long asked = Stopwatch.GetTimestamp();
        WaitResult state = burst.Thread.Wait(StopPatience);
        TimeSpan late = Stopwatch.GetElapsedTime(asked) - UsualStop;
        if (late > TimeSpan.Zero && burst.Target.Scheduling.Read() is { } now)
            late -= TimeSpan.FromMicroseconds((now.Waited - burst.Standing.Waited) / 1000.0);
        if (late > TimeSpan.Zero)
            Stopped += late;
        return state;
    }

    /// <summary>Charges the time a thread stood still, before it is let go: afterwards it may be this thread that waits for a CPU.</summary>
    private void Charge(Burst burst)
    {
        Stopped += Stopwatch.GetElapsedTime(burst.Since) + StopLatency;
        burst.Since = Stopwatch.GetTimestamp();
    }

    private bool RunToSystemCall(Burst burst)
    {
        Charge(burst);
        return burst.Thread.RunToSystemCall();
    }

    /// <summary>Lets the thread run by itself until it stops at a system call or the window ends, which begins when the thread has a CPU.</summary>
    private WaitResult RunWindow(Burst burst)
    {
        SchedulerStatistics scheduling = burst.Target.Scheduling;
        SchedulerReading? now = scheduling.Read();
        while (now?.Arrivals == burst.Standing.Arrivals && Stopwatch.GetElapsedTime(burst.Since) is var passed && passed < ArrivalPatience)
        {
            // It may be this thread's CPU that it waits for. Asleep, this one would see its arrival late.
            if (passed > UsualArrival)
                Sleep(ShortSleep);
            now = scheduling.Read();
        }
        long arrival = Stopwatch.GetTimestamp();
        // Seen late, when this thread had to wait for a CPU itself, it is what the thread waited and the usual way to a CPU.
        double seen = Stopwatch.GetElapsedTime(burst.Since, arrival).TotalMicroseconds, waited = (now?.Waited - burst.Standing.Waited ?? 0) / 1000.0;
        burst.Standing = now ?? burst.Standing;
        wakeUp = TimeSpan.FromMicroseconds(Math.Min(seen, waited + LongestWakeUp));
        Stopped += wakeUp;
        while (true)
        {
            WaitResult state = burst.Thread.Poll();
            TimeSpan ran = Stopwatch.GetElapsedTime(arrival);
            if (state == WaitResult.StillRunning && ran < burst.Window)
                continue;
            burst.Window -= ran;
            if (state != WaitResult.StillRunning)
                return state;
            burst.Stage = BurstStage.Ending;
            return burst.Thread.Interrupt() ? AwaitStop(burst) : WaitResult.Gone;
        }
    }

    /// <summary>Whether a stop broke off a system call: it is to return ERESTARTSYS … ERESTART_RESTARTBLOCK or EINTR.</summary>
    internal static bool WasWaiting(in UserRegisters registers) =>
        (long)registers.OrigRax >= 0 && (long)registers.Rax is -4 or (<= -512 and >= -516);

    /// <summary>Deals with a stop.</summary>
    /// <returns>True when the thread was sent on to its next stop, false when the burst is over.</returns>
    private bool Advance(Burst burst, IBranchSink sink)
    {
        TracedThread thread = burst.Thread;
        bool expected = burst.Stage is BurstStage.Stopping or BurstStage.Ending
            ? thread.StopEvent == PTRACE_EVENT_STOP && thread.StopSignal == SIGTRAP
            : thread.IsSystemCallStop;
        if (burst.Stage == BurstStage.Ending && thread.IsSystemCallStop)
        {
            // The interrupt that was to end the window came as the thread entered the call, which may now end with EINTR.
            sink.OnLost(LostRace, 1);
            return Leave(burst);
        }
        // Anything else is a signal to be delivered or a group stop: the path ends here.
        if (!expected || !thread.ReadRegisters(out UserRegisters registers))
            return false;
        if (registers.Cs != UserCodeSegment64)
        {
            sink.OnLost(NotX64, 1);
            return false;
        }
        switch (burst.Stage)
        {
            case BurstStage.Stopping when (long)registers.OrigRax >= 0:
                sink.OnLost(WasWaiting(registers) ? LostRace : InKernel, 1);
                return false;
            case BurstStage.Running:
                if (!burst.ReachedSystemCall)
                    return Leave(burst);
                if (registers.Rip != burst.ExpectedInstructionPointer || registers.Rsp != burst.ExpectedStackPointer)
                {
                    sink.OnLost(Diverged, 1);
                    burst.BranchCount = 0;
                    return Leave(burst);
                }
                burst.Stage = BurstStage.InSystemCall;
                if (!RunToSystemCall(burst))
                    return false;
                follower.Learn();
                return true;
            case BurstStage.Leaving:
                return false;
            case BurstStage.Ending:
                if (WasWaiting(registers))
                    sink.OnLost(LostRace, 1);
                bool beyond = true;
                burst.Taken = (long)registers.OrigRax < 0 ? follower.Locate(burst, registers, window.Instructions, out beyond) : null;
                int counted = burst.Target.SampleLength.Counted(burst.Taken ?? burst.BranchCount);
                window.Learn(beyond || burst.BranchCount < counted);
                if (burst.Taken is not null)
                    follower.FollowOn(burst, counted);
                return false;
            default:
                return Follow(burst, registers, sink);
        }
    }

    /// <summary>
    /// Lets a thread that is about to enter a system call through it, to be detached behind: PTRACE_DETACH wakes like a signal, and a
    /// call that the thread is still to wait in would end with EINTR.
    /// </summary>
    private bool Leave(Burst burst)
    {
        burst.Stage = BurstStage.Leaving;
        return RunToSystemCall(burst);
    }

    private bool Follow(Burst burst, in UserRegisters registers, IBranchSink sink)
    {
        StopReason reason = follower.Follow(burst, registers, window.Instructions);
        burst.ReachedSystemCall = reason == StopReason.SystemCall && aside.Count < MaxAside
            && follower.SystemCall is not (ExecveCall or ExitCall or ExitGroupCall or ExecveatCall or SigreturnCall or VforkCall);
        switch (reason)
        {
            case StopReason.NotInterpreted:
                sink.OnLost($"samples cut short at an instruction that is not interpreted: {follower.NotInterpreted.ToString().ToUpperInvariant()}", 1);
                return false;
            case StopReason.UnreadableMemory:
                sink.OnLost(Unreadable, 1);
                return false;
            default:
                burst.RanOutOfTime |= reason == StopReason.TimeUp;
                break;
        }
        burst.Stage = BurstStage.Running;
        burst.Standing = burst.Target.Scheduling.Read() ?? default;
        return RunToSystemCall(burst);
    }

    private void Deliver(Burst burst, IBranchSink sink)
    {
        buffers.Push(burst.Buffer);
        if (burst.BranchCount == 0)
            return;
        int counted = burst.Target.SampleLength.Counted(burst.Taken ?? burst.BranchCount);
        if (burst.RanOutOfTime && burst.BranchCount < counted)
            sink.OnLost(OutOfTime, 1);
        Span<BranchEntry> branches = burst.Buffer.Branches.AsSpan(0, Math.Min(burst.BranchCount, counted));
        TargetProcess process = burst.Target.Process;
        if (!process.Knows(branches) && process.ReportMappings(sink))
        {
            sink.OnLost(Executed, 1);
            return;
        }
        Branches += (ulong)branches.Length;
        while (branches.Length > 0)
        {
            Span<BranchEntry> stack = branches[..Math.Min(branches.Length, options.LongestStack)];
            branches = branches[stack.Length..];
            stack.Reverse();
            Samples++;
            sink.OnSample(new BranchSample { ProcessId = process.ProcessId, ThreadId = burst.Target.ThreadId, Stack = stack });
        }
    }
}
