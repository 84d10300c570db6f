using System.Diagnostics;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;
using Perforator.Branches;
using static Perforator.Recording.Syscalls;

namespace Perforator.Recording.Software;

/// <summary>
/// Records branch stacks without hardware support: at random moments it stops one running thread for an instant and follows its
/// next branches. A thread is traced only for that instant.
/// </summary>
public sealed class SoftwareRecorder : IBranchRecorder
{
    /// <summary>A debugger, strace or another recorder already traces the thread.</summary>
    public const string AlreadyTraced = "thread not recorded: another tracer (a debugger, strace) has it or ptrace is not permitted";

    /// <summary>A thread fell asleep between being seen running and being stopped.</summary>
    public const string LostRace = "stop met a thread inside a system call";

    private static readonly TimeSpan RefreshInterval = TimeSpan.FromMilliseconds(200);

    private readonly IRecordingTargets targets;
    private readonly SoftwareRecorderOptions options;
    private readonly Dictionary<int, TargetProcess> processes = [];
    private readonly List<TracedThread> awaited = [];
    private readonly SteppingFollower follower = new();
    private readonly BranchEntry[] branches;
    private RecorderStatistics statistics = new(0, 0, TimeSpan.Zero);

    /// <summary>Nanoseconds of a thread's CPU time between two of its samples, on average.</summary>
    private double meanInterval = 10e6;

    private double meanStop;

    /// <param name="targets">The processes to record.</param>
    /// <exception cref="UserErrorException">This is not an x86-64 host.</exception>
    public SoftwareRecorder(IRecordingTargets targets, SoftwareRecorderOptions? options = null)
    {
        if (RuntimeInformation.ProcessArchitecture != Architecture.X64)
            throw new UserErrorException(
                $"the software recorder follows x86-64 code only and this host is {RuntimeInformation.ProcessArchitecture}: record with hardware branch stacks (--source lbr), or on an x86-64 host");
        this.targets = targets;
        this.options = options ?? new SoftwareRecorderOptions();
        branches = new BranchEntry[this.options.BranchesPerBurst];
    }

    /// <inheritdoc/>
    public string Source => "software";

    /// <inheritdoc/>
    public RecorderStatistics Statistics => Volatile.Read(ref statistics);

    /// <summary>Records as the interface says; the sink is called from a thread of the recorder's own while the caller waits.</summary>
    /// <remarks>ptrace is per thread, and the kernel lets all tracees of a thread that ends run on: the last line of defence.</remarks>
    public void Run(IBranchSink sink, CancellationToken stop)
    {
        ExceptionDispatchInfo? failure = null;
        int tracer = 0;
        Thread thread = new(() =>
        {
            tracer = gettid();
            try
            {
                Record(sink, stop);
            }
            catch (Exception e)
            {
                failure = ExceptionDispatchInfo.Capture(e);
            }
        })
        { Name = "software recorder" };
        thread.Start();
        thread.Join();
        // Join returns a little before the thread has left the kernel and its tracees with it.
        for (int i = 0; i < 1000 && Directory.Exists($"/proc/self/task/{tracer}"); i++)
            Thread.Sleep(1);
        failure?.Throw();
    }

    public void Dispose()
    {
    }

    /// <summary>
    /// Keeps the stops of traced threads from raising SIGCHLD here: System.Diagnostics.Process handles it by asking waitid(2) after
    /// its children, which finds stops as well.
    /// </summary>
    private static unsafe void SilenceStopSignals()
    {
        SignalAction action;
        if (sigaction(SIGCHLD, null, &action) != 0 || (action.Flags & SA_NOCLDSTOP) != 0)
            return;
        action.Flags |= SA_NOCLDSTOP;
        _ = sigaction(SIGCHLD, &action, null);
    }

    private void Record(IBranchSink sink, CancellationToken stop)
    {
        SilenceStopSignals();
        long refreshed = 0;
        while (!stop.IsCancellationRequested)
        {
            if (refreshed == 0 || Stopwatch.GetElapsedTime(refreshed) >= RefreshInterval)
            {
                if (!Refresh(sink))
                    return;
                refreshed = Stopwatch.GetTimestamp();
            }
            DetachAwaited();
            foreach (TargetProcess process in processes.Values)
                foreach (TargetThread thread in process.Threads.ToArray())
                    if (IsDue(thread) && thread.IsRunning() && !IsAwaited(thread) && !stop.IsCancellationRequested)
                        Sample(thread, sink);
            if (options.MaxOverhead < 1 || statistics.Samples == 0)
                stop.WaitHandle.WaitOne(TimeSpan.FromMicroseconds(Math.Max(1000, ExponentialRandom.Next() * meanInterval / 4000)));
        }
    }

    private bool Refresh(IBranchSink sink)
    {
        IReadOnlySet<int>? wanted = targets.Refresh();
        foreach (int ended in processes.Keys.Where(id => wanted?.Contains(id) != true).ToArray())
        {
            processes.Remove(ended);
            sink.OnExit(ended);
        }
        foreach (int id in wanted ?? new HashSet<int>())
        {
            if (!processes.TryGetValue(id, out TargetProcess? process))
                processes.Add(id, process = new TargetProcess(id));
            process.RefreshThreads();
            process.ReportMappings(sink);
        }
        return wanted is not null;
    }

    private bool IsDue(TargetThread thread)
    {
        if (thread.TakeCpuTime() is not { } used)
        {
            thread.Process.Forget(thread);
            return false;
        }
        thread.Due += used / meanInterval;
        return thread.Due >= 0 || options.MaxOverhead >= 1;
    }

    private void Sample(TargetThread target, IBranchSink sink)
    {
        target.Due -= ExponentialRandom.Next();
        TracedThread? thread = TracedThread.Seize(target.Process.ProcessId, target.ThreadId, target.Process.IsOurChild, out int error);
        if (thread is null)
        {
            if (error == EPERM)
                sink.OnLost(AlreadyTraced, 1);
            return;
        }
        WaitResult state = WaitResult.StillRunning;
        long begin = 0;
        int count = 0;
        try
        {
            if (thread.Interrupt())
                state = thread.Wait(TimeSpan.FromMilliseconds(20));
            begin = Stopwatch.GetTimestamp();
            if (state == WaitResult.Stopped && thread.StopEvent == PTRACE_EVENT_STOP && thread.StopSignal == SIGTRAP
                && thread.ReadRegisters(out UserRegisters registers))
            {
                if ((long)registers.OrigRax >= 0)
                    sink.OnLost(LostRace, 1);
                count = follower.Follow(thread, registers, branches, out state);
            }
        }
        finally
        {
            if (state == WaitResult.Stopped)
                thread.Detach();
            else if (state == WaitResult.StillRunning)
                awaited.Add(thread);
        }
        Account(Stopwatch.GetElapsedTime(begin), count);
        if (count == 0)
            return;
        if (!target.Process.Knows(branches.AsSpan(0, count)))
            target.Process.ReportMappings(sink);
        Array.Reverse(branches, 0, count);
        sink.OnSample(new BranchSample { ProcessId = target.Process.ProcessId, ThreadId = target.ThreadId, Stack = branches.AsSpan(0, count) });

    }

    /// <summary>Books one stop and adapts the interval between stops to what stops cost.</summary>
    private void Account(TimeSpan stopped, int count)
    {
        RecorderStatistics before = statistics;
        Volatile.Write(ref statistics, new(before.Samples + (count > 0 ? 1u : 0u), before.Branches + (ulong)count, before.TargetStoppedTime + stopped));
        double nanoseconds = stopped.TotalNanoseconds;
        meanStop = meanStop == 0 ? nanoseconds : (meanStop * 0.95) + (nanoseconds * 0.05);
        meanInterval = meanStop / Math.Clamp(options.MaxOverhead, 1e-4, 1);
    }

    private bool IsAwaited(TargetThread thread) => awaited.Exists(a => a.ThreadId == thread.ThreadId);

    /// <summary>Lets threads go whose stop came after the recorder's patience had ended.</summary>
    private void DetachAwaited()
    {
        for (int i = awaited.Count - 1; i >= 0; i--)
        {
            WaitResult state = awaited[i].Poll();
            if (state == WaitResult.Stopped)
                awaited[i].Detach();
            if (state != WaitResult.StillRunning)
                awaited.RemoveAt(i);
        }
    }
}
