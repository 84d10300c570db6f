using Perforator.Api;
using Perforator.Branches;
using Perforator.Server.Demand;
using Perforator.Server.Storage;
using Perforator.Server.Storage.Embedded;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Server;

/// <summary>A fleet of hosts that record what the server tells them, by a clock that the test turns.</summary>
public sealed class DemandTests : IAsyncLifetime, IDisposable
{
    private sealed class SetTime : TimeProvider
    {
        public DateTimeOffset Now { get; set; } = Uploads.Start;

        public override DateTimeOffset GetUtcNow() => Now;
    }

    private const int Hosts = 300;

    /// <summary>Taken branches that a host has in a second of this service at rate 1.</summary>
    private const int PerSecond = 2000;

    private readonly TemporaryFolder folder = new();
    private readonly SetTime time = new();
    private readonly Random random = new(5);
    private readonly Dictionary<string, ServicePlan> plans = [];
    private ServerStorage storage = null!;
    private EnrolmentFile enrolment = null!;
    private Planner planner = null!;

    private static CancellationToken Stop => CancellationToken.None;

    public async Task InitializeAsync()
    {
        storage = await EmbeddedStorage.OpenAsync(folder["data"], time, Stop);
        UseFile(null);
    }

    private void UseFile(string? text)
    {
        if (text is not null)
            File.WriteAllText(folder["enrol.yaml"], text);
        enrolment = new EnrolmentFile(text is null ? null : folder["enrol.yaml"]);
        planner = new Planner(storage, enrolment, time);
    }

    /// <summary>A minute of the fleet: every host asks and records at the rate it was told.</summary>
    /// <param name="build">The build that a host runs.</param>
    /// <param name="behaviour">Which of its branches it takes how often.</param>
    /// <returns>Branches recorded, and the hosts that recorded any.</returns>
    private async Task<(double Branches, int Hosts)> MinuteAsync(Func<int, string> build, int behaviour)
    {
        (double all, int recording) = (0, 0);
        time.Now += TimeSpan.FromMinutes(1);
        for (int i = 0; i < Hosts; i++)
        {
            string host = $"host-{i}";
            double rate = plans.GetValueOrDefault(host)?.Rate ?? 0;
            double expected = rate * PerSecond * 60;
            int branches = expected < 50 ? random.NextDouble() < expected / 50 ? 50 : 0 : (int)expected;
            if (branches > 0)
            {
                planner.Uploaded(Recorded(host, build(i), behaviour, branches), $"{host} {time.Now:O}", isNew: true);
                (all, recording) = (all + branches, recording + 1);
            }
            plans[host] = planner.Answer(new PlanRequest(host, [new RunningService("search", [build(i)], rate, branches, 60)])).Services[0];
        }
        await planner.UpdateAsync(Stop);
        return (all, recording);
    }

    private BranchProfileSet Recorded(string host, string build, int behaviour, int branches)
    {
        BranchProfileSet set = new() { Start = time.Now.AddMinutes(-1), End = time.Now, TotalSamples = 1 };
        set.Labels[ProfileLabels.Service] = "search";
        set.Labels[ProfileLabels.Host] = host;
        BranchProfile profile = new(BuildId.Parse(build), "/opt/search");
        // A few branches are hot and many are not: of 400 the k-th has a share of about 1/k.
        Dictionary<int, ulong> counts = [];
        for (int n = 0; n < branches; n += 10)
            counts[(int)Math.Exp(random.NextDouble() * Math.Log(400))] = counts.GetValueOrDefault(
                (int)Math.Exp(random.NextDouble() * Math.Log(400))) + 10;
        foreach ((int k, ulong count) in counts)
            profile.AddBranch(new((ulong)(0x1000 + (behaviour * 0x40) + (k * 16))), new((ulong)(0x1008 + (k * 16))), count);
        set.Add(profile);
        return set;
    }

    private async Task<BuildFigures> FiguresAsync(string build) => System.Text.Json.JsonSerializer.Deserialize(
        (await storage.Demand.FindAsync("search", BuildId.Parse(build), Stop))!.Figures, DemandJson.Default.BuildFigures)!;

    private async Task<int> MinutesUntilAsync(Func<Task<bool>> done, Func<int, string> build, int behaviour)
    {
        for (int minute = 1; minute <= 600; minute++)
        {
            await MinuteAsync(build, behaviour);
            if (await done())
                return minute;
        }
        Assert.Fail($"not within 600 minutes: {await FiguresAsync(build(0))}");
        return 0;
    }

    [Fact]
    public void What_counts_for_no_demand_as_too_much_waits_is_counted_itself()
    {
        BranchProfileSet set = Uploads.Set();
        BranchProfile profile = set.Profiles.Values.Single();
        for (ulong i = 0; i < 500_000; i++)
            profile.AddBranch(new(0x10000 + (4 * i)), new(0x1000), 1);
        Dictionary<string, long> uncounted = [];
        using System.Diagnostics.Metrics.MeterListener listener = new()
        {
            InstrumentPublished = static (instrument, own) =>
            {
                if (instrument.Name == "perforator.demand.uncounted")
                    own.EnableMeasurementEvents(instrument);
            },
        };
        // Other tests' servers are other processes.
        listener.SetMeasurementEventCallback<long>(
            (_, value, tags, _) => uncounted[(string)tags[0].Value!] = uncounted.GetValueOrDefault((string)tags[0].Value!) + value);
        listener.Start();
        DemandTally tally = new();
        tally.Add(set, "00", hosts: 1);
        Assert.Empty(uncounted);
        tally.Add(Uploads.Set(service: "other"), "01", hosts: 1);
        Assert.Equal(new KeyValuePair<string, long>("branches", 1), Assert.Single(uncounted));
        // What is just being added to what is kept takes its room until then, and so does what came back from there.
        foreach (bool comesBack in (bool[])[true, false])
        {
            (string Service, BuildId Build, PendingBuild Pending)[] taken = [.. tally.Take(static (_, _) => true)];
            Assert.Contains(taken, static one => one.Service == "other");
            long before = uncounted["branches"];
            tally.Add(Uploads.Set(service: "other"), "02", hosts: 1);
            Assert.Equal(before + 1, uncounted["branches"]);
            foreach ((string service, BuildId build, PendingBuild pending) in taken)
                if (comesBack)
                    tally.Return(service, build, pending);
                else
                    tally.Release(pending);
        }
        // Once it was added, there is room again.
        tally.Add(Uploads.Set(service: "other"), "03", hosts: 1);
        Assert.Single(uncounted);
        Assert.Equal(3, uncounted["branches"]);
    }

    [Fact]
    public async Task A_new_build_is_recorded_until_it_is_known_then_trickles_and_a_change_or_another_build_raises_it_again()
    {
        double most = (double)Hosts * PerSecond * 60;
        await MinuteAsync(static _ => "aa01", 0);
        (double branches, int hosts) = await MinuteAsync(static _ => "aa01", 0);
        Assert.InRange(branches, 50_000, most / 10);
        Assert.InRange(hosts, 16, 160);
        Assert.Contains("new", plans.Values.Select(static plan => plan.State));
        Assert.InRange(await MinutesUntilAsync(async () => (await FiguresAsync("aa01")).IsSufficient, static _ => "aa01", 0), 1, 9);

        // Plans as of now; next to nothing is recorded from here on, of a few hosts.
        await MinuteAsync(static _ => "aa01", 0);
        double trickle = 0;
        for (int minute = 0; minute < 120; minute++)
            trickle += (await MinuteAsync(static _ => "aa01", 0)).Branches;
        Assert.InRange(trickle / 120, 1, most / 1000);
        Assert.InRange(plans.Values.Count(static plan => plan.Rate > 0), 1, 24);
        for (int minute = 0; minute < 120; minute++)
            await MinuteAsync(static _ => "aa01", 0);
        Assert.True((await FiguresAsync("aa01")).IsSufficient, "the same behaviour is no change");

        int noticed = await MinutesUntilAsync(async () => (await FiguresAsync("aa01")).HasChanged, static _ => "aa01", 1);
        Assert.InRange(noticed, 1, 400);
        Assert.Contains("changed", (await ManyAsync(1)).Select(static plan => plan.State));
        Assert.InRange(await MinutesUntilAsync(async () => (await FiguresAsync("aa01")).IsSufficient, static _ => "aa01", 1), 1, 9);

        // A release on some of the hosts: these are asked, and the others go on to trickle.
        await ManyAsync(1);
        string Released(int host) => host < 100 ? "aa02" : "aa01";
        await MinuteAsync(Released, 1);
        await MinuteAsync(Released, 1);
        double RateOf(Func<int, bool> which) => Enumerable.Range(0, Hosts).Where(which).Sum(host => plans[$"host-{host}"].Rate);
        Assert.True(RateOf(static host =>
            host < 100) > 50 * RateOf(static host =>
                host >= 100), $"{RateOf(static host => host < 100)} for {RateOf(static host => host >= 100)}");
        Assert.InRange(await MinutesUntilAsync(async () => (await FiguresAsync("aa02")).IsSufficient, Released, 1), 1, 9);

        async Task<IReadOnlyCollection<ServicePlan>> ManyAsync(int behaviour)
        {
            await MinuteAsync(static _ => "aa01", behaviour);
            return plans.Values;
        }
    }

    [Fact]
    public void Draws_spread_over_hosts_and_hours_and_follow_the_fleets_cpu_models()
    {
        BuildFigures known =
            new() { IsSufficient = true, Branches = 1e6, Basis = 1e6, Hosts = 3000, BranchesPerHostSecond = 4000, IsExecutable = true };
        Draw draw = known.DrawOf(new DemandRules());
        BuildId build = BuildId.Parse("aa01");
        Dictionary<int, int> hoursOfHost = [];
        List<int> hostsOfHour = [];
        for (int hour = 0; hour < 24 * 7; hour++)
        {
            int[] drawn =
                [.. Enumerable.Range(0, 3000)
                    .Where(host => draw.RateOf($"node-{host}", "search", build, Uploads.Start.AddHours(hour)) > 0)];
            hostsOfHour.Add(drawn.Length);
            foreach (int host in drawn)
                hoursOfHost[host] = hoursOfHost.GetValueOrDefault(host) + 1;
        }
        Assert.InRange(hostsOfHour.Average(), 7, 9);
        Assert.InRange(hostsOfHour.Max(), 8, 24);
        Assert.InRange(hoursOfHost.Count, 900, 1344);
        Assert.InRange(hoursOfHost.Values.Max(), 1, 6);
        // A tenth of the hosts has another CPU, and a tenth of the draws.
        double other =
            hoursOfHost.Where(static host => host.Key % 10 == 0).Sum(static host => (double)host.Value) / hoursOfHost.Values.Sum();
        Assert.InRange(other, 0.06, 0.14);
    }

    [Fact]
    public void A_rate_is_never_beyond_the_budget_and_a_build_on_few_hosts_asks_what_these_have()
    {
        DemandRules rules = new();
        foreach (double hosts in (double[])[0, 1, 3, 31, 32, 1000, 50_000])
            foreach (double each in (double[])[0, 1, 4000, 1e6])
                foreach (double code in (double[])[0, 1e4, 1e9])
                    foreach (bool known in (bool[])[false, true])
                    {
                        Draw draw = new BuildFigures { Hosts = (long)hosts, BranchesPerHostSecond = each, ExecutableBytes = code, IsSufficient = known, Branches = known ? 1e6 : 0, Basis = known ? 1e6 : 0 }.DrawOf(rules);
                        Assert.InRange(draw.Rate, known ? double.Epsilon : 0, 1);
                        Assert.InRange(draw.Hosts, 0, 1);
                    }
        Assert.Equal(new Draw(1, 1), new BuildFigures { Hosts = 1, BranchesPerHostSecond = 4000 }.DrawOf(rules));
    }

    [Fact]
    public async Task Rates_are_pinned_by_a_file_and_a_slip_in_it_names_line_and_key_and_changes_nothing()
    {
        UseFile("plan:\n  hold: 2h\n  fallback-rate: 0.5\nservices:\n- match: sea*\n  rate: 0.125\n  labels: {team: finders}\n- match: '*'\n  rate: 0\n");
        PlanAnswer answer =
            planner.Answer(
                new PlanRequest("h", [new RunningService("search", ["aa01"], 0, 0, 0), new RunningService("mail", ["aa02"], 0, 0, 0)]));
        Assert.Equal((7200, 0.5), (answer.HoldSeconds, answer.FallbackRate));
        Assert.Equal(
            [("search", 0.125, "pinned"), ("mail", 0, "pinned")], answer.Services.Select(static one => (one.Service, one.Rate, one.State)));
        Assert.Equal("finders", answer.Services[0].Labels["team"]);

        foreach ((string text, string problem) in ((string, string)[])[
            ("services:\n- match: a\n  rte: 0.1\n", "line 3: rte is not known of a service"),
            ("services:\n- match: a\n  rate: 1.5\n", "line 3: rate is from 0"),
            ("services:\n- rate: 1\n", "line 2: match is missing"),
            ("plan:\n  hold: soon\n", "line 2: hold is a time such as 30s"),
            ("plan:\n  labels: {\n", "line "),
            ("services:\n- match: a\n  labels: {host: x}\n", "line 3: host cannot be a label here"),
            ("services: all\n", "line 1: services is a list"),
            ("servics: []\n", "line 1: servics is not known here")])
        {
            File.WriteAllText(folder["enrol.yaml"], text);
            string message = Assert.Throws<UserErrorException>(() => Enrolment.Load(folder["enrol.yaml"])).Message;
            Assert.Contains($"{folder["enrol.yaml"]} (--enrol), {problem}", message, StringComparison.Ordinal);
            enrolment.Reload();
            Assert.Equal(0.125, enrolment.Current.Of("search")!.Rate);
        }
        File.WriteAllText(folder["enrol.yaml"], "services: [{match: search, rate: 1}]");
        enrolment.Reload();
        Assert.Equal((1, null), (enrolment.Current.Of("search")!.Rate, enrolment.Current.Of("mail")?.Rate));
        Assert.Contains(
            "cannot read", Assert.Throws<UserErrorException>(() => Enrolment.Load(folder["missing.yaml"])).Message,
            StringComparison.Ordinal);
        await storage.Demand.RemoveAsync(time.Now, Stop);
    }

    [Fact]
    public void Evidence_that_is_kept_is_the_same_and_bounded_and_damage_is_told()
    {
        BuildEvidence evidence = new();
        PendingBuild pending = new() { OnesTotal = 3e5, OthersTotal = 3e5, IsExecutable = true };
        for (int i = 0; i < 300_000; i++)
            (i % 2 == 0 ? pending.One : pending.Other).Add(new((ulong)(0x1000 + (i / 2 * 8))), new(0x1000), 2);
        pending.Hosts.Add(1);
        evidence.Add(pending, Uploads.Start);
        byte[] kept = evidence.Encode();
        Assert.InRange(kept.Length, 1, 1 << 20);
        BuildFigures figures = evidence.Judge(1000, Uploads.Start);
        Assert.Equal((true, 6e5, 1L, true), (figures.IsSufficient, figures.Branches, figures.Hosts, figures.Overlap > 0.99));
        Assert.Equal(figures, BuildEvidence.Decode(kept).Judge(1000, Uploads.Start));
        Assert.Equal(kept, BuildEvidence.Decode(kept).Encode());
        Assert.Throws<Perforator.Bytes.MalformedInputException>(() => BuildEvidence.Decode(kept[..^9]));
        Assert.Throws<Perforator.Bytes.MalformedInputException>(() => BuildEvidence.Decode([]));
    }

    public async Task DisposeAsync() => await storage.DisposeAsync();

    public void Dispose()
    {
        enrolment.Dispose();
        folder.Dispose();
    }
}
