using System.Globalization;
using System.Text.Json;
using Perforator.Api;
using Perforator.Branches;
using Perforator.Elf;
using Perforator.Generation;
using Perforator.Server;
using Perforator.Server.Demand;
using Perforator.Server.Ingest;
using Perforator.Server.Results;
using Perforator.Server.Retention;
using Perforator.Server.Storage;
using Perforator.Server.Storage.Embedded;

namespace Perforator.Benchmarks;

/// <summary>
/// A fleet in one process over the server's own code (ingest, storage, blocks, demand and plans; not HTTP), by a clock that is set forward
/// a minute at a time. Hosts record what they are told; their uploads are real branches of a real program, drawn path by path.
/// </summary>
internal sealed class FleetSimulation : IAsyncDisposable
{
    private const int Hosts = 5000, Services = 200, Releases = 10;

    /// <summary>So long only the first builds are there, all of them new at once.</summary>
    private const int FirstMinutes = 60;

    /// <summary>Taken branches that the software recorder takes of a second of user time unless it costs too much.</summary>
    private const double BranchesPerCpuSecond = 40_000;

    /// <summary>Taken branches that the software recorder follows from a moment.</summary>
    private const double BranchesPerPath = 4096;

    private sealed class Clock : TimeProvider
    {
        public DateTimeOffset Now { get; set; } = DateTimeOffset.Parse("2026-03-02T00:00:00Z", CultureInfo.InvariantCulture);

        public override DateTimeOffset GetUtcNow() => Now;
    }

    private sealed class Service(string name, BuildId build)
    {
        public string Name => name;
        public BuildId Build { get; set; } = build;
        public string BuildText { get; set; } = build.ToString();
        public List<Instance> Instances { get; } = [];
    }

    /// <summary>A service on a host.</summary>
    private sealed class Instance(Service service, string host, double cpus)
    {
        public Service Service => service;
        public string Host => host;

        /// <summary>User CPU seconds in a second, on average over a day.</summary>
        public double Cpus => cpus;
        public double Rate { get; set; }
        public double AppliedRate { get; set; }
        public double Recorded { get; set; }
    }

    private sealed record Release(Service Service, BuildId Build, int Minute)
    {
        public BranchProfile Sum { get; } = new(Build, Service.Name);
        public HashSet<string> Hosts { get; } = [];
        public double Branches { get; set; }
        public double HighestRate { get; set; }
        public int? Sufficient { get; set; }
    }

    private readonly Clock clock = new();
    private readonly Random random = new(11);
    private readonly IReadOnlyList<(TraceCount[] Traces, ulong Branches)> paths;
    private readonly double codeBytes;
    private readonly PairCounts truth = new();
    private readonly Dictionary<string, List<Instance>> hosts = [];
    private readonly List<Service> services = [];
    private readonly List<Release> releases = [];
    private readonly ServerStorage storage;
    private readonly Planner planner;
    private readonly EnrolmentFile enrolment = new(null);
    private readonly ProfileIngest ingest;
    private readonly BlockBuilder blocks;

    private FleetSimulation(ServerStorage storage, ServerSettings settings, IReadOnlyList<(TraceCount[], ulong)> paths, double codeBytes)
    {
        (this.storage, this.paths, this.codeBytes) = (storage, paths, codeBytes);
        planner = new Planner(storage, enrolment, clock);
        ingest = new ProfileIngest(storage, settings, clock, planner);
        blocks = new BlockBuilder(storage, new ProfileReader(storage), settings, clock);
        foreach ((TraceCount[] traces, _) in paths)
            foreach (TraceCount trace in traces)
                truth.Add(trace.From, trace.To, trace.Count);
        // The k-th service runs on 3,000 / k^0.9 hosts, as fleets have few large services and many small ones.
        for (int i = 0; i < Services; i++)
        {
            Service service = new($"service-{i:000}", BuildOf(i, 0));
            services.Add(service);
            int count = (int)Math.Max(3, 3000 / Math.Pow(i + 1, 0.9)), at = random.Next(Hosts);
            for (int n = 0; n < count; n++)
            {
                string host = $"host-{(at + (n * 7)) % Hosts:0000}";
                Instance instance = new(service, host, 0.05 * Math.Exp(random.NextDouble() * Math.Log(20)));
                service.Instances.Add(instance);
                (hosts.TryGetValue(host, out List<Instance>? on) ? on : hosts[host] = []).Add(instance);
            }
        }
    }

    /// <summary>Runs the simulation and prints its figures: <c>fleet HOURS PROGRAM [ARGUMENT…]</c>.</summary>
    public static async Task<int> RunAsync(int hours, string[] command)
    {
        using RecordedPaths recorded = RecordedPaths.Record(command, 3000);
        using ElfFile elf = ElfFile.Load(command[0]);
        string folder = Directory.CreateTempSubdirectory("fleet-").FullName;
        try
        {
            ServerStorage storage = await EmbeddedStorage.OpenAsync(folder, TimeProvider.System, CancellationToken.None);
            await using FleetSimulation fleet =
                new(storage, new ServerSettings(folder, ApiRoutes.DefaultAddress), recorded.Paths, elf.ExecutableBytes);
            await fleet.SimulateAsync(hours * 60);
            return 0;
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    public async ValueTask DisposeAsync()
    {
        ingest.Dispose();
        enrolment.Dispose();
        await storage.DisposeAsync();
    }

    private async Task SimulateAsync(int minutes)
    {
        int instances = services.Sum(static service => service.Instances.Count);
        double each = paths.Average(static path => (double)path.Branches);
        // Branches count as the recorder weighs them.
        double full =
            services.Sum(
                static service =>
                    service.Instances.Sum(static one => one.Cpus)) * BranchesPerCpuSecond / BranchesPerPath * each * 86_400 / Hosts;
        Say($"{Hosts} hosts, {Services} services in {instances} instances, {paths.Count} paths of {each:0} branches, {codeBytes:0} bytes of code; an hour in which all is new, then {minutes / 60} hours with {Releases} releases");
        foreach (Service service in services)
            await AddBinaryAsync(service.Build);
        Phase fill = new(), later = new();
        for (int minute = 0; minute < FirstMinutes + minutes; minute++)
        {
            // Of services of all sizes, the largest first.
            int since = minute - FirstMinutes, every = minutes / Releases;
            if (since >= 0 && since % every == 5 && since / every < Releases)
                await ReleaseAsync(services[(int)(Services * Math.Pow(since / every / (double)Releases, 2))], minute);
            await MinuteAsync(minute, minute < FirstMinutes ? fill : later);
            if (minute % 60 == 59)
                Say($"… {minute + 1} minutes: {later.Uploads + fill.Uploads} uploads, {later.Branches + fill.Branches:0} branches, CPU of plans {(fill.PlanTime + later.PlanTime).TotalSeconds:0} s, uploads {(fill.UploadTime + later.UploadTime).TotalSeconds:0} s, demand and sums {(fill.WorkTime + later.WorkTime).TotalSeconds:0} s");
        }
        double release = releases.Average(static one =>
            one.Branches), trickle = (later.Branches - (release * Releases)) / later.Minutes * 1440 / Hosts;
        Say("| | with demand | without | |");
        Say("|---|---:|---:|---:|");
        Row("branches recorded per host and day while nothing is new", trickle);
        Row($"… in a week with {Releases} releases", trickle + (release * Releases / 7 / Hosts));
        Row($"… on a day with all {Releases} releases", trickle + (release * Releases / Hosts));
        Row($"… of the first day, all {Services} builds new", trickle + (fill.Branches / Hosts));
        Say($"| branches until a new build is sufficient, on all its hosts together: mean | {release:N0} | {full * Hosts / Services / 1440:N0} a minute | |");
        int[] took =
            [.. releases.Where(static one => one.Sufficient is not null).Select(static one => one.Sufficient!.Value - one.Minute + 1)
                .Order()];
        Say($"| minutes until then: median, most ({took.Length} of {releases.Count} builds) | {took[took.Length / 2]}, {took[^1]} | 1 | |");
        Shown shown = new(this);
        Say($"| overlap of what was recorded by then with all there is: median, least | {shown.Overlap}, {releases.Min(Overlap):0.000} | | |");
        Say($"| hosts that recorded it by then: median, fewest | {shown.Hosts}, {releases.Min(static one => one.Hosts.Count)} | all | |");
        Say($"| highest rate asked of a host for it: median, highest | {shown.Rate}, {releases.Max(static one => one.HighestRate):0.000} | 1 | |");
        double fullCost = await FullUploadAsync(), plan = later.PlanTime.TotalMilliseconds / (later.Minutes * hosts.Count), upload = later.UploadTime.TotalMilliseconds / Math.Max(1, later.Uploads);
        Say($"| uploads a second: mean, busiest minute | {later.Uploads / later.Minutes / 60:0.00}, {later.MostUploads / 60.0:0.0} | {instances / 60.0:0} | |");
        Say($"| plan requests a second | {hosts.Count / 60.0:0} | 0 | |");
        Say($"| CPU of the server without HTTP for a plan, an upload, ms | {plan:0.000}, {upload:0.00} | –, {fullCost:0.00} | |");
        Say($"| … of one core: plans; uploads; demand and sums | {Share(later.PlanTime)}; {Share(later.UploadTime)}; {Share(later.WorkTime)} | 0; {fullCost * instances / 60 / 10:0} %; not measured | |");

        void Row(string what, double branches) => Say($"| {what} | {branches:N0} | {full:N0} | 1/{full / branches:N0} |");

        string Share(TimeSpan time) => $"{time.TotalMinutes / later.Minutes * 100:0.00} %";
    }

    /// <summary>Medians over releases.</summary>
    private sealed record Shown(FleetSimulation Fleet)
    {
        public string Overlap => $"{Median(Fleet.Overlap):0.000}";
        public string Hosts => $"{Median(static one => one.Hosts.Count):0}";
        public string Rate => $"{Median(static one => one.HighestRate):0.000}";

        private double Median(Func<Release, double> of) => Fleet.releases.Select(of).Order().ElementAt(Fleet.releases.Count / 2);
    }

    private sealed class Phase
    {
        public double Branches { get; set; }
        public long Uploads { get; set; }
        public long MostUploads { get; set; }
        public double Minutes { get; set; }
        public TimeSpan PlanTime { get; set; }
        public TimeSpan UploadTime { get; set; }
        public TimeSpan WorkTime { get; set; }
    }

    private double Overlap(Release release) => Convergence.Overlap(release.Sum.Branches, truth);

    private async Task ReleaseAsync(Service service, int minute)
    {
        service.Build = BuildOf(services.IndexOf(service), releases.Count + 1);
        service.BuildText = service.Build.ToString();
        releases.Add(new Release(service, service.Build, minute));
        await AddBinaryAsync(service.Build);
    }

    private Task<bool> AddBinaryAsync(BuildId build) => storage.Binaries.AddAsync(
        new BinaryFile(build, BinaryKind.Executable, ObjectKeys.Binary($"{build}"), 1, (ulong)codeBytes, HasDebugInfo: true, clock.Now),
        replace: false, CancellationToken.None);

    private async Task MinuteAsync(int minute, Phase phase)
    {
        clock.Now += TimeSpan.FromMinutes(1);
        phase.Minutes++;
        // A day's rise and fall of load in a quarter of one.
        double wave = 1 + (0.4 * Math.Sin(clock.Now.TimeOfDay.TotalDays * 8 * Math.PI));
        Dictionary<Service, Release> open = releases.Where(static one => one.Sufficient is null).ToDictionary(static one => one.Service);
        List<(Instance Instance, byte[] Encoded)> uploads = [];
        foreach (Service service in services)
            foreach (Instance instance in service.Instances)
            {
                (instance.AppliedRate, instance.Recorded) = (instance.Rate, 0);
                int count = instance.Rate == 0
                    ? 0 : Poisson(instance.Rate * instance.Cpus * wave * BranchesPerCpuSecond * 60 / BranchesPerPath);
                if (count == 0)
                    continue;
                BranchProfileSet set = Recorded(instance, count, out double branches);
                instance.Recorded = branches;
                phase.Branches += branches;
                if (open.TryGetValue(service, out Release? release))
                {
                    release.Sum.Merge(set.Profiles.Values.Single());
                    release.Hosts.Add(instance.Host);
                    release.Branches += branches;
                    release.HighestRate = Math.Max(release.HighestRate, instance.Rate);
                }
                uploads.Add((instance, BranchProfileCodec.Encode(set)));
            }
        phase.Uploads += uploads.Count;
        phase.MostUploads = Math.Max(phase.MostUploads, uploads.Count);

        phase.UploadTime += await CpuOfAsync(() => Parallel.ForEachAsync(uploads, new ParallelOptions { MaxDegreeOfParallelism = 32 }, async (upload, stop) =>
            upload.Instance.Rate = (await ingest.AcceptAsync(upload.Encoded, static _ => { }, stop)).Plan!.Rate));
        phase.PlanTime += await CpuOfAsync(() =>
        {
            foreach ((string host, List<Instance> on) in hosts)
            {
                PlanAnswer answer =
                    planner.Answer(
                        new PlanRequest(
                            host, [.. on.Select(
                                static one =>
                                    new RunningService(one.Service.Name, [one.Service.BuildText], one.AppliedRate, one.Recorded, 60))]));
                for (int i = 0; i < on.Count; i++)
                    on[i].Rate = answer.Services[i].Rate;
            }
            return Task.CompletedTask;
        });
        phase.WorkTime += await CpuOfAsync(async () =>
        {
            await planner.UpdateAsync(CancellationToken.None);
            if (minute % 60 == 15)
                while (await blocks.RunAsync(CancellationToken.None) > 0)
                {
                }
        });
        foreach (Release release in open.Values)
            if (await storage.Demand.FindAsync(release.Service.Name, release.Build, CancellationToken.None) is { } kept
                && JsonSerializer.Deserialize<BuildFigures>(kept.Figures)!.IsSufficient)
                release.Sufficient = minute;
    }

    /// <summary>CPU time that the process takes for something: there is nothing else that it does meanwhile.</summary>
    private static async Task<TimeSpan> CpuOfAsync(Func<Task> work)
    {
        TimeSpan before = Environment.CpuUsage.TotalTime;
        await work();
        return Environment.CpuUsage.TotalTime - before;
    }

    /// <summary>Milliseconds of CPU that the server takes for an upload of a host that records everything.</summary>
    private async Task<double> FullUploadAsync()
    {
        List<byte[]> uploads = [];
        clock.Now += TimeSpan.FromMinutes(1);
        for (int i = 0; i < 500; i++)
        {
            Service service = services[random.Next(Services)];
            Instance instance = service.Instances[random.Next(service.Instances.Count)];
            uploads.Add(BranchProfileCodec.Encode(
                Recorded(instance, Math.Max(1, Poisson(instance.Cpus * BranchesPerCpuSecond * 60 / BranchesPerPath)), out _)));
        }
        return (await CpuOfAsync(
            () => Parallel.ForEachAsync(
                uploads, async (upload, stop) =>
                    await ingest.AcceptAsync(upload, static _ => { }, stop)))).TotalMilliseconds / uploads.Count;
    }

    private BranchProfileSet Recorded(Instance instance, int count, out double branches)
    {
        BranchProfileSet set = new() { Start = clock.Now.AddMinutes(-1), End = clock.Now, TotalSamples = (ulong)count * 16 };
        set.Labels[ProfileLabels.Service] = instance.Service.Name;
        set.Labels[ProfileLabels.Host] = instance.Host;
        BranchProfile profile = new(instance.Service.Build, $"/opt/{instance.Service.Name}") { Samples = (ulong)count * 16 };
        branches = 0;
        for (int i = 0; i < count; i++)
        {
            (TraceCount[] traces, ulong of) = paths[random.Next(paths.Count)];
            branches += of;
            foreach (TraceCount trace in traces)
                profile.AddTrace(trace.From, trace.To, trace.End, trace.Count, trace.Mispredicted);
        }
        profile.BranchEntries = (ulong)branches;
        set.TakeOver(profile);
        return set;
    }

    private int Poisson(double mean)
    {
        // Beyond some dozens the normal distribution is as good.
        if (mean > 50)
            return (int)Math.Max(
                0, Math.Round(
                    mean + (Math.Sqrt(mean) * Math.Sqrt(
                        -2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble()))));
        int count = 0;
        for (double product = random.NextDouble(), limit = Math.Exp(-mean); product > limit; product *= random.NextDouble())
            count++;
        return count;
    }

    private static BuildId BuildOf(int service, int release) => BuildId.Parse($"{service:x8}{release:x8}00000000000000000000aa01");

    private static void Say(string line) => Console.WriteLine(line);
}
