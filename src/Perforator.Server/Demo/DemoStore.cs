using System.Text.Json;
using Microsoft.Extensions.Logging.Abstractions;
using Perforator.Api;
using Perforator.Branches;
using Perforator.Server.Demand;
using Perforator.Server.Ingest;
using Perforator.Server.Results;
using Perforator.Server.Storage;
using Perforator.Server.Storage.Embedded;

namespace Perforator.Server.Demo;

/// <summary>
/// A store to look at: the sample service's recordings, spread over 90 days and some hosts, so that each state of a profile is seen. The
/// branches are recorded ones; days, hosts, clusters, what agents say of themselves and who asked for profiles are given here.
/// </summary>
public static class DemoStore
{
    private const int Days = 90;

    private static readonly string[] Hosts = ["web-1", "web-2", "web-3"];

    private sealed class Clock(DateTimeOffset start) : TimeProvider
    {
        public DateTimeOffset Now { get; set; } = start;

        public override DateTimeOffset GetUtcNow() => Now;
    }

    /// <summary>Fills an empty folder; takes some seconds.</summary>
    public static async Task FillAsync(string folder, CancellationToken stop)
    {
        DateTimeOffset now = DateTimeOffset.UtcNow;
        Clock clock = new(now);
        ServerSettings settings = new(folder, ServerSettings.DefaultAddress);
        await using ServerStorage storage = await EmbeddedStorage.OpenAsync(folder, clock, stop);
        using ProfileIngest profiles = new(storage, settings, clock, new Planner(storage, new EnrolmentFile(null), clock));
        BinaryIngest binaries = new(storage, settings, clock);
        using DebuginfodSource none =
            new(new Api.DebuginfodServers([], TimeSpan.Zero), binaries, clock, NullLogger<DebuginfodSource>.Instance);
        PgoResults results = new(new ProfileReader(storage), storage, none, clock);
        for (int release = 1; release <= 3; release++)
        {
            using Stream binary = Resource($"release-{release}");
            await binaries.AcceptAsync(BuildIdOf(release), binary, stop);
        }
        for (int ago = Days - 1; ago >= 0; ago--)
        {
            DateTimeOffset day = now.AddDays(-ago).AddMinutes(-5);
            // The third release, compiled with the second one's profile, comes to one host first.
            for (int host = 0; host < Hosts.Length; host++)
                await AddAsync("logquery", ago > 60 ? 1 : ago > (host == 0 ? 26 : 24) ? 2 : 3, host, Hosts[host], "eu-1", day);
            if (ago is > 12 and < 70)
                await AddAsync("logquery-batch", 2, ago % 3, "batch-1", "eu-2", day);
            if (ago < 30)
            {
                await AddAsync("logquery-canary", 3, ago % 3, "canary-1", "eu-1", day);
                await AddAsync("logquery-canary", 3, (ago + 1) % 3, "canary-1", "eu-1", day.AddMinutes(-2));
            }
            if (ago is 58 or 44 or 30 or 23 or 9 or 1)
            {
                clock.Now = day.AddMinutes(10) < now ? day.AddMinutes(10) : now;
                await results.GenerateAsync(new GenerationOrder("logquery", new PgoRequest { Until = clock.Now }), stop);
                if (ago is 23 or 44)
                    await results.GenerateAsync(new GenerationOrder("logquery-batch", new PgoRequest { Until = clock.Now }), stop);
                clock.Now = now;
            }
        }
        await AddAsync("logquery-edge", 1, 0, "edge-1", "us-1", now.AddHours(-1), scale: 50);
        await AddAsync("logquery-edge", 1, 1, "edge-2", "us-1", now.AddHours(-2), scale: 50);
        await AddUnknownAsync();
        await results.GenerateAsync(new GenerationOrder("logquery", new PgoRequest()), stop);
        IReadOnlyList<KeptResult> made = await storage.Results.ListAsync("logquery", null, 10, stop);
        await storage.Results.SetNameAsync("logquery", "stable", made[1].Profile, now, stop);
        for (int i = 0; i < made.Count; i++)
            await storage.Results.NoteAskedAsync(Asked(made[i], "build-farm"), stop);
        await storage.Results.NoteAskedAsync(
            Asked(made[0], "perf-lab", minutes: 2) with { Gates = "--min-hosts 5", Unmet = "the data are of 3 hosts, fewer than --min-hosts 5; record on more hosts" }, stop);
        await storage.Agents.PutAsync(
        [
            .. Hosts.Select((host, i) => Agent(host, ["logquery"], 0.0031 + (i * 0.0009), 0)),
            Agent("canary-1", ["logquery-canary"], 0.0087, 0),
            Agent("edge-1", ["logquery-edge"], 0.0094, 3),
        ], now.AddDays(-Days), stop);

        KeptAsked Asked(KeptResult result, string who, int minutes = 1) =>
            new("logquery", result.Profile, who, result.Made.AddMinutes(minutes), "--min-ratio 1", "");

        KeptAgent Agent(string host, string[] services, double cpu, long dropped) => new(host, now, JsonSerializer.Serialize(new AgentFigures(
            new AgentReport(PgoResults.Tool, "software", cpu, 0.01, 118_000_000, 150_000_000, 1, 0, 0, dropped, dropped * 400, null),
            services), DemandJson.Default.AgentFigures));

        async Task AddAsync(string service, int release, int recording, string host, string cluster, DateTimeOffset end, uint scale = 1)
        {
            BranchProfileSet set = Recorded(release, recording + 1);
            if (scale > 1)
                set = Thinned(set, scale);
            await SendAsync(set, service, host, cluster, end);
        }

        // A build that the server has no binary of.
        async Task AddUnknownAsync()
        {
            BranchProfileSet recorded = Recorded(1, 1), set = new() { TotalSamples = recorded.TotalSamples };
            foreach ((string name, string value) in recorded.Labels)
                set.Labels[name] = value;
            BranchProfile main = recorded.Profiles[BuildIdOf(1)], other = new(
                BuildId.Parse("0badc0de"),
                "/opt/logquery/bin/logquery-legacy")
            { Samples = main.Samples, BranchEntries = main.BranchEntries };
            foreach (PairCount branch in main.Branches.Sorted())
                other.AddBranch(branch.First, branch.Second, branch.Count);
            set.Add(other);
            await SendAsync(set, "logquery-legacy", "old-1", "us-1", now.AddHours(-3));
        }

        async Task SendAsync(BranchProfileSet set, string service, string host, string cluster, DateTimeOffset end)
        {
            set.Labels[ProfileLabels.Service] = service;
            set.Labels[ProfileLabels.Host] = host;
            set.Labels["cluster"] = cluster;
            (set.Start, set.End) = (end.AddMinutes(-1), end);
            await profiles.AcceptAsync(BranchProfileCodec.Encode(set), static _ => { }, stop);
        }
    }

    /// <summary>Few of the branches, so that there are too few.</summary>
    private static BranchProfileSet Thinned(BranchProfileSet whole, uint scale)
    {
        BranchProfileSet set = new() { TotalSamples = whole.TotalSamples / scale };
        foreach ((string name, string value) in whole.Labels)
            set.Labels[name] = value;
        foreach (BranchProfile profile in whole.Profiles.Values)
        {
            BranchProfile few =
                new(profile.BuildId, profile.Path) { Samples = Math.Max(1, profile.Samples / scale), BranchEntries = Math.Max(1, profile.BranchEntries / scale) };
            foreach (PairCount branch in profile.Branches.Sorted())
                if (branch.Count / scale is > 0 and var count)
                    few.AddBranch(branch.First, branch.Second, count);
            set.Add(few);
        }
        return set;
    }

    private static BranchProfileSet Recorded(int release, int recording)
    {
        using Stream stream = Resource($"release-{release}.{recording}.branches");
        byte[] bytes = new byte[stream.Length];
        stream.ReadExactly(bytes);
        return BranchProfileCodec.Decode(bytes);
    }

    private static BuildId BuildIdOf(int release) =>
        Recorded(release, 1).Profiles.Values.First(static profile => profile.Path.EndsWith("/logquery", StringComparison.Ordinal)).BuildId;

    private static Stream Resource(string name) => typeof(DemoStore).Assembly.GetManifestResourceStream("demo/" + name)
        ?? throw new InvalidOperationException($"demo/{name} is not in this build");
}
