using System.CommandLine;
using Perforator.Api.Uploading;
using Perforator.Branches;
using Perforator.Cli.Agent;
using Perforator.Recording;
using Perforator.Recording.Processes;

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

            Example: perforator agent --server http://perforator.example:7733 --service search=/opt/search/bin/searchd --service unit-tests=unit:ci-runner
            """)
        { server, services, source, kernel, maxOverhead, interval, spool, spoolSize, spoolAge, labels };
        command.SetAction((parsed, _) => RunAsync(
            new AgentSettings(
                ServerOption.Resolve(parsed.GetValue(server)),
                parsed.GetValue(services) ?? [],
                parsed.GetValue(source),
                parsed.GetValue(kernel),
                RecordingOptions.Recorder(parsed.GetValue(maxOverhead)),
                parsed.GetValue(interval),
                parsed.GetValue(spool),
                limits with { SpoolBytes = parsed.GetValue(spoolSize), Age = parsed.GetValue(spoolAge) },
                parsed.GetValue(labels) ?? [])));
        return command;
    }

    private static async Task<int> RunAsync(AgentSettings settings)
    {
        using StopSignals signals = new();
        BranchSourceChoice choice = BranchSourceChoice.Make(settings.Source, settings.Kernel);
        AgentStatus.Say($"source: {choice.Description}");
        AgentStatus.Say($"server: {settings.Server}; {(settings.Rules.Count == 0 ? "all services" : $"services: {string.Join(", ", settings.Rules.Select(r => r.Service).Distinct())}")}");
        using AgentRun run = new(settings, choice);
        await run.RunAsync(signals.Token);
        return ExitCodes.Ok;
    }

    private static (string Name, string Value) ParseLabel(string text)
    {
        int equals = text.IndexOf('=', StringComparison.Ordinal);
        if (equals <= 0 || !ProfileLabels.IsName(text[..equals]) || text.Length - equals - 1 is 0 or > ProfileLabels.MaxValueLength)
            throw new UserErrorException($"--label {text}: give NAME=VALUE, such as region=eu-1");
        return (text[..equals], ProfileLabels.Printable(text[(equals + 1)..]));
    }
}
