using System.Diagnostics;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;
using Perforator.Branches;
using Perforator.Recording.PerfEvents;
using Perforator.Recording.Processes;
using static Perforator.Recording.Syscalls;

namespace Perforator.Recording.Software;

/// <summary>
/// Records branch stacks without hardware support: a clock on each CPU says which thread runs; that thread is met in user mode, stands
/// still for an instant and is followed by interpreting its code on a copy of what it touches. Nothing is ever written to it, and it has no
/// way to tell.
/// </summary>
public sealed class SoftwareRecorder : IBranchRecorder
{
    public const string Unseen =
        "threads not seen: too many files are open (raise ulimit -n, or record as root or with CAP_PERFMON, which needs one file per CPU)";

    /// <summary>Between two questions after the targets; longer where answering takes more than one part in a hundred.</summary>
    private static readonly TimeSpan RefreshInterval = TimeSpan.FromSeconds(0.2);
    private const int RefreshShare = 100;

    /// <summary>How soon a stop is noticed, in milliseconds.</summary>
    private const int Round = 50;

    /// <summary>By how much moments are further apart at most because little is wanted.</summary>
    private const double MaxThinned = 64;

    /// <summary>How long code is got to know in one go, so that a moment does not wait.</summary>
    private static readonly TimeSpan ExploreTime = TimeSpan.FromMicroseconds(200);

    private readonly IRecordingTargets targets;
    private readonly SoftwareRecorderOptions options;
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
    }

    /// <inheritdoc/>
    public string Source => "software";

    /// <inheritdoc/>
    public RecorderStatistics Statistics => Volatile.Read(ref statistics);

    /// <summary>Records as the interface says; the sink is called from threads of the recorder's own while the caller waits.</summary>
    /// <exception cref="UserErrorException">Perf events are closed here.</exception>
    public void Run(IBranchSink sink, CancellationToken stop)
    {
        SilenceStopSignals();
        Pacer pacer = new(options.MaxOverhead, options.BranchesPerSecond);
        using CpuClock clock = new(pacer.Interval, LinuxKernel.Instance);
        using Sampler sampler = new(options, sink, pacer.Interval);
        using ProcessTable processes = new(targets, sampler.Follower.Translator, sink, options.Budget.CodeBytes);
        Recording recording = new(this, sink, sampler, processes, clock, pacer, stop);
        // Ctrl-Z: this process stops once it holds nobody.
        using PosixSignalRegistration pause = PosixSignalRegistration.Create((PosixSignal)SIGTSTP, signal =>
        {
            signal.Cancel = true;
            recording.IsToPause = true;
        });
        OnThreadOfItsOwn(() => Rehearsal.Run(options));
        // What a tracing OS thread still traces when it ends is let go by the kernel, wherever it is, and not woken.
        do
            OnThreadOfItsOwn(recording.Continue);
        while (!recording.IsOver);
    }

    public void Dispose()
    {
        // All there is lives only during Run.
    }

    /// <summary>Runs something on an OS thread, and waits until that has left the kernel with all it traced.</summary>
    internal static void OnThreadOfItsOwn(Action action)
    {
        ExceptionDispatchInfo? failure = null;
        int id = 0;
        Thread thread = new(() =>
        {
            id = gettid();
            try
            {
                action();
            }
            catch (Exception e)
            {
                failure = ExceptionDispatchInfo.Capture(e);
            }
        })
        { Name = "software recorder" };
        thread.Start();
        thread.Join();
        for (int i = 0; i < 10_000 && Directory.Exists($"/proc/self/task/{id}"); i++)
            Sleep(TimeSpan.FromMicroseconds(50));
        failure?.Throw();
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

    /// <summary>One recording, from whatever OS thread is its tracer by now.</summary>
    private sealed class Recording(
        SoftwareRecorder recorder, IBranchSink sink, Sampler sampler, ProcessTable processes, CpuClock clock, Pacer pacer,
        CancellationToken stop)
    {
        private readonly HashSet<int> watched = [];
        private IReadOnlySet<int>? latest;
        private long refreshed;
        private TimeSpan refreshTook;
        private int missedCpus;
        private TargetProcess? last;

        public bool IsOver { get; private set; }

        /// <summary>Whether the whole process is to stop until SIGCONT.</summary>
        public volatile bool IsToPause;

        /// <summary>Records until it is over, or until this OS thread must end.</summary>
        public void Continue()
        {
            Urgency.Ask();
            sampler.Enter();
            try
            {
                Record();
            }
            finally
            {
                sampler.Leave();
            }
        }

        private void Record()
        {
            while (!stop.IsCancellationRequested && Refresh())
            {
                if (IsToPause)
                {
                    IsToPause = false;
                    // All threads stop with this one; of another, this one would go on until it is told, and might hold somebody by then.
                    _ = tgkill(Environment.ProcessId, gettid(), SIGSTOP);
                    // What ran meanwhile is not what runs now.
                    _ = clock.Read(processes);
                }
                clock.SetPace(pacer.Interval / recorder.options.Budget.Share, Math.Clamp(1 / recorder.targets.HighestShare, 1, MaxThinned));
                clock.Wait(last?.Code.HasUnexplored == true ? 1 : Round);
                IReadOnlyList<Moment> moments = clock.Read(processes);
                foreach (Moment moment in moments)
                {
                    Take(moment);
                    if (sampler.HoldsSleeper)
                        return;
                }
                processes.Sweep();
                if (moments.Count == 0)
                    Explore();
            }
            IsOver = true;
        }

        private void Take(in Moment moment)
        {
            // Of a process whose share is known it is decided before anything of it is looked at.
            double? share = recorder.targets.ShareOf(moment.ProcessId);
            if (stop.IsCancellationRequested || !IsTaken(share * moment.Thinned) || processes.Find(moment.ProcessId) is not { } process
                || (share is null && !IsTaken(recorder.targets.ShareOf(moment.ProcessId) * moment.Thinned)))
                return;
            int branches = sampler.Take(moment, process, out TimeSpan lost);
            pacer.Charge(lost, branches);
            last = process;
            Volatile.Write(ref recorder.statistics, sampler.Statistics);
        }

        private static bool IsTaken(double? share) => share is null or >= 1 || Random.Shared.NextDouble() < share;

        /// <summary>Gets to know code that may be met next; nobody waits for it.</summary>
        private void Explore()
        {
            for (long begin = Stopwatch.GetTimestamp(); last?.Code.HasUnexplored == true && Stopwatch.GetElapsedTime(begin) < ExploreTime;)
                last.Code.Explore();
        }

        private void FollowCpus()
        {
            clock.Follow(watched);
            if (clock.MissedCpus > missedCpus)
                sink.OnLost(PerfEventRings.CpuNotRecorded, (ulong)(clock.MissedCpus - missedCpus));
            missedCpus = clock.MissedCpus;
        }

        /// <returns>False when all targets have ended.</returns>
        private bool Refresh()
        {
            TimeSpan wait = refreshTook * RefreshShare;
            if (refreshed != 0 && Stopwatch.GetElapsedTime(refreshed) < (wait > RefreshInterval ? wait : RefreshInterval))
                return true;
            long begin = Stopwatch.GetTimestamp();
            FollowCpus();
            IReadOnlySet<int>? wanted = recorder.targets.Refresh();
            // The very same set holds the same processes.
            bool isOther = refreshed == 0 || wanted is null || !ReferenceEquals(wanted, latest);
            latest = wanted;
            foreach (int id in isOther && wanted is not null ? wanted : new HashSet<int>())
            {
                if (!watched.Add(id))
                    continue;
                // A child of one that is watched is watched already.
                if (!clock.SeesAll && (ProcessIdentity.ParentOf(id) is not { } parent || !watched.Contains(parent) || refreshed == 0)
                    && clock.Watch(id) is not 0 and ulong unseen)
                    sink.OnLost(Unseen, unseen);
                if (refreshed == 0)
                    processes.Announce(id);
            }
            if (isOther)
                watched.IntersectWith(wanted ?? new HashSet<int>());
            refreshTook = refreshed == 0 ? TimeSpan.Zero : Stopwatch.GetElapsedTime(begin);
            refreshed = Stopwatch.GetTimestamp();
            return wanted is not null;
        }
    }
}
