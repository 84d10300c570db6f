using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Perforator.Api;
using Perforator.Branches;

namespace Perforator.Cli;

/// <summary><c>perforator services [service]</c>: what a server has.</summary>
internal static class ServicesCommand
{
    /// <summary>A service of which nothing arrived for so long is not being profiled.</summary>
    private static readonly TimeSpan Silence = TimeSpan.FromDays(2);

    /// <summary>A build with less than this share of a service's branches is not worth a word.</summary>
    private const double WorthWarning = 0.01;

    public static Command Create()
    {
        Argument<string?> service = new("service") { Description = "Show this service's builds.", Arity = ArgumentArity.ZeroOrOne };
        Option<string?> server = ServerOption.Create();
        Option<bool> json = new("--json") { Description = "Print JSON as the API gives it." };
        Option<bool> overview =
            new("--overview") { Description = "Show what the web page does: whether each profile is fit to build with, and why; with a service (and --json) its 90 days." };
        Command command = new("services",
            """
            Lists the services a server has profiles of, or one service's builds with their quality and, on standard error, what keeps them from being better.

            Example: perforator services search
            """)
        { service, overview, server, json };
        command.SetAction((parsed, stop) => parsed.GetValue(overview)
            ? OverviewAsync(parsed.GetValue(service), ServerOption.Resolve(parsed.GetValue(server)), parsed.GetValue(json), stop)
            : RunAsync(parsed.GetValue(service), ServerOption.Resolve(parsed.GetValue(server)), parsed.GetValue(json), stop));
        return command;
    }

    private static async Task<int> OverviewAsync(string? service, Uri server, bool json, CancellationToken stop)
    {
        using ServerClient client = new(server);
        ServiceTimeline? timeline = service is null ? null : await client.GetTimelineAsync(service, stop);
        FleetOverview? fleet = timeline is null ? await client.GetOverviewAsync(stop) : null;
        if (json)
        {
            Console.Out.WriteLine(timeline is not null
                ? JsonSerializer.Serialize(timeline, ApiJson.Default.ServiceTimeline)
                : JsonSerializer.Serialize(fleet!, ApiJson.Default.FleetOverview));
            return ExitCodes.Ok;
        }
        TextTable table = new("Service", "State", "Ratio", "Hosts", "Last seen (UTC)", "Why");
        foreach (ServiceOverview one in timeline is not null ? [timeline.Overview] : fleet!.Services)
            table.Add(one.Service, one.State, one.Ratio is { } ratio
                ? string.Create(CultureInfo.InvariantCulture, $"{ratio:0.00}")
                : "", $"{one.Hosts}", TextTable.Time(one.LastSeen), one.Reasons[0]);
        table.Write();
        return ExitCodes.Ok;
    }

    private static async Task<int> RunAsync(string? service, Uri server, bool json, CancellationToken stop)
    {
        using ServerClient client = new(server);
        if (service is null)
        {
            IReadOnlyList<ServiceSummary> services = await client.ListServicesAsync(stop);
            if (json)
                Console.Out.WriteLine(JsonSerializer.Serialize(services, ApiJson.Default.IReadOnlyListServiceSummary));
            else
                Print(services);
        }
        else
        {
            ServiceDetail detail = await client.GetServiceAsync(service, stop);
            if (json)
                Console.Out.WriteLine(JsonSerializer.Serialize(detail, ApiJson.Default.ServiceDetail));
            else
                Print(detail);
        }
        return ExitCodes.Ok;
    }

    private static void Print(IReadOnlyList<ServiceSummary> services)
    {
        TextTable table = new("Service", "Builds", "Profiles", "Samples", "Last seen (UTC)");
        foreach (ServiceSummary s in services)
            table.Add(s.Service, $"{s.Builds}", $"{s.Profiles}", $"{s.Samples:N0}", TextTable.Time(s.LastSeen));
        table.Write();
        foreach (ServiceSummary s in services)
            if (DateTimeOffset.UtcNow - s.LastSeen > Silence)
                Warn($"{s.Service}: nothing has arrived for {(DateTimeOffset.UtcNow - s.LastSeen).TotalDays:0} days; do its agents run?");
    }

    private static void Print(ServiceDetail detail)
    {
        TextTable table = new("Build id", "Path", "Profiles", "Hosts", "Samples", "Branches", "Ratio", "Last seen (UTC)", "Now");
        foreach (BuildSummary b in detail.Builds)
        {
            string ratio =
                b.TakenBranchesToExecutableBytesRatio is not { } value ? "no binary" : b.HasDebugInfo ? $"{value:0.00}" : "no debug info";
            table.Add(
                IsContentHash(b) ? $"none, content {b.BuildId[..12]}" : b.BuildId, b.Path, $"{b.Profiles}",
                b.Hosts == 0 ? "" : $"{b.Hosts}", $"{b.Samples:N0}", $"{b.Branches:N0}", ratio, TextTable.Time(b.LastSeen),
                b.Current ? "runs" : "");
        }
        table.Write();
        foreach (string warning in Warnings(detail))
            Warn(warning);
    }

    /// <summary>What keeps a service's profile from being better, with what to do.</summary>
    private static IEnumerable<string> Warnings(ServiceDetail detail)
    {
        double all = detail.Builds.Sum(static build => (double)build.Branches);
        foreach (BuildSummary build in detail.Builds)
        {
            double share = all == 0 ? 0 : build.Branches / all;
            string what =
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"{build.Path} ({(IsContentHash(build) ? "no build id" : build.BuildId)}), {100 * share:0.#} % of the branches");
            if (share < WorthWarning)
                continue;
            if (!build.HasBinary)
                yield return $"{what}: the server lacks the binary; the agent uploads it from its host, pgo --binary takes one from a build store";
            else if (!build.HasDebugInfo)
                yield return $"{what}: no debug info, so it is not in the profile; build with -g -fdebug-info-for-profiling, or send the debug file that was split off it: perforator binaries put FILE";
            if (IsContentHash(build))
                yield return $"{what}: known by a hash of its content ({build.BuildId}), which stripping changes and no build store has; link with -Wl,--build-id";
        }
        if (detail.Builds.Count > 0 && DateTimeOffset.UtcNow - detail.Builds.Max(static build => build.LastSeen) is { } age
            && age > Silence)
            yield return $"nothing has arrived for {age.TotalDays:0} days; do its agents run?";
    }

    private static bool IsContentHash(BuildSummary build) => BuildId.TryParse(build.BuildId, out BuildId id) && id.IsContentHash;

    private static void Warn(string warning) => Console.Error.WriteLine(ProfileLabels.Printable($"warning: {warning}"));
}
