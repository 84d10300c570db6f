using System.Globalization;
using System.Numerics;
using Perforator.Branches;
using Perforator.PerfData;

namespace Perforator.Recording.PerfEvents;

/// <summary>Records branch stacks that the CPU keeps: Intel LBR, AMD LbrExtV2 and BRS, Arm BRBE, all through perf_event_open.</summary>
public sealed class PerfEventRecorder : IBranchRecorder
{
    /// <summary>A ring buffer was found in a state that the kernel does not leave it in.</summary>
    public const string DamagedRing = "contents of a damaged perf ring buffer";

    private static readonly TimeSpan RefreshInterval = TimeSpan.FromSeconds(1);

    /// <summary>The longest time between two looks into the rings, in milliseconds; also how long a stop may take to be noticed.</summary>
    private const int RoundTime = 100;

    /// <summary>By how much periods are made longer at most because little is wanted.</summary>
    private const int MaxThinned = 64;

    private readonly IKernel kernel;
    private readonly IReadOnlyList<BranchEvent> events;
    private readonly bool isSystemWide;
    private readonly IRecordingTargets targets;
    private readonly RecordingBudget granted;
    private readonly SamplingBudget budget;
    private ulong factor = 1;
    private TargetFilter? filter;
    private readonly KernelMappings? kernelMappings;
    private string? notice;

    /// <param name="targets">The processes to record.</param>
    /// <param name="support">What <see cref="BranchStackSupport.Probe(bool)"/> found.</param>
    /// <param name="granted">What recording may take of the host; by default all that it needs.</param>
    /// <exception cref="UserErrorException">This machine gives us no branch stacks; the message says why.</exception>
    public PerfEventRecorder(IRecordingTargets targets, BranchStackSupport support, RecordingBudget? granted = null)
        : this(targets, support.Kernel, support.Events, support.IsSystemWide, granted)
    {
        if (!support.IsAvailable)
            throw new UserErrorException($"no hardware branch stacks: {support.Explanation}; {support.Remedy ?? "use --source software"}");
    }

    internal PerfEventRecorder(
        IRecordingTargets targets, IKernel kernel, IReadOnlyList<BranchEvent> events, bool isSystemWide, RecordingBudget? granted = null)
    {
        this.granted = granted ?? new RecordingBudget();
        budget = new SamplingBudget(this.granted.CpuShare);
        this.targets = targets;
        this.kernel = kernel;
        this.events = events;
        this.isSystemWide = isSystemWide;
        if (events.Any(static e => (e.Attributes.Flags & PerfAttributeFlags.ExcludeKernel) == 0))
            kernelMappings = new KernelMappings(kernel);
    }

    /// <inheritdoc/>
    public string Source => "lbr";

    /// <inheritdoc/>
    public RecorderStatistics Statistics => Volatile.Read(ref filter) is { } f
        ? new(f.Samples, f.Branches, TimeSpan.Zero) { Notice = Volatile.Read(ref notice) }
        : new(0, 0, TimeSpan.Zero);

    /// <inheritdoc/>
    public void Run(IBranchSink sink, CancellationToken stop)
    {
        PerfRecordQueue queue = new();
        TargetFilter wanted = new(kernel, targets, sink);
        PerfRecordReader reader = new(wanted);
        Volatile.Write(ref filter, wanted);
        PerfEventRings rings = new(kernel, events, FirstScope());
        try
        {
            Session session = new(wanted, reader, queue);
            wanted.OnLost(PerfEventRings.CpuNotRecorded, (ulong)rings.Failures.Count);
            bool targetsLeft = Refresh(session, ref rings);
            while (targetsLeft && !stop.IsCancellationRequested)
            {
                rings.Wait(RoundTime);
                wanted.OnLost(DamagedRing, rings.Read(queue));
                queue.FinishRound(reader.Read);
                if (kernel.Now - session.RefreshedAt < RefreshInterval)
                    continue;
                targetsLeft = Refresh(session, ref rings);
            }
            rings.Stop();
            wanted.OnLost(DamagedRing, rings.Read(queue));
            queue.Finish(reader.Read);
        }
        finally
        {
            rings.Dispose();
        }
    }

    public void Dispose()
    {
        // Events and rings live only during Run.
    }

    private sealed record Session(TargetFilter Wanted, PerfRecordReader Reader, PerfRecordQueue Queue)
    {
        public TimeSpan RefreshedAt { get; set; }

        public TimeSpan CpuTime { get; set; }

        public ulong Samples { get; set; }

        public ulong Throttles { get; set; }

        public ulong ThreadsMissed { get; set; }
    }

    private RecordingScope FirstScope() =>
        !isSystemWide ? RecordingScope.Threads
            : targets.IsSelective && ControlGroups.Of(kernel, []) is not null ? RecordingScope.ControlGroups
            : RecordingScope.AllProcesses;

    /// <summary>About once a second: which CPUs there are, which processes, and how rarely to sample.</summary>
    /// <returns>False once no target is left.</returns>
    private bool Refresh(Session session, ref PerfEventRings rings)
    {
        (TargetFilter wanted, PerfRecordReader reader, PerfRecordQueue queue) = session;
        foreach (Mapping mapping in kernelMappings?.TakeChanged() ?? [])
            wanted.AnnounceKernel(mapping);
        bool left = wanted.Refresh(out IReadOnlyList<int> added);

        // After looking: every fork from before that look is known now, if events saw it.
        wanted.OnLost(DamagedRing, rings.Read(queue));
        wanted.OnLost(PerfEventRings.CpuNotRecorded, (ulong)rings.FollowCpus());
        if (rings.Scope == RecordingScope.ControlGroups
            && (ControlGroups.Of(kernel, wanted.Processes) is not { } groups || !rings.KeepOnlyGroups(groups)))
        {
            rings.Stop();
            wanted.OnLost(DamagedRing, rings.Read(queue));
            rings.Dispose();
            rings = new PerfEventRings(kernel, events, RecordingScope.AllProcesses);
            rings.SetPeriodFactor(factor * wanted.Thinned);
        }
        foreach (int processId in wanted.TakeForgotten(added))
        {
            reader.ForgetThreads(processId);
            rings.Forget(processId);
        }
        foreach (int processId in added)
        {
            rings.Add(processId);

            // Only now that its events are on: what begins or is mapped in between comes twice rather than not at all.
            foreach (int threadId in PerfEventRings.ThreadsOf(kernel, processId))
                reader.AddThread(processId, threadId);
            wanted.Announce(processId);
        }
        if (wanted.TakeDoubt())
            wanted.Resynchronise();
        wanted.OnLost(PerfEventRings.ThreadNotRecorded, rings.ThreadsMissed - session.ThreadsMissed);
        session.ThreadsMissed = rings.ThreadsMissed;
        Pace(session, rings);
        return left;
    }

    private void Pace(Session session, PerfEventRings rings)
    {
        (TimeSpan now, TimeSpan cpuTime) = (kernel.Now, kernel.ThreadCpuTime);
        TargetFilter wanted = session.Wanted;
        ulong throttles = wanted.Throttles - session.Throttles;
        // What no service wants is not sampled in the first place.
        ulong thinned =
            (ulong)Math.Min(
                MaxThinned, BitOperations.RoundUpToPowerOf2(
                    (ulong)Math.Min(2 * MaxThinned, 1 / Math.Max(targets.HighestShare, 1e-6)) + 1) / 2);
        bool isOther = thinned != wanted.Thinned;
        wanted.Thinned = thinned;
        if (session.RefreshedAt != TimeSpan.Zero)
            budget.Account(
                now - session.RefreshedAt, wanted.Samples - session.Samples, cpuTime - session.CpuTime, rings.Cpus.Count, throttles);
        ulong within = budget.FactorWithin(granted.Share);
        isOther |= within != factor;
        factor = within;
        if (isOther)
            rings.SetPeriodFactor(factor * thinned);
        (session.RefreshedAt, session.CpuTime, session.Samples, session.Throttles) = (now, cpuTime, wanted.Samples, wanted.Throttles);
        string? slower = factor == 1 ? null : string.Create(CultureInfo.InvariantCulture,
            $"sampling {factor} times as rarely as by default{(throttles == 0 ? "" : $", as the kernel paused sampling {throttles} times in the last second")}");
        string?[] all = [rings.DescribeFailures(), kernelMappings?.Notice, slower];
        Volatile.Write(ref notice, all.All(n => n is null) ? null : string.Join("; ", all.OfType<string>()));
    }
}
