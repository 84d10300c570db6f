using System.CommandLine;
using Perforator.Api;
using Perforator.Branches;
using Perforator.Recording;
using Perforator.Recording.Processes;
using Perforator.Recording.Software;

namespace Perforator.Cli;

/// <summary><c>perforator agent</c>: records a node's services all the time and sends what it finds to the server.</summary>
internal static class AgentCommand
{
    /// <summary>How long the last upload may take once the agent has been told to end.</summary>
    private static readonly TimeSpan FarewellTime = TimeSpan.FromSeconds(10);

    /// <summary>The first upload comes early, so that people see that all is well.</summary>
    private static readonly TimeSpan FirstInterval = TimeSpan.FromSeconds(5);

    private sealed record Settings(
        Uri Server, IReadOnlyList<ServiceRule> Rules, BranchSource Source, bool Kernel, SoftwareRecorderOptions Software, TimeSpan Interval, string? Spool,
        IReadOnlyList<(string Name, string Value)> Labels);

    public static Command Create()
    {
        Option<string?> server = ServerOption.Create();
        Option<ServiceRule[]> services = new("--service")
        {
            Description = "Record this service only; may be given again. MATCH is an executable's path or name, unit:UNIT (systemd), cgroup:/PATH or pid:N; * and ? are wildcards. "
                + "NAME alone means NAME=NAME. Without the option: everything, each process under what its variable PERFORATOR_SERVICE says, else its systemd service, else its executable's name.",
            HelpName = "NAME[=MATCH]",
            CustomParser = static result => RecordingOptions.ParseEach(result, ServiceRule.Parse),
        };
        Option<BranchSource> source = RecordingOptions.Source();
        Option<bool> kernel = RecordingOptions.Kernel();
        Option<double?> maxOverhead = RecordingOptions.MaxOverhead();
        Option<TimeSpan> interval = new("--interval")
        {
            Description = "Time between uploads. Default: 60s.",
            HelpName = "TIME",
            DefaultValueFactory = static _ => TimeSpan.FromSeconds(60),
            CustomParser = static result => RecordingOptions.ParseTime(result, "--interval"),
        };
        Option<string?> spool = new("--spool")
        {
            Description = "Keep what could not be sent in this folder when the agent ends, and send it when it starts again.",
            HelpName = "DIR",
        };
        Option<(string Name, string Value)[]> labels = new("--label")
        {
            Description = "Add a label to every profile, such as region=eu-1; may be given again.",
            HelpName = "NAME=VALUE",
            CustomParser = static result => RecordingOptions.ParseEach(result, ParseLabel),
        };
        Command command = new("agent",
            """
            Records this node's services continuously and sends their profiles, and each binary once, to the server. Runs until SIGTERM or
            Ctrl-C, then sends the rest and exits with 0. While the server is away, profiles add up in memory.

            Hardware branch records need CAP_PERFMON; other users' processes and the software recorder need CAP_SYS_PTRACE.

            Example: perforator agent --server http://perforator.example:7733 --service search=/opt/search/bin/searchd --service unit-tests=unit:ci-runner
            """)
        { server, services, source, kernel, maxOverhead, interval, spool, labels };
        command.SetAction((parsed, _) => RunAsync(
            new Settings(
                ServerOption.Resolve(parsed.GetValue(server)),
                parsed.GetValue(services) ?? [],
                parsed.GetValue(source),
                parsed.GetValue(kernel),
                RecordingOptions.Recorder(parsed.GetValue(maxOverhead)),
                parsed.GetValue(interval),
                parsed.GetValue(spool),
                parsed.GetValue(labels) ?? [])));
        return command;
    }

    private static async Task<int> RunAsync(Settings settings)
    {
        using StopSignals signals = new();
        BranchSourceChoice choice = BranchSourceChoice.Make(settings.Source, settings.Kernel);
        AgentStatus.Say($"source: {choice.Description}");
        AgentStatus.Say($"server: {settings.Server}; {(settings.Rules.Count == 0 ? "all services" : $"services: {string.Join(", ", settings.Rules.Select(r => r.Service).Distinct())}")}");

        ProfileOutbox outbox = new();
        if (settings.Spool is not null)
            outbox.LoadFrom(settings.Spool, AgentStatus.Say);
        ServiceDiscovery discovery = new(settings.Rules);
        using LiveModules modules = new();
        ServiceProfiles profiles = new(discovery, modules);
        using ServerClient client = new(settings.Server, retries: 4);
        ProfileUpload upload = new(client, modules);
        AgentStatus status = new(settings.Rules.Select(r => r.Service));
        using IBranchRecorder recorder = choice.Open(discovery, settings.Software);

        using CancellationTokenSource ending = CancellationTokenSource.CreateLinkedTokenSource(signals.Token);
        Task recording = Task.Factory.StartNew(
            () => recorder.Run(profiles, ending.Token), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        DateTimeOffset start = DateTimeOffset.UtcNow;
        await status.ShowAsync(UploadEveryIntervalAsync());
        await ending.CancelAsync();
        await recording.ContinueWith(static _ => { }, TaskScheduler.Default);

        using CancellationTokenSource farewell = new(FarewellTime);
        using ServerClient lastClient = new(settings.Server, retries: 1);
        ProfileUpload lastUpload = new(lastClient, modules);
        Collect();
        string? failure = await outbox.SendAsync(lastUpload, farewell.Token);
        LeaveBehind(outbox, settings.Spool, failure);
        AgentStatus.Say($"ended: {recorder.Statistics.Samples:N0} branch stacks recorded, {outbox.Sent} profiles and {upload.Binaries + lastUpload.Binaries} binaries sent");
        await recording;
        return ExitCodes.Ok;

        async Task UploadEveryIntervalAsync()
        {
            TimeSpan pause = settings.Interval < FirstInterval ? settings.Interval : FirstInterval;
            while (true)
            {
                await Task.WhenAny(recording, Task.Delay(pause, ending.Token));
                if (recording.IsCompleted || ending.IsCancellationRequested)
                    return;
                pause = settings.Interval;
                IReadOnlyList<string> collected = Collect();
                status.SetTrouble(await outbox.SendAsync(upload, ending.Token));
                if (ending.IsCancellationRequested)
                    return;
                status.SetUnreadable(modules.Unreadable);
                status.SetNotice(recorder.Statistics.Notice);
                await AskForRatiosAsync(client, status, collected, ending.Token);
                status.WriteLines();
            }
        }

        // Moves what was counted since the last time into the outbox; gives the services there was something of.
        IReadOnlyList<string> Collect()
        {
            status.SetRunning(discovery.Running);
            DateTimeOffset end = DateTimeOffset.UtcNow;
            List<string> collected = [];
            foreach ((string service, BranchAggregator counted) in profiles.Take())
            {
                BranchProfileSet set = ProfileUpload.NewSet(service, recorder.Source, counted, start, end);
                foreach ((string name, string value) in settings.Labels)
                    set.Labels.TryAdd(name, value);
                status.AddRecorded(set);
                if (set.Profiles.Count == 0)
                    continue;
                outbox.Add(set);
                collected.Add(service);
            }
            start = end;
            return collected;
        }
    }

    /// <summary>Asks the server how good each service's profile is by now. Only for show: failures do not matter.</summary>
    private static async Task AskForRatiosAsync(ServerClient client, AgentStatus status, IReadOnlyList<string> services, CancellationToken stop)
    {
        try
        {
            foreach (string service in services)
                status.SetRatio(service, (await client.GetServiceAsync(service, stop)).Builds is [var main, ..] ? main.TakenBranchesToExecutableBytesRatio : null);
        }
        catch (Exception e) when (e is UserErrorException or OperationCanceledException)
        {
        }
    }

    private static void LeaveBehind(ProfileOutbox outbox, string? spool, string? failure)
    {
        if (outbox.DroppedSamples != 0)
            AgentStatus.Say($"dropped {outbox.DroppedSamples:N0} branch stacks: too many waited, or the server refused them");
        if (failure is null)
            return;
        AgentStatus.Say(failure);
        if (outbox.WaitingSamples == 0)
            return;
        if (spool is null)
        {
            AgentStatus.Say($"dropped {outbox.WaitingSamples:N0} branch stacks that could not be sent; --spool DIR keeps them for the next start");
            return;
        }
        outbox.SaveTo(spool);
        AgentStatus.Say($"kept {outbox.WaitingSamples:N0} branch stacks that could not be sent in {spool}");
    }

    private static (string Name, string Value) ParseLabel(string text)
    {
        int equals = text.IndexOf('=', StringComparison.Ordinal);
        if (equals <= 0 || !ProfileLabels.IsName(text[..equals]) || text.Length - equals - 1 is 0 or > ProfileLabels.MaxValueLength)
            throw new UserErrorException($"--label {text}: give NAME=VALUE, such as region=eu-1");
        return (text[..equals], ProfileLabels.Printable(text[(equals + 1)..]));
    }
}
