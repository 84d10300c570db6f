using System.CommandLine;
using Perforator.Agent;
using Perforator.Agent.Services;
using Perforator.Api.Uploading;
using Perforator.Branches;
using Perforator.Cli.Agent;
using Perforator.Recording;

namespace Perforator.Cli;

/// <summary><c>perforator agent</c>: records a node's services all the time and sends what it finds to the server.</summary>
internal static class AgentCommand
{
    public static Command Create()
    {
        OutboxLimits limits = new();
        Option<string?> server = ServerOption.Create();
        Option<ServiceRule[]> services = new("--service")
        {
            Description = "Record this service only; may be given again. MATCH is an executable's path or name, unit:UNIT (systemd), cgroup:/PATH or pid:N; * and ? are wildcards. "
                + "NAME alone means NAME=NAME. Without the option: everything, each process under what its variable PERFORATOR_SERVICE says, else its Kubernetes namespace, workload and container, "
                + "its container, its systemd service, or its executable's name.",
            HelpName = "NAME[=MATCH]",
            CustomParser = static result => RecordingOptions.ParseEach(result, ServiceRule.Parse),
        };
        Option<string?> rules = new("--services")
        {
            Description = "Rules that name services, and labels, in a YAML file (docs/recording.md); read again on SIGHUP.",
            HelpName = "FILE",
        };
        Option<bool> dryRun = new("--dry-run") { Description = "Print what runs here and under which name it would be recorded, and end." };
        Option<bool> once = new("--once") { Description = "Record one interval, print what there was, and end; no server is needed." };
        Option<bool> json = new("--json") { Description = "Print JSON, with --dry-run and --once." };
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
            Description = "Keep what was recorded in this folder until the server has it: nothing is lost when the agent is killed or the server is away. One folder for each agent.",
            HelpName = "DIR",
        };
        Option<long> spoolSize = new("--spool-size")
        {
            Description = "The most that may wait in the spool, such as 500MB; the oldest is dropped, counted and said. Default: 500MB.",
            HelpName = "SIZE",
            DefaultValueFactory = _ => limits.SpoolBytes,
            CustomParser = static result => RecordingOptions.ParseSize(result, "--spool-size"),
        };
        Option<TimeSpan> spoolAge = new("--spool-age")
        {
            Description = "How long what cannot be sent waits, such as 7d; then it is dropped, counted and said. Default: 7d.",
            HelpName = "TIME",
            DefaultValueFactory = _ => limits.Age,
            CustomParser = static result => RecordingOptions.ParseTime(result, "--spool-age"),
        };
        Option<double> cpuBudget = new("--cpu-budget")
        {
            Description = "What the agent may take of the host's CPU time, recording, aggregation and uploads together; it samples more rarely to stay within. Default: 1%.",
            HelpName = "PERCENT",
            DefaultValueFactory = static _ => HostBudget.DefaultCpuShare,
            CustomParser = static result => RecordingOptions.ParsePercent(result, "--cpu-budget") ?? 0,
        };
        Option<long> memoryBudget = new("--memory-budget")
        {
            Description = "Resident memory to stay within, by making profiles early and keeping less decoded code; at least 100MB. Default: 150MB.",
            HelpName = "SIZE",
            DefaultValueFactory = static _ => HostBudget.DefaultMemoryBytes,
            CustomParser = static result => RecordingOptions.ParseSize(result, "--memory-budget"),
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
            Ctrl-C, then sends the rest and exits with 0. While the server is away, profiles wait in the spool, or in memory.

            Hardware branch records need CAP_PERFMON; other users' processes and the software recorder need CAP_SYS_PTRACE.

            Examples:
              perforator agent --server http://perforator.example:7733 --spool /var/lib/perforator/spool --services /etc/perforator/services.yaml
              perforator agent --service search=/opt/search/bin/searchd --service unit-tests=unit:ci-runner
              sudo perforator agent --dry-run
              sudo perforator agent --once --interval 10s --json
            """)
        { server, services, rules, source, kernel, maxOverhead, interval, cpuBudget, memoryBudget, spool, spoolSize, spoolAge, labels, dryRun, once, json };
        command.Check(result =>
        {
            if (result.GetValue(dryRun) && result.GetValue(once))
                result.AddError("--dry-run records nothing and --once does: give one of them");
            if (result.GetResult(memoryBudget) is { Implicit: false } && result.GetValue(memoryBudget) < 100_000_000)
                result.AddError("--memory-budget is at least 100MB: the runtime and one service's decoded code take as much");
            if (result.GetValue(json) && !result.GetValue(dryRun) && !result.GetValue(once))
                result.AddError("--json goes with --dry-run or --once");
        });
        command.SetAction(async (parsed, _) =>
        {
            await using HostBudget budget = new(parsed.GetValue(cpuBudget), parsed.GetValue(memoryBudget));
            AgentFiles files = new(parsed.GetValue(services) ?? [], parsed.GetValue(rules), parsed.GetValue(labels) ?? []);
            (ServiceRules named, IReadOnlyList<(string, string)> all) = files.Load();
            AgentSettings settings = new(
                ServerOption.Resolve(parsed.GetValue(server)), named, parsed.GetValue(source), parsed.GetValue(kernel),
                RecordingOptions.Recorder(parsed.GetValue(maxOverhead)) with { Budget = budget.Recording }, parsed.GetValue(interval),
                parsed.GetValue(spool),
                limits with { SpoolBytes = parsed.GetValue(spoolSize), Age = parsed.GetValue(spoolAge) }, budget, all);
            if (parsed.GetValue(dryRun))
            {
                DryRun.Print(settings, parsed.GetValue(json));
                return ExitCodes.Ok;
            }
            return await (parsed.GetValue(once) ? OnceAsync(settings, parsed.GetValue(json)) : RunAsync(settings, files));
        });
        return command;
    }

    private static async Task<int> OnceAsync(AgentSettings settings, bool json)
    {
        using StopSignals signals = new();
        BranchSourceChoice choice = BranchSourceChoice.Make(settings.Source, settings.Kernel);
        AgentStatus.Say($"source: {choice.Description}");
        return await OneInterval.RunAsync(settings, choice, json, signals.Token);
    }

    /// <summary>
    /// Runs until it is told to end; on SIGHUP, goes on with what the files say now, or as before where they make no sense.
    /// </summary>
    private static async Task<int> RunAsync(AgentSettings settings, AgentFiles files)
    {
        AgentSettings? next = null;
        CancellationTokenSource changed = new();
        using StopSignals signals = new(files.RulesFile is null ? null : () =>
        {
            if (Reload(settings, files) is not { } read)
                return;
            next = read;
            Volatile.Read(ref changed).Cancel();
        });
        BranchSourceChoice choice = BranchSourceChoice.Make(settings.Source, settings.Kernel);
        AgentStatus.Say($"source: {choice.Description}");
        using ProfileOutbox outbox = new(settings.Spool is null ? null : new Spool(settings.Spool), settings.Limits, AgentStatus.Say);
        do
        {
            settings = Interlocked.Exchange(ref next, null) ?? settings;
            Volatile.Write(ref changed, new CancellationTokenSource());
            AgentStatus.Say(
                $"server: {settings.Server}; {(settings.Rules.RecordsOthers ? "all services" : $"services: {string.Join(", ", settings.Rules.FixedNames)}")}");
            using CancellationTokenSource ending = CancellationTokenSource.CreateLinkedTokenSource(signals.Token, changed.Token);
            using AgentRun run = new(settings, choice, outbox);
            await run.RunAsync(() => signals.Token.IsCancellationRequested || !changed.IsCancellationRequested, ending.Token);
        }
        while (!signals.Token.IsCancellationRequested && changed.IsCancellationRequested);
        return ExitCodes.Ok;
    }

    private static AgentSettings? Reload(AgentSettings settings, AgentFiles files)
    {
        try
        {
            (ServiceRules rules, IReadOnlyList<(string, string)> labels) = files.Load();
            AgentStatus.Say($"{files.RulesFile} was read again");
            return settings with { Rules = rules, Labels = labels };
        }
        catch (UserErrorException e)
        {
            AgentStatus.Say($"{e.Message}; the rules from before hold");
            return null;
        }
    }

    private static (string Name, string Value) ParseLabel(string text)
    {
        int equals = text.IndexOf('=', StringComparison.Ordinal);
        if (equals <= 0 || !ProfileLabels.IsName(text[..equals]) || text.Length - equals - 1 is 0 or > ProfileLabels.MaxValueLength)
            throw new UserErrorException($"--label {text}: give NAME=VALUE, such as region=eu-1");
        return (text[..equals], ProfileLabels.Printable(text[(equals + 1)..]));
    }
}
