using Perforator.Api;
using Perforator.Branches;

namespace Perforator.Server.Storage;

/// <summary>A span of time that selects profiles; either side may be open. A profile is selected when it overlaps the span.</summary>
public readonly record struct TimeSpanFilter(DateTimeOffset? Since, DateTimeOffset? Until)
{
    /// <summary>Selects every profile.</summary>
    public static readonly TimeSpanFilter All;
}

/// <summary>What is known of one build of a service from its profiles alone.</summary>
/// <param name="BuildId">The build.</param>
/// <param name="Path">Where the binary was last seen.</param>
/// <param name="Profiles">How many uploads hold branches of it.</param>
/// <param name="Samples">Branch stacks that touched it.</param>
/// <param name="Branches">Taken branches with both ends in it.</param>
/// <param name="FirstSeen">Start of the earliest profile.</param>
/// <param name="LastSeen">End of the latest profile.</param>
public sealed record BuildStatistics(
    BuildId BuildId, string Path, long Profiles, ulong Samples, ulong Branches, DateTimeOffset FirstSeen, DateTimeOffset LastSeen);

/// <summary>The sum of a build's profiles.</summary>
/// <param name="Profile">All counters added up.</param>
/// <param name="Count">How many uploads were added.</param>
/// <param name="Start">Start of the earliest.</param>
/// <param name="End">End of the latest.</param>
/// <param name="Losses">What their recording dropped before it could be attributed to a binary.</param>
public sealed record MergedProfile(BranchProfile Profile, long Count, DateTimeOffset Start, DateTimeOffset End, LossCounts Losses);

/// <summary>
/// Keeps branch profiles and adds them up. Every implementation passes <c>ProfileStoreContract</c>. All members may be called from any
/// thread.
/// </summary>
public interface IProfileStore
{
    /// <summary>
    /// Stores an upload. When the task completes it survives a crash of the process or the machine; if it fails, nothing of it is ever
    /// seen. The content hash makes it idempotent.
    /// </summary>
    /// <param name="contentHash">Hash of the set's content.</param>
    /// <param name="encoded">The set as encoded.</param>
    /// <param name="set">The set itself; it has a service label.</param>
    /// <remarks>Builds of which the set observed nothing are not counted among the service's.</remarks>
    /// <returns>False when a set of this content was there already.</returns>
    Task<bool> AddAsync(string contentHash, ReadOnlyMemory<byte> encoded, BranchProfileSet set, CancellationToken stop);

    /// <summary>All services in ordinal order.</summary>
    Task<IReadOnlyList<ServiceSummary>> ListServicesAsync(CancellationToken stop);

    /// <summary>The builds of a service that have profiles in the span, in ordinal order of the build id; none for an unknown service.</summary>
    Task<IReadOnlyList<BuildStatistics>> ListBuildsAsync(string service, TimeSpanFilter span, CancellationToken stop);

    /// <summary>
    /// Identifies what <see cref="MergeAsync"/> would add up: equal fingerprints mean equal sums. Cheaper than the sum itself.
    /// </summary>
    Task<string> FingerprintAsync(string service, BuildId buildId, TimeSpanFilter span, CancellationToken stop);

    /// <summary>The sum of a build's profiles in the span, or null when there are none.</summary>
    Task<MergedProfile?> MergeAsync(string service, BuildId buildId, TimeSpanFilter span, CancellationToken stop);
}
