using Perforator.Branches;
using Perforator.Server.Storage;

namespace Perforator.Server.Domain;

/// <summary>One binary of a service in figures.</summary>
/// <param name="BuildId">The binary.</param>
/// <param name="Path">Where it was last seen.</param>
/// <param name="Uploads">Uploads that hold branches of it.</param>
/// <param name="Samples">Branch stacks that touched it.</param>
/// <param name="Branches">Taken branches with both ends in it.</param>
/// <param name="FirstSeen">Start of the earliest.</param>
/// <param name="LastSeen">End of the latest.</param>
/// <param name="Hosts">On how many hosts it was seen.</param>
/// <param name="Running">How many hosts run it now.</param>
internal sealed record ServiceBuild(
    BuildId BuildId, string Path, long Uploads, ulong Samples, ulong Branches, DateTimeOffset FirstSeen, DateTimeOffset LastSeen,
    long Hosts,
    long Running);

/// <summary>
/// Tells which binaries of a service are current: those that its hosts run now. A host is known by its <c>host</c> label, and runs now what
/// it was seen to run last, when that was within a day of the service's latest profile. Times come from profiles but are never later than
/// their reception (<see cref="NewUpload"/>), so that one host whose clock is wrong has at most the one voice of a host.
/// </summary>
internal static class ServiceBuilds
{
    private static readonly TimeSpan Now = TimeSpan.FromDays(1);

    /// <summary>A host that restarts a program is seen with both releases in its last uploads.</summary>
    private static readonly TimeSpan Changeover = TimeSpan.FromMinutes(10);

    /// <summary>
    /// The binaries: current ones first; of these, files with most branches first, of each the build that most hosts run; the others by
    /// branches.
    /// </summary>
    public static IReadOnlyList<ServiceBuild> Rank(IReadOnlyCollection<BuildDay> days)
    {
        if (days.Count == 0)
            return [];
        DateTimeOffset latest = days.Max(static day => day.LastSeen);
        // What each host was last seen to run of each file.
        Dictionary<(string File, string Host), DateTimeOffset> lastOfHost = [];
        foreach (BuildDay day in days)
        {
            (string, string) key = (Path.GetFileName(day.Path), HostOf(day));
            if (!lastOfHost.TryGetValue(key, out DateTimeOffset last) || day.LastSeen > last)
                lastOfHost[key] = day.LastSeen;
        }
        List<ServiceBuild> builds = [];
        foreach (IGrouping<BuildId, BuildDay> build in days.GroupBy(static day => day.BuildId))
        {
            string path = build.MaxBy(static day => day.LastSeen)!.Path;
            HashSet<string> running = [.. build
                .Where(day =>
                    latest - day.LastSeen < Now && lastOfHost[(Path.GetFileName(day.Path), HostOf(day))] - day.LastSeen < Changeover)
                    .Select(HostOf)];
            builds.Add(new ServiceBuild(
                build.Key, path, build.Sum(static day => day.Uploads), Total(build.Select(static day => day.Samples)),
                Total(build.Select(static day => day.Branches)), build.Min(static day => day.FirstSeen),
                build.Max(static day => day.LastSeen),
                build.Select(HostOf).Distinct().Count(), running.Count));
        }
        Dictionary<string, ulong> ofFile =
            builds.Where(static build => build.Running > 0).GroupBy(static build => Path.GetFileName(build.Path))
            .ToDictionary(static file => file.Key, static file => Total(file.Select(static build => build.Branches)));
        return [.. builds
            .OrderByDescending(static build => build.Running > 0)
            .ThenByDescending(build => build.Running > 0 ? ofFile[Path.GetFileName(build.Path)] : 0)
            .ThenByDescending(static build => build.Running)
            .ThenByDescending(static build => build.Branches)
            .ThenBy(static build => build.BuildId)];
    }

    private static string HostOf(BuildDay day) => day.Labels.TryGetValue(ProfileLabels.Host, out string? host) ? host : "";

    private static ulong Total(IEnumerable<ulong> counts) =>
        counts.Aggregate(0UL, static (sum, n) => sum > ulong.MaxValue - n ? ulong.MaxValue : sum + n);
}
