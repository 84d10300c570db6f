using Perforator.Branches;

namespace Perforator.Recording;

/// <summary>A source of branch stacks on this machine: hardware branch records or the software recorder.</summary>
public interface IBranchRecorder : IDisposable
{
    /// <summary>The label its profiles carry: <c>lbr</c> or <c>software</c>.</summary>
    string Source { get; }

    /// <summary>
    /// Records until <paramref name="stop"/> is cancelled or every target has ended, and feeds the sink from one thread, the calling one or
    /// one that it waits for, beginning with the mappings the targets already have. However it ends, the targets run on undisturbed.
    /// </summary>
    void Run(IBranchSink sink, CancellationToken stop);

    /// <summary>What was recorded and what it cost, readable from any thread while <see cref="Run"/> runs.</summary>
    RecorderStatistics Statistics { get; }
}

/// <summary>Running totals of a recorder.</summary>
/// <param name="Samples">Branch stacks delivered.</param>
/// <param name="Branches">Taken branches in them.</param>
/// <param name="TargetStoppedTime">How long target threads were held stopped, summed over threads; zero for hardware sources.</param>
public sealed record RecorderStatistics(ulong Samples, ulong Branches, TimeSpan TargetStoppedTime)
{
    /// <summary>
    /// How often a thread was stopped and followed; one such burst may give several branch stacks. Zero for hardware sources.
    /// </summary>
    public ulong Bursts { get; init; }

    /// <summary>
    /// What the user should know of the way it records, and that can change: CPUs that are missing, a lower rate. Null when nothing.
    /// </summary>
    public string? Notice { get; init; }
}
