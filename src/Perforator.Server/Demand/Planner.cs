using System.Collections.Concurrent;
using System.Text.Json;
using Perforator.Api;
using Perforator.Branches;
using Perforator.Bytes;
using Perforator.Server.Storage;

namespace Perforator.Server.Demand;

/// <summary>
/// Tells hosts what to record of their services, from figures that it has in memory: a request reads nothing. What came in is added to what
/// is kept, and figures are read anew, by <see cref="UpdateAsync(CancellationToken, bool)"/>, off the path of requests.
/// </summary>
internal sealed class Planner
{
    /// <summary>A build that was not seen for so long runs nowhere.</summary>
    private static readonly TimeSpan Gone = TimeSpan.FromMinutes(20);

    /// <summary>So long the state of a build that runs nowhere is kept.</summary>
    private static readonly TimeSpan Kept = TimeSpan.FromDays(30);

    /// <summary>What comes of builds that are sufficient is added to what is kept this many times as rarely as of others.</summary>
    private const int Rest = 10;

    /// <summary>Builds updated at the same time.</summary>
    private const int AtOnce = 4;

    private sealed record KnownBuild(BuildId Build, BuildFigures Figures, DateTimeOffset Seen, Draw Draw);

    private sealed record KnownService(IReadOnlyList<KnownBuild> Builds, long Hosts, double BranchesPerHostSecond)
    {
        /// <summary>Of the builds that run, the executable on most hosts.</summary>
        public BuildFigures? MainAt(DateTimeOffset now) =>
            Builds.Where(build => now - build.Seen < Gone).Select(static build => build.Figures)
            .MaxBy(static build => (build.IsExecutable, build.Hosts, build.Share));
    }

    private readonly ServerStorage storage;
    private readonly TimeProvider time;
    private readonly EnrolmentFile enrolment;
    private readonly DemandTally tally = new();
    private Dictionary<string, KnownService> services = new(StringComparer.Ordinal);

    public Planner(ServerStorage storage, EnrolmentFile enrolment, TimeProvider time)
    {
        this.storage = storage;
        this.enrolment = enrolment;
        this.time = time;
    }

    /// <summary>The times that hold now.</summary>
    public DemandRules Rules => enrolment.Current.Rules;

    /// <summary>
    /// What is known of services that hosts run: hosts that run the build that most run, and the branches known of its code to the bytes of
    /// that code (null without its binary); of the services on most hosts.
    /// </summary>
    public IReadOnlyList<(string Service, long Hosts, double? Ratio)> Largest(int count)
    {
        DateTimeOffset now = time.GetUtcNow();
        return [.. Running().OrderByDescending(static service => service.Hosts)
            .ThenBy(static service => service.Service, StringComparer.Ordinal).Take(count)];

        IEnumerable<(string Service, long Hosts, double? Ratio)> Running()
        {
            foreach ((string service, KnownService known) in Volatile.Read(ref services))
                if (known.MainAt(now) is { } main)
                    yield return (service, main.Hosts, main.Ratio);
        }
    }

    /// <summary>
    /// Counts an upload that was stored and is no repetition, and says what its host is to record of the service from now on.
    /// </summary>
    /// <param name="isNew">Whether it is to be counted.</param>
    public ServicePlan? Uploaded(BranchProfileSet set, string hash, bool isNew)
    {
        string service = set.Service!;
        if (isNew)
            tally.Add(set, hash, Volatile.Read(ref services).GetValueOrDefault(service)?.Hosts ?? 0);
        return set.Labels.GetValueOrDefault(ProfileLabels.Host) is { Length: > 0 } host
            ? PlanOf(host, service, [.. set.Profiles.Keys]) : null;
    }

    /// <summary>Counts what a host runs, and says what it is to record of it.</summary>
    public PlanAnswer Answer(PlanRequest request)
    {
        foreach (RunningService service in request.Services)
            tally.Add(request.Host, service);
        DemandRules rules = Rules;
        return new PlanAnswer(
            [.. request.Services.Select(
                service => PlanOf(
                    request.Host, service.Service,
                    [.. service.Builds.Select(static id => BuildId.TryParse(id, out BuildId build) ? build : default)]))],
            rules.Hold.TotalSeconds, rules.FallbackRate);
    }

    /// <summary>What a host is to record of a service.</summary>
    /// <param name="runs">The builds that it runs, as far as it tells; none: any that hosts run.</param>
    private ServicePlan PlanOf(string host, string service, IReadOnlyCollection<BuildId> runs)
    {
        Enrolment now = enrolment.Current;
        ServiceEnrolment? enrolled = now.Of(service);
        IReadOnlyDictionary<string, string> labels = enrolled?.Labels ?? ServiceEnrolment.NoLabels;
        KnownService? known = Volatile.Read(ref services).GetValueOrDefault(service);
        DateTimeOffset moment = time.GetUtcNow();
        double? ratio = known?.MainAt(moment)?.Ratio;
        if (enrolled?.Rate is { } pinned)
            return new ServicePlan(service, pinned, "pinned", labels) { Ratio = ratio };
        (double rate, string state) = (0, "sufficient");
        foreach (KnownBuild build in known?.Builds ?? [])
        {
            bool counts = build.Figures.IsExecutable
                ? runs.Count == 0 ? moment - build.Seen < Gone : runs.Contains(build.Build)
                : !build.Figures.IsSufficient && build.Figures.Share >= DemandTally.LeastShare && moment - build.Seen < Gone;
            if (counts)
                Take(build.Draw.RateOf(host, service, build.Build, moment), build.Figures);
        }
        foreach (BuildId build in runs)
            if (!build.IsEmpty && known?.Builds.Any(one => one.Build == build) != true)
            {
                // As many hosts are about to run it as run the service, and they can bring as much.
                BuildFigures unknown = BuildFigures.Unknown with
                {
                    Hosts = Math.Max(known?.Hosts ?? 0, tally.HostsOf(service, build)),
                    BranchesPerHostSecond = known?.BranchesPerHostSecond ?? 0,
                };
                Take(unknown.DrawOf(now.Rules).RateOf(host, service, build, moment), unknown);
            }
        if (runs.Count == 0 && known is null)
            Take(1, BuildFigures.Unknown);
        return new ServicePlan(service, rate, state, labels) { Ratio = ratio };

        void Take(double ofBuild, BuildFigures figures)
        {
            rate = Math.Max(rate, ofBuild);
            if (!figures.IsSufficient)
                state = figures.HasChanged ? "changed" : "new";
        }
    }

    /// <summary>Adds what came in to what is kept, and reads the figures of all builds, those that other servers changed too.</summary>
    /// <param name="isLast">Whether there is no next time, so that nothing is left for it.</param>
    /// <exception cref="IOException">The storage is away; what came in is added the next time.</exception>
    public async Task UpdateAsync(CancellationToken stop, bool isLast = false)
    {
        DateTimeOffset rested = time.GetUtcNow() - (Rest * Rules.Update);
        Dictionary<string, KnownService> known = Volatile.Read(ref services);
        ConcurrentQueue<(string Service, BuildId Build, PendingBuild Pending)> taken = tally.Take((service, build) =>
            isLast || known.GetValueOrDefault(service)?.Builds.FirstOrDefault(one =>
                one.Build == build) is not { Figures.IsSufficient: true } one || one.Seen <= rested);
        try
        {
            Dictionary<BuildId, double> code = [];
            foreach (BinaryFile file in await storage.Binaries.FindAsync([.. taken.Select(static one => one.Build).Distinct()], stop))
                if (file.Kind == BinaryKind.Executable)
                    code[file.BuildId] = file.ExecutableBytes;
            await Task.WhenAll(Enumerable.Range(0, AtOnce).Select(_ => Task.Run(() => KeepAsync(taken, code, stop), stop)));
        }
        catch (Exception)
        {
            foreach ((string service, BuildId build, PendingBuild pending) in taken)
                tally.Return(service, build, pending);
            throw;
        }
        await ReadAsync(stop);
    }

    /// <summary>Adds what was taken to what is kept, one after the other, each of which is let go then.</summary>
    private async Task KeepAsync(
        ConcurrentQueue<(string Service, BuildId Build, PendingBuild Pending)> taken, Dictionary<BuildId, double> code,
        CancellationToken stop)
    {
        while (!stop.IsCancellationRequested && taken.TryDequeue(out (string Service, BuildId Build, PendingBuild Pending) one))
            try
            {
                await UpdateAsync(one.Service, one.Build, one.Pending, code.GetValueOrDefault(one.Build), CancellationToken.None);
                tally.Release(one.Pending);
            }
            catch (Exception)
            {
                tally.Return(one.Service, one.Build, one.Pending);
                throw;
            }
        stop.ThrowIfCancellationRequested();
    }

    /// <summary>Forgets the state of builds that run nowhere any more.</summary>
    public Task ForgetAsync(CancellationToken stop) => storage.Demand.RemoveAsync(time.GetUtcNow() - Kept, stop);

    private async Task UpdateAsync(string service, BuildId build, PendingBuild pending, double code, CancellationToken stop)
    {
        DateTimeOffset now = time.GetUtcNow();
        KeptDemand? kept;
        BuildEvidence evidence;
        BuildFigures figures;
        do
        {
            kept = await storage.Demand.FindAsync(service, build, stop);
            evidence = EvidenceOf(kept);
            evidence.Add(pending, now);
            figures = evidence.Judge(code, now);
        }
        while (!await storage.Demand.PutAsync(
            new KeptDemand(
                service, build, kept?.Version ?? 0, now, JsonSerializer.Serialize(figures, DemandJson.Default.BuildFigures),
                evidence.Encode()), stop));
    }

    private static BuildEvidence EvidenceOf(KeptDemand? kept)
    {
        try
        {
            return kept is null ? new BuildEvidence() : BuildEvidence.Decode(kept.Evidence);
        }
        catch (MalformedInputException)
        {
            // Of another version of the server, or damaged: the build is taken for new, which costs some recording.
            return new BuildEvidence();
        }
    }

    private async Task ReadAsync(CancellationToken stop)
    {
        DateTimeOffset now = time.GetUtcNow();
        DemandRules rules = Rules;
        Dictionary<string, KnownService> read = new(StringComparer.Ordinal);
        foreach (IGrouping<string, KeptDemand> service in (await storage.Demand.ListAsync(now - Kept, stop)).GroupBy(static one =>
            one.Service))
        {
            List<(KeptDemand Kept, BuildFigures Figures)> builds =
                [.. service.Select(static one => (one, JsonSerializer.Deserialize(one.Figures, DemandJson.Default.BuildFigures)!))];
            // Hosts name executables only; a library is run by those that run them.
            long hosts =
                builds.Where(one => one.Figures.IsExecutable && now - one.Kept.Seen < Gone).Select(static one => one.Figures.Hosts)
                    .DefaultIfEmpty().Max();
            double each =
                builds.Where(static one => one.Figures.IsExecutable).Select(static one => one.Figures.BranchesPerHostSecond)
                    .DefaultIfEmpty().Max();
            read[service.Key] = new KnownService(
                [.. builds.Select(
                    one => new KnownBuild(one.Kept.BuildId, one.Figures, one.Kept.Seen, FiguresFor(one.Figures).DrawOf(rules)))], hosts,
                    each);

            BuildFigures FiguresFor(BuildFigures own) =>
                !own.IsExecutable ? own with { Hosts = Math.Max(own.Hosts, hosts), BranchesPerHostSecond = each * own.Share }
                : own.BranchesPerHostSecond > 0 ? own : own with { BranchesPerHostSecond = each };
        }
        Volatile.Write(ref services, read);
    }
}
