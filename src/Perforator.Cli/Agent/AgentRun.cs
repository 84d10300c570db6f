using System.Collections.Concurrent;
using System.Diagnostics;
using Perforator.Agent;
using Perforator.Api;
using Perforator.Api.Uploading;
using Perforator.Branches;
using Perforator.Recording;
using Perforator.Recording.Processes;

namespace Perforator.Cli.Agent;

/// <summary>
/// One run of an agent: one task records, one takes what was counted into the outbox every interval, and one sends what is there. The
/// first two do not wait for the server.
/// </summary>
internal sealed class AgentRun : IDisposable
{
    /// <summary>How long the last upload may take once the agent has been told to end.</summary>
    private static readonly TimeSpan FarewellTime = TimeSpan.FromSeconds(10);

    /// <summary>The first profiles come early, so that people see that all is well.</summary>
    private static readonly TimeSpan FirstInterval = TimeSpan.FromSeconds(5);

    /// <summary>Services that a plan is asked for; others have the fallback rate.</summary>
    private const int MaxPlanned = 2000;

    /// <summary>How long an answer is waited for that says what to record; the last one holds meanwhile.</summary>
    private static readonly TimeSpan PlanTime = TimeSpan.FromSeconds(30);

    private readonly AgentSettings settings;
    private readonly RecordingPlan plan;
    private readonly RunningBuilds builds = new();
    private readonly ServerClient planning;
    private readonly ProfileOutbox outbox;
    private readonly ServiceDiscovery discovery;
    private readonly LiveModules modules = new();
    private readonly BinaryShortcomings shortcomings;
    private readonly ServiceProfiles profiles;
    private readonly AgentStatus status;
    private readonly IBranchRecorder recorder;
    private readonly ServerClient client;
    private readonly ProfileUpload upload;
    private readonly SemaphoreSlim added = new(0);
    private readonly ConcurrentDictionary<string, double> recorded = new(StringComparer.Ordinal);
    private DateTimeOffset start;
    private long planned = Stopwatch.GetTimestamp();

    /// <param name="outbox">Outlives the run, as another one with other rules may follow.</param>
    public AgentRun(AgentSettings settings, BranchSourceChoice choice, ProfileOutbox outbox)
    {
        this.settings = settings;
        this.outbox = outbox;
        discovery = new ServiceDiscovery(settings.Rules);
        shortcomings = new BinaryShortcomings(modules);
        plan = new RecordingPlan(settings.Spool, TimeProvider.System, AgentStatus.Say);
        discovery.Shares = plan.RateOf;
        planning = new ServerClient(settings.Server);
        profiles = new ServiceProfiles(discovery, modules);
        status = new AgentStatus(settings.Rules.FixedNames);
        recorder = choice.Open(discovery, settings.Software);
        client = new ServerClient(settings.Server, retries: int.MaxValue, status.SetTrouble);
        upload = new ProfileUpload(client, modules, plan);
    }

    /// <summary>Records and sends until it is told to end, then sends the rest.</summary>
    /// <param name="isLast">Asked at the end: whether nothing follows, so that what is there is to be sent now.</param>
    public async Task RunAsync(Func<bool> isLast, CancellationToken stop)
    {
        using CancellationTokenSource ending = CancellationTokenSource.CreateLinkedTokenSource(stop);
        // What is not wanted is not recorded either while the first plan is on its way.
        await AskForPlanAsync(ending.Token);
        Task recording = Task.Factory.StartNew(
            () => recorder.Run(profiles, ending.Token), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        start = DateTimeOffset.UtcNow;
        Task sending = SendAsync(ending.Token);
        await status.ShowAsync(CollectEveryIntervalAsync(recording, ending.Token));
        await ending.CancelAsync();
        await recording.ContinueWith(static _ => { }, TaskScheduler.Default);
        await sending;
        Collect();
        if (isLast())
            await EndAsync();
        await recording;
    }

    public void Dispose()
    {
        recorder.Dispose();
        client.Dispose();
        planning.Dispose();
        modules.Dispose();
        added.Dispose();
    }

    private async Task CollectEveryIntervalAsync(Task recording, CancellationToken stop)
    {
        TimeSpan pause = settings.Interval < FirstInterval ? settings.Interval : FirstInterval;
        while (true)
        {
            TaskCompletionSource early = new(TaskCreationOptions.RunContinuationsAsynchronously);
            settings.Budget.MakeRoom = () => early.TrySetResult();
            await Task.WhenAny(recording, Task.Delay(pause, stop), early.Task);
            if (recording.IsCompleted || stop.IsCancellationRequested)
                return;
            pause = settings.Interval;
            Collect();
            added.Release();
            status.SetUnreadable(modules.Unreadable);
            status.SetNotice(recorder.Statistics.Notice);
            status.WriteLines($"{settings.Budget}; {Describe()}");
        }
    }

    private string Describe()
    {
        (int profiles, long bytes, _) = outbox.Waiting;
        return $"{profiles} profiles with {bytes:N0} bytes wait{(outbox.DroppedProfiles == 0 ? "" : $", {outbox.DroppedProfiles} were dropped")}";
    }

    /// <summary>Moves what was counted since the last time into the outbox.</summary>
    private void Collect()
    {
        status.SetRunning(discovery.Running);
        DateTimeOffset end = DateTimeOffset.UtcNow;
        foreach ((string service, BranchAggregator counted) in profiles.Take())
        {
            BranchProfileSet set = ProfileUpload.NewSet(service, recorder.Source, counted, start, end);
            foreach ((string name, string value) in settings.Labels)
                set.Labels.TryAdd(name, value);
            foreach ((string name, string value) in plan.LabelsOf(service))
                set.Labels.TryAdd(name, value);
            status.AddRecorded(set);
            double branches = set.Profiles.Values.Sum(static profile => (double)profile.Branches.InternalTotal);
            recorded.AddOrUpdate(service, branches, (_, before) => before + branches);
            if (set.Profiles.Count == 0)
                continue;
            shortcomings.Look(set);
            outbox.Add(set);
        }
        start = end;
    }

    /// <summary>Sends what there is after each interval. Agents that were started at one moment do not begin at one moment.</summary>
    private async Task SendAsync(CancellationToken stop)
    {
        try
        {
            await added.WaitAsync(stop);
            if (!status.IsShown)
                await Task.Delay(settings.Interval * Random.Shared.NextDouble(), stop);
            while (true)
            {
                string? trouble = await outbox.SendAsync(upload, stop);
                stop.ThrowIfCancellationRequested();
                status.SetTrouble(trouble);
                await AskForPlanAsync(stop);
                if (trouble is null)
                    await SayWhatIsMissingAsync(stop);
                await added.WaitAsync(stop);
            }
        }
        catch (OperationCanceledException)
        {
        }
    }

    /// <summary>
    /// Tells the server what runs here, what it brought and how this agent does, and asks what to record of it. Without an answer the last
    /// plan holds, and what was told is told again.
    /// </summary>
    private async Task AskForPlanAsync(CancellationToken stop)
    {
        IReadOnlyDictionary<string, IReadOnlyList<BuildId>> running = builds.Of(discovery.Processes);
        double seconds = Stopwatch.GetElapsedTime(planned).TotalSeconds;
        RunningService[] services = [.. running.Take(MaxPlanned).Select(one => new RunningService(
            one.Key, [.. one.Value.Select(static build => build.ToString())], plan.MeanRateOf(one.Key), recorded.GetValueOrDefault(one.Key),
            seconds))];
        using CancellationTokenSource patient = CancellationTokenSource.CreateLinkedTokenSource(stop);
        patient.CancelAfter(PlanTime);
        string? unplanned = null;
        try
        {
            plan.Take(await planning.GetPlanAsync(new PlanRequest(ProfileUpload.HostName, services) { Agent = Report() }, patient.Token));
            planned = Stopwatch.GetTimestamp();
            plan.RestartMeans();
            foreach (RunningService told in services)
                recorded.AddOrUpdate(told.Service, 0, (_, since) => since - told.Branches);
        }
        catch (ServerException e) when (e.Failure == ServerFailure.NotFound)
        {
            plan.TakeNone(settings.Server);
        }
        catch (ServerException e) when (e.Failure is not (ServerFailure.Unreachable or ServerFailure.Unavailable))
        {
            // A server of an earlier version wants services named, and has nothing to say of a host that runs none.
            unplanned = services.Length == 0 ? null : $"no plan, so the last one or the fallback rate holds: {e.Message}";
        }
        catch (Exception e) when (e is UserErrorException or OperationCanceledException)
        {
            // What keeps the server from answering is told by uploads.
        }
        status.SetUnplanned(unplanned);
        foreach (string service in running.Keys)
            status.SetPlan(service, plan.RateOf(service), plan.RatioOf(service));
    }

    private AgentReport Report()
    {
        (int profiles, long bytes, _) = outbox.Waiting;
        HostUse taken = settings.Budget.Taken, allowed = settings.Budget.Allowed;
        return new AgentReport(
            Program.Version, recorder.Source, taken.CpuShare, allowed.CpuShare, taken.MemoryBytes, allowed.MemoryBytes,
            settings.Budget.Recording.Share, profiles,
            bytes, outbox.DroppedProfiles, outbox.DroppedSamples, recorder.Statistics.Notice);
    }

    /// <summary>
    /// Says what binaries of this host lack, once each. The server, which may have been given what they lack, is asked only when such a one
    /// turns up.
    /// </summary>
    private async Task SayWhatIsMissingAsync(CancellationToken stop)
    {
        foreach (string service in shortcomings.TakeServices())
        {
            try
            {
                status.SetUnusable(await planning.GetServiceAsync(service, stop), shortcomings.Of);
            }
            catch (ServerException e) when (e.Failure == ServerFailure.NotFound)
            {
            }
            catch (UserErrorException)
            {
                shortcomings.Return(service);
                return;
            }
        }
    }

    private async Task EndAsync()
    {
        using CancellationTokenSource farewell = new(FarewellTime);
        using ServerClient lastClient = new(settings.Server, retries: 1);
        ProfileUpload lastUpload = new(lastClient, modules);
        string? failure = await outbox.SendAsync(lastUpload, farewell.Token);
        if (outbox.DroppedProfiles != 0)
            AgentStatus.Say(
                $"dropped {outbox.DroppedProfiles} profiles with {outbox.DroppedSamples:N0} branch stacks: they waited too long, too much waited, or the server refused them");
        if (failure is not null)
            AgentStatus.Say(failure);
        (int waiting, _, long inMemory) = outbox.Waiting;
        if (inMemory != 0)
            AgentStatus.Say(
                $"{waiting} profiles could not be sent, and {inMemory:N0} bytes of them are lost; --spool DIR keeps them for the next start");
        else if (waiting != 0)
            AgentStatus.Say($"{waiting} profiles that could not be sent are kept in {settings.Spool}");
        AgentStatus.Say(
            $"ended: {recorder.Statistics.Samples:N0} branch stacks recorded, {outbox.Sent} profiles and {upload.Binaries + lastUpload.Binaries} binaries sent");
    }
}
