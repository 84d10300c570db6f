using System.Diagnostics;
using Perforator.Branches;
using Perforator.PerfData;
using Perforator.Recording.Processes;

namespace Perforator.Recording.PerfEvents;

/// <summary>Records branch stacks that the CPU keeps: Intel LBR, AMD LbrExtV2 and BRS, Arm BRBE, all through perf_event_open.</summary>
public sealed class PerfEventRecorder : IBranchRecorder
{
    /// <summary>A ring buffer was found in a state that the kernel does not leave it in.</summary>
    public const string DamagedRing = "contents of a damaged perf ring buffer";

    private static readonly TimeSpan RefreshInterval = TimeSpan.FromSeconds(1);

    /// <summary>The longest time between two looks into the rings, in milliseconds; also how long a stop may take to be noticed.</summary>
    private const int RoundTime = 100;

    private readonly BranchEvent perfEvent;
    private readonly bool isSystemWide;
    private readonly IRecordingTargets targets;
    private TargetFilter? filter;

    /// <param name="targets">The processes to record.</param>
    /// <param name="support">What <see cref="BranchStackSupport.Probe()"/> found.</param>
    /// <exception cref="UserErrorException">This machine gives us no branch stacks; the message says why.</exception>
    public PerfEventRecorder(IRecordingTargets targets, BranchStackSupport support)
        : this(
            targets,
            support.Event ?? throw new UserErrorException($"no hardware branch stacks: {support.Explanation}; {support.Remedy ?? "use --source software"}"),
            support.IsSystemWide)
    {
    }

    internal PerfEventRecorder(IRecordingTargets targets, BranchEvent perfEvent, bool isSystemWide)
    {
        this.targets = targets;
        this.perfEvent = perfEvent;
        this.isSystemWide = isSystemWide;
    }

    /// <inheritdoc/>
    public string Source => "lbr";

    /// <inheritdoc/>
    public RecorderStatistics Statistics => Volatile.Read(ref filter) is { } f ? new(f.Samples, f.Branches, TimeSpan.Zero) : new(0, 0, TimeSpan.Zero);

    /// <inheritdoc/>
    public void Run(IBranchSink sink, CancellationToken stop)
    {
        TargetFilter wanted = new(targets, sink);
        Volatile.Write(ref filter, wanted);
        PerfRecordReader reader = new(wanted);
        PerfRecordQueue queue = new();
        using PerfEventRings rings = new(LinuxKernel.Instance, perfEvent, isSystemWide);

        bool targetsLeft = Refresh(wanted, rings);
        long refreshed = Stopwatch.GetTimestamp();
        while (targetsLeft && !stop.IsCancellationRequested)
        {
            rings.Wait(RoundTime);
            wanted.OnLost(DamagedRing, rings.Read(queue));
            queue.FinishRound(reader.Read);
            if (Stopwatch.GetElapsedTime(refreshed) < RefreshInterval)
                continue;
            targetsLeft = Refresh(wanted, rings);
            refreshed = Stopwatch.GetTimestamp();
        }
        rings.Stop();
        wanted.OnLost(DamagedRing, rings.Read(queue));
        queue.Finish(reader.Read);
    }

    public void Dispose()
    {
        // Events and rings live only during Run.
    }

    private static bool Refresh(TargetFilter wanted, PerfEventRings rings)
    {
        bool left = wanted.Refresh(out IReadOnlyList<int> added);
        foreach (int processId in added)
        {
            // A child that its parent's events follow already needs none of its own.
            if (ProcessIdentity.ParentOf(processId) is not { } parent || !wanted.Wants(parent) || added.Contains(parent))
                rings.Add(processId);
            // Only now that its events are on: what is mapped in between comes twice rather than not at all.
            wanted.Announce(processId);
        }
        rings.KeepOnly(wanted.Wants);
        return left;
    }
}
