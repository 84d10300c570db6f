using System.Diagnostics;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;
using Perforator.Branches;
using Perforator.Recording.Processes;
using static Perforator.Recording.Syscalls;

namespace Perforator.Recording.Software;

/// <summary>
/// Records branch stacks without hardware support: at random moments it stops one running thread for an instant and follows its
/// next branches by interpreting its code on a copy of what it touches. A thread is traced only for that instant, and nothing is
/// ever written to it: no single-stepping, no breakpoints, so even SIGKILL of the recorder leaves the target as it was.
/// </summary>
public sealed class SoftwareRecorder : IBranchRecorder
{
    private static readonly TimeSpan RefreshInterval = TimeSpan.FromMilliseconds(200), LongestRefreshInterval = TimeSpan.FromSeconds(2);

    /// <summary>Once something was created that may be a target's new thread or process.</summary>
    private static readonly TimeSpan ShortestRefreshInterval = TimeSpan.FromMilliseconds(10);

    /// <summary>Looking at all threads and mappings may take one part in so many of the time; more while tasks are being created.</summary>
    private const int RefreshShare = 1000, RefreshShareOfChange = 100;

    /// <summary>So many first refreshes say nothing of what one costs, as they have code compiled.</summary>
    private const int FirstRefreshes = 5;

    /// <summary>Nanoseconds of a thread's CPU time.</summary>
    private const double LongestBacklog = 10e6;

    /// <summary>Mean intervals that a sample may be late for an odometer to be read to its end.</summary>
    private const double LateAfter = 3;

    /// <summary>How often to try to meet a thread outside the kernel, and the mean time between.</summary>
    private const int Tries = 4;
    private static readonly TimeSpan RetryAfter = TimeSpan.FromMicroseconds(50);

    private readonly IRecordingTargets targets;
    private readonly SoftwareRecorderOptions options;
    private readonly Dictionary<int, TargetProcess> processes = [];
    private readonly Pacer pacer;
    private readonly Placement placement = new();
    private RecorderStatistics statistics = new(0, 0, TimeSpan.Zero);

    /// <param name="targets">The processes to record.</param>
    /// <exception cref="UserErrorException">This is not an x86-64 host.</exception>
    public SoftwareRecorder(IRecordingTargets targets, SoftwareRecorderOptions? options = null)
    {
        if (RuntimeInformation.ProcessArchitecture != Architecture.X64)
            throw new UserErrorException(
                $"the software recorder follows x86-64 code only and this host is {RuntimeInformation.ProcessArchitecture}: record with hardware branch stacks (--source lbr), or on an x86-64 host");
        this.targets = targets;
        this.options = options ?? new SoftwareRecorderOptions();
        pacer = new Pacer(this.options.MaxOverhead, this.options.BranchesPerSecond);
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

    public void Dispose() => placement.Dispose();

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
        placement.Begin();
        using BurstRunner runner = new(options, placement);
        try
        {
            runner.Rehearse();
            DressRehearsal.Run(options);
            // What was spent until now is not the targets'.
            pacer.Forgive(ThreadCpuTime());
            long refreshed = 0;
            int refreshes = 0;
            TimeSpan cost = TimeSpan.Zero;
            NewestTask newest = new();
            while (!stop.IsCancellationRequested)
            {
                TimeSpan since = Stopwatch.GetElapsedTime(refreshed);
                if (refreshed == 0 || since >= Clamp(cost * RefreshShare, RefreshInterval, LongestRefreshInterval)
                    || (since >= Clamp(cost * RefreshShareOfChange, ShortestRefreshInterval, RefreshInterval) && newest.HasChanged))
                {
                    newest.Look();
                    TimeSpan before = ThreadCpuTime();
                    if (!Refresh(runner, sink))
                        break;
                    refreshed = Stopwatch.GetTimestamp();
                    if (++refreshes > FirstRefreshes)
                        cost = ThreadCpuTime() - before;
                }
                Sample(runner, sink, stop);
                Wait(runner, sink, stop);
            }
            runner.Finish(sink);
        }
        finally
        {
            foreach (TargetProcess process in processes.Values)
                process.Dispose();
        }
    }

    private static TimeSpan Clamp(TimeSpan time, TimeSpan least, TimeSpan most) => TimeSpan.FromTicks(Math.Clamp(time.Ticks, least.Ticks, most.Ticks));

    private bool Refresh(BurstRunner runner, IBranchSink sink)
    {
        // It may be of a process that has ended.
        runner.EndWatch(sink);
        IReadOnlySet<int>? wanted = targets.Refresh();
        foreach (int ended in processes.Keys.Where(id => wanted?.Contains(id) != true).ToArray())
        {
            processes.Remove(ended, out TargetProcess? process);
            process!.Dispose();
            sink.OnExit(ended);
        }
        foreach (int id in wanted ?? new HashSet<int>())
        {
            if (!processes.TryGetValue(id, out TargetProcess? process))
                processes.Add(id, process = new TargetProcess(id, runner.Lowering));
            process.RefreshThreads();
            process.ReportMappings(sink);
        }
        return wanted is not null;
    }

    /// <summary>Takes one sample of each thread that is due and runs.</summary>
    private void Sample(BurstRunner runner, IBranchSink sink, CancellationToken stop)
    {
        foreach (TargetProcess process in processes.Values)
        {
            foreach (TargetThread thread in process.Threads.ToArray())
            {
                if (stop.IsCancellationRequested)
                    return;
                // Watching is to be done before the next sample, unless that is late already.
                if (!IsDue(thread) || (runner.IsWatching && thread.Due < LateAfter) || !CanBeStopped(thread))
                    continue;
                // Warming up takes long enough for the thread to fall asleep.
                if (runner.WarmUp(process) && !CanBeStopped(thread))
                    continue;
                thread.Due -= ExponentialRandom.Next();
                TakeSample(thread, runner, sink);
                pacer.Charge(runner.Stopped, ThreadCpuTime(), runner.BranchesUnweighted);
                Publish(runner);
            }
        }
    }

    /// <summary>
    /// Takes a sample of a running thread. Where it is met in the kernel it is tried again a moment later: its time there belongs to the code around, whose speed counts it too.
    /// </summary>
    private void TakeSample(TargetThread thread, BurstRunner runner, IBranchSink sink)
    {
        double weight = pacer.TakeWeight();
        runner.Begin(thread, sink, weight);
        for (int i = 1; i < Tries && runner.MetKernel; i++)
        {
            Sleep(RetryAfter * ExponentialRandom.Next());
            if (!CanBeStopped(thread))
                break;
            runner.Begin(thread, sink, weight);
        }
    }

    /// <summary>Whether a thread runs; if so, this one has moved to where it may be stopped from.</summary>
    private bool CanBeStopped(TargetThread thread)
    {
        if (!thread.IsRunning(out int cpu))
            return false;
        placement.MoveFor(cpu);
        return true;
    }

    private bool IsDue(TargetThread thread)
    {
        if (thread.TakeTimes() is not { } times)
        {
            thread.Process.Forget(thread);
            return false;
        }
        pacer.Ran(times.Used, times.Waited);
        // What was missed for a moment is made up for, or that stretch of the program would be thin; not so what was missed for long, as without permission.
        thread.Due = Math.Min(thread.Due + (times.Used / pacer.MeanInterval), Math.Max(4, LongestBacklog / pacer.MeanInterval));
        return thread.Due >= 0;
    }

    private void Wait(BurstRunner runner, IBranchSink sink, CancellationToken stop)
    {
        long end = Stopwatch.GetTimestamp() + (long)(pacer.NextLook().TotalSeconds * Stopwatch.Frequency);
        while (!stop.IsCancellationRequested && Stopwatch.GetElapsedTime(Stopwatch.GetTimestamp(), end) is { Ticks: > 0 } left)
        {
            if (runner.IsWaiting || runner.IsWatching || !Explore(end))
            {
                TimeSpan step = runner.IsWaiting || runner.IsWatching ? runner.PollInterval() : left;
                Sleep(step < left ? step : left);
            }
            if (runner.IsWaiting || runner.IsWatching)
            {
                // What that costs is charged with the next sample.
                runner.Poll(sink);
                Publish(runner);
            }
        }
    }

    /// <summary>
    /// Gets to know code that may be met next, for a fifth of the time until <paramref name="end"/>. That costs once, and nobody waits for it where a CPU is free.
    /// </summary>
    /// <returns>False when there was none.</returns>
    private bool Explore(long end)
    {
        TargetProcess? process = processes.Values.FirstOrDefault(p => p.Code.HasUnexplored);
        if (process is null)
            return false;
        TimeSpan before = ThreadCpuTime();
        long begin = Stopwatch.GetTimestamp(), until = Math.Min(end, begin + (Stopwatch.Frequency / 5000));
        while (process.Code.HasUnexplored && Stopwatch.GetTimestamp() < until)
            process.Code.Explore();
        // Where all CPUs are busy the targets wait meanwhile.
        if (!placement.SharesCpu)
            pacer.Forgive(ThreadCpuTime() - before);
        TimeSpan rest = 4 * Stopwatch.GetElapsedTime(begin), left = Stopwatch.GetElapsedTime(Stopwatch.GetTimestamp(), end);
        if (left > TimeSpan.Zero)
            Sleep(rest < left ? rest : left);
        return true;
    }

    private void Publish(BurstRunner runner) =>
        Volatile.Write(ref statistics, new(runner.Samples, runner.Branches, runner.Stopped) { Bursts = runner.Bursts });
}
