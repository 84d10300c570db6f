using Perforator.Api;
using Perforator.Branches;
using Perforator.Generation;
using Perforator.Server.Domain;
using Perforator.Server.Storage;

namespace Perforator.Server.Results;

/// <summary>A service over time, from the index and the reports of profiles that were generated.</summary>
internal static class TimelineOfService
{
    private const int MaxValues = 100;

    /// <summary>Puts a service's days together.</summary>
    /// <param name="overview">The service as it is now.</param>
    /// <param name="all">What the index has of it.</param>
    /// <param name="files">The files of its builds.</param>
    /// <param name="reports">Its generated profiles, the oldest first.</param>
    /// <param name="today">The last day.</param>
    /// <param name="span">How many days.</param>
    public static ServiceTimeline Of(
        ServiceOverview overview, IReadOnlyList<BuildDay> all, ILookup<BuildId, BinaryFile> files, IReadOnlyList<ReportFigures> reports,
        DateOnly today, int span)
    {
        DateOnly first = today.AddDays(1 - span), window = DateOnly.FromDateTime(overview.LastSeen.UtcDateTime)
            .AddDays(1 - ServiceFigures.WindowDays);
        Dictionary<string, BuildEffect> effects = [];
        foreach (ReportFigures report in reports)
            foreach ((string build, BuildEffect effect) in report.Effects)
                effects[build] = effect;
        List<BuildDay> days = [.. all.Where(day => day.Day >= first)], recent = [.. all.Where(day => day.Day >= window)];
        HashSet<BuildId> shown = [.. days.Select(static day => day.BuildId)];
        ServiceBuild[] builds =
            [.. ServiceBuilds.Rank(all).Where(build => shown.Contains(build.BuildId)).OrderBy(static build => build.FirstSeen)
                .ThenBy(static build => build.BuildId)];
        Dictionary<BuildId, int> place =
            builds.Select(static (build, i) => (build.BuildId, i)).ToDictionary(static pair => pair.BuildId, static pair => pair.i);
        Dictionary<BuildId, (ulong Code, bool Debug)> known = builds.ToDictionary(static build => build.BuildId, build => (
            files[build.BuildId].Select(static file => file.ExecutableBytes).DefaultIfEmpty()
                .Max(), files[build.BuildId].Any(static file => file.HasDebugInfo)));
        ILookup<DateOnly, BuildDay> byDay = all.ToLookup(static day => day.Day);
        List<TimelineDay> timeline = [];
        for (DateOnly day = first; day <= today; day = day.AddDays(1))
        {
            BuildDay[] here = [.. byDay[day]];
            double[] branches = new double[builds.Length];
            foreach (BuildDay one in here)
                branches[place[one.BuildId]] += one.Branches;
            FleetBuild[] before = [.. Enumerable.Range(0, ServiceFigures.WindowDays).SelectMany(ago => byDay[day.AddDays(-ago)])
                .GroupBy(static one => one.BuildId)
                .Select(build => new FleetBuild(
                    overview.Service, build.Key, build.First().Path, build.Sum(static one => (double)one.Branches),
                    build.Max(static one => one.LastSeen),
                    known.GetValueOrDefault(build.Key).Code, known.GetValueOrDefault(build.Key) is { Code: > 0, Debug: true }))];
            timeline.Add(new TimelineDay(
                day, branches.Sum(), here.Sum(static one => (double)one.Samples),
                here.GroupBy(static one => one.BuildId).Select(static b => b.Sum(static one => one.Uploads)).DefaultIfEmpty().Max(),
                here.Select(static one => one.Labels.GetValueOrDefault(ProfileLabels.Host, "")).Distinct().LongCount(),
                ServiceFigures.RatioOf(before).Ratio, branches));
        }
        return new ServiceTimeline(
            overview, timeline,
            [
                .. builds.Select(build => new TimelineBuild(
                    build.BuildId.ToString(), ServiceFile.NameOf(build.Path), build.Path, build.FirstSeen, build.LastSeen, build.Branches,
                    build.Hosts, build.Running > 0,
                    known[build.BuildId].Code > 0, known[build.BuildId].Debug, effects.GetValueOrDefault(build.BuildId.ToString()))),
            ],
            LabelsOf(recent), FilesOf(recent, known), reports is [.., var latest] ? latest.Losses : [],
            [.. reports.Select(static report => new ProfileFigures(
                report.Profile, report.Generated, report.DataUntil, report.Ratio, report.Convergence, report.HotCoverage,
                report.UsableShare, report.Hosts))]);
    }

    private static IReadOnlyList<LabelShares> LabelsOf(List<BuildDay> days)
    {
        double total = days.Sum(static day => (double)day.Branches);
        return
        [
            .. days.SelectMany(static day => day.Labels.Select(label => (label.Key, label.Value, Day: day)))
                .Where(static one => one.Key != ProfileLabels.Service)
                .GroupBy(static one => one.Key).OrderBy(static label => label.Key, StringComparer.Ordinal).Select(label =>
                {
                    LabelShare[] values = [.. label.GroupBy(static one => one.Value)
                        .Select(value => new LabelShare(
                            value.Key, total == 0 ? 0 : value.Sum(static one => (double)one.Day.Branches) / total,
                            value.Max(static one => one.Day.LastSeen)))
                        .OrderByDescending(static value => value.Share).ThenBy(static value => value.Value, StringComparer.Ordinal)];
                    return new LabelShares(label.Key, [.. values.Take(MaxValues)], values.LongLength);
                }),
        ];
    }

    private static IReadOnlyList<ServiceFileShare> FilesOf(List<BuildDay> days, Dictionary<BuildId, (ulong Code, bool Debug)> known)
    {
        double total = days.Sum(static day => (double)day.Branches);
        return
        [
            .. days.GroupBy(static day => ServiceFile.NameOf(day.Path)).Select(file => new ServiceFileShare(
                file.Key, total == 0 ? 0 : file.Sum(static day => (double)day.Branches) / total,
                file.Any(day => known.GetValueOrDefault(day.BuildId) is { Code: > 0, Debug: true }) ? null
                : file.Any(day => known.GetValueOrDefault(day.BuildId).Code > 0) ? "no debug info" : "the server lacks the binary"))
                .OrderByDescending(static file => file.ShareOfBranches).ThenBy(static file => file.Name, StringComparer.Ordinal),
        ];
    }
}
