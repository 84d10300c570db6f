using Perforator.Api;
using Perforator.Branches;
using Perforator.Server.Http;
using Perforator.Server.Ingest;
using Perforator.Server.Storage;

namespace Perforator.Server.Results;

/// <summary>The build a request is about.</summary>
/// <param name="Service">The service.</param>
/// <param name="Build">The build, with its figures in the span.</param>
/// <param name="Others">The service's other builds in the span, best first.</param>
/// <param name="Span">The span asked for.</param>
internal sealed record SelectedBuild(string Service, BuildStatistics Build, IReadOnlyList<BuildStatistics> Others, TimeSpanFilter Span);

/// <summary>Finds builds of services and says clearly when there is none.</summary>
internal sealed class BuildSelection
{
    /// <summary>A build is current when it was seen this shortly before the service's latest profile.</summary>
    private static readonly TimeSpan Current = TimeSpan.FromDays(1);

    private readonly IProfileStore store;
    private readonly BinaryIngest binaries;

    public BuildSelection(IProfileStore store, BinaryIngest binaries)
    {
        this.store = store;
        this.binaries = binaries;
    }

    /// <summary>A service's builds with their quality, in the order of preference of <see cref="SelectAsync"/>.</summary>
    public async Task<IReadOnlyList<BuildSummary>> BuildsAsync(string service, TimeSpanFilter span, CancellationToken stop)
    {
        List<BuildSummary> summaries = [];
        foreach (BuildStatistics build in await RankedAsync(service, span, stop))
        {
            ulong? executableBytes = await binaries.ExecutableBytesAsync(build.BuildId, stop);
            summaries.Add(new BuildSummary(
                build.BuildId.ToString(), build.Path, build.Profiles, build.Samples, build.Branches, build.FirstSeen, build.LastSeen,
                executableBytes is not null, executableBytes is > 0 ? (double)build.Branches / executableBytes : null));
        }
        return summaries;
    }

    /// <summary>
    /// The build asked for or, when none is named, the one with most taken branches among those seen within a day of the service's latest
    /// profile: the main program of a current release rather than a library or the past.
    /// </summary>
    public async Task<SelectedBuild> SelectAsync(string service, string? buildId, TimeSpanFilter span, CancellationToken stop)
    {
        IReadOnlyList<BuildStatistics> builds = await RankedAsync(service, span, stop);
        BuildStatistics? selected = builds[0];
        if (buildId is not null)
        {
            BuildId wanted = BinariesEndpoint.Parse(buildId);
            selected = builds.FirstOrDefault(build => build.BuildId == wanted)
                ?? throw ApiException.NotFound($"{service} has no profiles of build id {wanted} in that time; it has: {string.Join(", ", builds.Select(static b => b.BuildId))}");
        }
        return new SelectedBuild(service, selected, [.. builds.Where(build => build != selected)], span);
    }

    /// <summary>The sum of the selected build's profiles.</summary>
    public async Task<MergedProfile> MergeAsync(SelectedBuild build, CancellationToken stop) =>
        await store.MergeAsync(build.Service, build.Build.BuildId, build.Span, stop)
        ?? throw ApiException.NotFound($"{build.Service} has no profiles of build id {build.Build.BuildId} in that time");

    private async Task<IReadOnlyList<BuildStatistics>> RankedAsync(string service, TimeSpanFilter span, CancellationToken stop)
    {
        IReadOnlyList<BuildStatistics> builds = await store.ListBuildsAsync(service, span, stop);
        if (builds.Count > 0)
        {
            DateTimeOffset latest = builds.Max(static build => build.LastSeen);
            return [.. builds
                .OrderByDescending(build => latest - build.LastSeen < Current)
                .ThenByDescending(static build => build.Branches)
                .ThenBy(static build => build.BuildId)];
        }
        IReadOnlyList<ServiceSummary> services = await store.ListServicesAsync(stop);
        string known = services.Count == 0
            ? "the server has no profiles yet; start an agent, or upload with record --service"
            : $"known services: {string.Join(", ", services.Select(static s => s.Service))}";
        throw ApiException.NotFound(services.Any(s => s.Service == service)
            ? $"service {service} has no profiles in that time"
            : $"service '{ProfileLabels.Printable(service, ProfileLabels.MaxNameLength)}' is unknown; {known}");
    }
}
