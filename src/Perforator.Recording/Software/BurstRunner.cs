using System.Diagnostics;
using Perforator.Branches;
using Perforator.Recording.Interpreter;
using static Perforator.Recording.Syscalls;

namespace Perforator.Recording.Software;

/// <summary>
/// Takes one sample after another: stops the thread, has it followed, lets it through its system calls and follows it on, hands
/// over the branch stack. Threads inside long system calls are kept aside meanwhile.
/// </summary>
internal sealed class BurstRunner(SoftwareRecorderOptions options, Placement placement) : IDisposable
{
    public const string AlreadyTraced = "threads not recorded: another tracer (debugger, strace) has them, or ptrace is not permitted (perforator doctor tells)";
    public const string NotX64 = "threads not recorded: they run 32-bit code";
    public const string InKernel = "stops that met a thread in the kernel (system call, page fault): tried again a moment later";
    public const string LostRace = "stops that met a thread waiting in a system call, which the kernel restarts or ends with EINTR";
    public const string Diverged = "samples dropped: the thread took another path than the interpreter (memory shared with other threads or devices)";
    public const string Unreadable = "samples cut short at memory that cannot be read";
    public const string OutOfTime = "samples cut short by the time bound of a stop (what there is of them counts for more)";
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

    /// <summary>A sample is followed so many times as far as the one before it of its thread was to count, within bounds: the next may be of quicker code.</summary>
    private const int Ahead = 2, LeastAhead = 4000;

    /// <summary>Longer than a thread takes to run again that need not wait for a CPU.</summary>
    private static readonly TimeSpan UsualArrival = TimeSpan.FromMicroseconds(200);

    private static readonly TimeSpan ShortSleep = TimeSpan.FromMicroseconds(20);

    private static readonly TimeSpan StopPatience = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan SystemCallPatience = TimeSpan.FromMicroseconds(100);

    private readonly ThreadFollower follower = new(options);
    private readonly List<Burst> aside = [];
    /// <summary>Threads killed while they stood still: to be waited for, or their processes could not end.</summary>
    private readonly List<TracedThread> dying = [];
    private readonly Stack<BranchEntry[]> buffers = [];
    private readonly Odometer odometer = new();
    /// <summary>Whose thread's counters are being read, so that its sample is still to be handed over.</summary>
    private Burst? watched;

    public Lowering Lowering => follower.Lowering;

    public ulong Samples { get; private set; }

    public ulong Branches { get; private set; }

    /// <summary>As many as there would be if all samples had the usual weight.</summary>
    public double BranchesUnweighted { get; private set; }

    /// <summary>How often a thread was stopped and followed.</summary>
    public ulong Bursts { get; private set; }

    public TimeSpan Stopped { get; private set; }

    /// <summary>Whether any thread is being waited for.</summary>
    public bool IsWaiting => aside.Count > 0 || dying.Count > 0;

    /// <summary>Whether a thread that runs on is being watched.</summary>
    public bool IsWatching => watched is not null;

    /// <summary>Whether the last stop met a thread in the kernel, and so gave no sample.</summary>
    public bool MetKernel { get; private set; }

    /// <summary>To be called before the first sample.</summary>
    public void Rehearse() => follower.Rehearse();

    /// <inheritdoc cref="ThreadFollower.WarmUp"/>
    public bool WarmUp(TargetProcess process) => follower.WarmUp(process);

    /// <summary>Takes a sample of a running thread, or begins to.</summary>
    /// <param name="weight">How many times the usual time it stands for.</param>
    public void Begin(TargetThread target, IBranchSink sink, double weight = 1)
    {
        EndWatch(sink);
        MetKernel = false;
        if (aside.Exists(b => b.Target == target))
            return;
        TracedThread? thread = TracedThread.Seize(target.Process.ProcessId, target.ThreadId, target.Process.IsOurChild, out int error);
        if (thread is null)
        {
            if (error == EPERM)
                sink.OnLost(AlreadyTraced, 1);
            return;
        }
        Burst burst = new(target, thread, buffers.TryPop(out BranchEntry[]? buffer) ? buffer : new BranchEntry[options.BranchesPerBurst])
        {
            Weight = weight,
            MinorFaults = target.MinorFaults,
            MaxBranches = Math.Min(Burst.LeadIn + Math.Max((int)(Ahead * weight * target.LastLength), LeastAhead), options.BranchesPerBurst),
        };
        bool released = false;
        try
        {
            burst.Standing = target.Scheduling.Read() ?? default;
            if (thread.Interrupt())
                Continue(burst, AwaitStop(burst), sink);
            else
                dying.Add(thread);
            released = true;
        }
        finally
        {
            // An exception of the sink or of ours must not leave the thread behind stopped.
            if (!released)
                _ = LetGo(thread);
        }
    }

    private bool LetGo(TracedThread thread)
    {
        bool runs = thread.Detach();
        if (!runs && thread.Wait(SystemCallPatience) != WaitResult.Gone)
            dying.Add(thread);
        return runs;
    }

    private static bool HasEnded(TracedThread thread) => thread.Poll() switch
    {
        WaitResult.Gone => true,
        WaitResult.Stopped => thread.Detach(),
        _ => false,
    };

    /// <summary>Looks after the threads that are being waited for, or watched.</summary>
    public void Poll(IBranchSink sink)
    {
        dying.RemoveAll(HasEnded);
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
        OdometerReading? reading = odometer.Speed();
        if (reading is { } read)
            burst.Target.Process.Speed.Learn(burst.Shape, read.Speed);
        Deliver(burst, sink, reading);
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
            state = burst.Thread.Wait(SystemCallPatience, placement.SharesCpu);
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
            Charge(burst);
            if (LetGo(burst.Thread))
                AwaitArrival(burst);
        }
        if (burst.InstructionCount > 0)
        {
            Bursts++;
            follower.Learn();
        }
        EndWatch(sink);
        if (state == WaitResult.Stopped && follower.HasOdometer(burst, odometer))
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
        WaitResult state = burst.Thread.Wait(StopPatience, placement.SharesCpu);
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
        burst.Standing = burst.Target.Scheduling.Read() ?? default;
        burst.Since = Stopwatch.GetTimestamp();
    }

    private bool RunToSystemCall(Burst burst)
    {
        Charge(burst);
        return burst.Thread.RunToSystemCall();
    }

    /// <summary>Waits until a thread that was let go has a CPU again, and charges that. Where it needs this thread's, what it waits is charged with what this one computes.</summary>
    private void AwaitArrival(Burst burst)
    {
        if (placement.SharesCpu)
            return;
        SchedulerStatistics scheduling = burst.Target.Scheduling;
        SchedulerReading? now = scheduling.Read();
        while (now?.Arrivals == burst.Standing.Arrivals && Stopwatch.GetElapsedTime(burst.Since) is var passed && passed < ArrivalPatience)
        {
            // It may be this thread's CPU that it waits for. Asleep, this one would see its arrival late.
            if (passed > UsualArrival)
                Sleep(ShortSleep);
            now = scheduling.Read();
        }
        // Seen late, when this thread had to wait for a CPU itself, it is what the thread waited and the usual way to a CPU.
        double seen = Stopwatch.GetElapsedTime(burst.Since).TotalMicroseconds, waited = (now?.Waited - burst.Standing.Waited ?? 0) / 1000.0;
        Stopped += TimeSpan.FromMicroseconds(Math.Min(seen, waited + LongestWakeUp));
    }

    /// <summary>Whether a stop broke off a system call: it is to return ERESTARTSYS … ERESTART_RESTARTBLOCK or EINTR.</summary>
    internal static bool WasWaiting(in UserRegisters registers) =>
        (long)registers.OrigRax >= 0 && (long)registers.Rax is -4 or (<= -512 and >= -516);

    /// <summary>Deals with a stop.</summary>
    /// <returns>True when the thread was sent on to its next stop, false when the burst is over.</returns>
    private bool Advance(Burst burst, IBranchSink sink)
    {
        TracedThread thread = burst.Thread;
        bool expected = burst.Stage == BurstStage.Stopping
            ? thread.StopEvent == PTRACE_EVENT_STOP && thread.StopSignal == SIGTRAP
            : thread.IsSystemCallStop;
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
                MetKernel = !WasWaiting(registers);
                sink.OnLost(MetKernel ? InKernel : LostRace, 1);
                return false;
            case BurstStage.Running:
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
        follower.Load(burst, registers);
        if (burst.Stage == BurstStage.Stopping && follower.IsAtBlankPage(burst) && burst.Target.HasFaultedSince(burst.MinorFaults))
        {
            MetKernel = true;
            sink.OnLost(InKernel, 1);
            return false;
        }
        burst.End = follower.Follow(burst);
        switch (burst.End)
        {
            case StopReason.SystemCall when burst.BranchCount < burst.MaxBranches && aside.Count < MaxAside
                && follower.SystemCall is not (ExecveCall or ExitCall or ExitGroupCall or ExecveatCall or SigreturnCall or VforkCall):
                burst.Stage = BurstStage.Running;
                bool runs = RunToSystemCall(burst);
                if (runs)
                    AwaitArrival(burst);
                return runs;
            case StopReason.NotInterpreted:
                sink.OnLost($"samples cut short at an instruction that is not interpreted: {follower.NotInterpreted.ToString().ToUpperInvariant()}", 1);
                return false;
            case StopReason.UnreadableMemory:
                sink.OnLost(Unreadable, 1);
                return false;
            default:
                return false;
        }
    }

    /// <param name="reading">Of its odometer, where it has one.</param>
    private void Deliver(Burst burst, IBranchSink sink, OdometerReading? reading = null)
    {
        buffers.Push(burst.Branches);
        if (burst.BranchCount == 0)
            return;
        TargetProcess process = burst.Target.Process;
        double length = process.Speed.Estimate(burst.Shape, reading) * process.Speed.SampleTime;
        burst.Target.LastLength = (int)length;
        int counted = (int)(length * burst.Weight);
        Span<BranchEntry> branches = burst.Counted(counted, out double times);
        if (burst.End == StopReason.TimeUp && times > 1)
            sink.OnLost(OutOfTime, 1);
        if (!process.Knows(branches) && process.ReportMappings(sink))
        {
            sink.OnLost(Executed, 1);
            return;
        }
        Branches += (ulong)branches.Length;
        BranchesUnweighted += branches.Length / burst.Weight;
        while (branches.Length > 0)
        {
            Span<BranchEntry> stack = branches[..Math.Min(branches.Length, options.LongestStack)];
            branches = branches[stack.Length..];
            stack.Reverse();
            Samples++;
            ulong weight = (ulong)(times + Random.Shared.NextDouble());
            sink.OnSample(new BranchSample { ProcessId = process.ProcessId, ThreadId = burst.Target.ThreadId, Stack = stack, Weight = weight });
        }
    }
}
