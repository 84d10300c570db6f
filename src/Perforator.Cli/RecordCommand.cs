using System.CommandLine;
using Perforator.Api;
using Perforator.Branches;
using Perforator.Bytes;
using Perforator.Cli.Agent;
using Perforator.Recording;
using Perforator.Recording.Processes;
using Perforator.Recording.Software;

namespace Perforator.Cli;

/// <summary><c>perforator record</c>: one command or some processes, into a file or to a server.</summary>
internal static class RecordCommand
{
    private const string DefaultOutput = "perforator" + BranchProfileCodec.FileExtension;

    private sealed record Request(
        string[] Command, int[] ProcessIds, string? Output, RecordingFormat Format, string? Service, string? Server, BranchSource Source,
        bool Kernel, TimeSpan? Duration, SoftwareRecorderOptions Software);

    public static Command Create()
    {
        Argument<string[]> command = new("command")
        {
            Description = "The program to run and record, with its arguments, after --.",
            Arity = ArgumentArity.ZeroOrMore,
        };
        Option<int[]> processIds =
            new("--pid", "-p") { Description = "Record this running process and what it starts; may be given again.", HelpName = "PID" };
        Option<string?> output = new("--output", "-o")
        {
            Description = $"Write to this file. Default, without --service: {DefaultOutput}.",
            HelpName = "FILE",
        };
        Option<string?> format = new("--format")
        {
            Description = $"branches: counts, small; perf-data: every branch stack, for perf, llvm-profgen and BOLT; perf-script: the same of one process as text. Default: perf-data for *{RecordingFile.PerfDataExtension}, else branches.",
            HelpName = "branches|perf-data|perf-script",
        };
        format.AcceptOnlyFromAmong("branches", "perf-data", "perf-script");
        Option<bool> callStacks = new("--call-stacks")
        {
            Description = "Write the callers with each branch stack, for llvm-profgen's context-sensitive profiles: --format perf-script, by the software recorder. Build with -fno-omit-frame-pointer.",
        };
        Option<string?> service =
            new("--service") { Description = "Send the profile, and the binaries it needs, to the server as this service's.", HelpName = "NAME" };
        Option<string?> server = ServerOption.Create();
        Option<BranchSource> source = RecordingOptions.Source();
        Option<bool> kernel = RecordingOptions.Kernel();
        Option<double?> maxOverhead = RecordingOptions.MaxOverhead();
        Option<TimeSpan?> duration = new("--duration")
        {
            Description = "Stop recording after this time (30s, 5m); the program runs on.",
            HelpName = "TIME",
            CustomParser = static result => RecordingOptions.ParseTime(result, "--duration"),
        };
        Command verb = new("record",
            $"""
            Records the branches that a program takes. Ctrl-C and SIGTERM end the recording, not the program.

            The hardware's branch records are used where there are any; else the software recorder stops one thread at a time for an instant
            and follows its next branches. Both need the same user as the program's, or root. The exit code is the command's own if that is not 0.

            Examples:
              perforator record -o app.branches -- ./app --iterations 100
              perforator record -o app.perf.data -- ./app && llvm-profgen-19 --perfdata app.perf.data --binary ./app -o app.prof
              perforator record -p $(pidof app) --duration 30s --service app --server http://perforator.example:7733
            """)
        { command, processIds, output, format, callStacks, service, server, source, kernel, maxOverhead, duration };
        verb.Check(result =>
        {
            bool hasCommand = result.GetValue(command) is { Length: > 0 };
            bool hasProcesses = result.GetValue(processIds) is { Length: > 0 };
            if (hasCommand == hasProcesses)
                result.AddError("record takes either a command after -- or processes with --pid");
            if (result.GetValue(service) is { } name && !ProfileLabels.IsName(name))
                result.AddError($"'{name}' cannot name a service: use letters, digits, '.', '_' and '-'");
            if (result.GetValue(server) is not null && result.GetValue(service) is null)
                result.AddError("--server needs --service: the name the profile is filed under");
            if (result.GetValue(format) is "perf-data" or "perf-script" && result.GetValue(output) is null)
                result.AddError($"--format {result.GetValue(format)} needs a file: -o FILE");
            if (result.GetValue(callStacks) && result.GetValue(format) != "perf-script")
                result.AddError("--call-stacks needs --format perf-script: the other formats have no place for callers");
            if (result.GetValue(callStacks) && result.GetValue(source) == BranchSource.Lbr)
                result.AddError(
                    "--call-stacks is the software recorder's; where the CPU has branch records: perf record --call-graph fp -j any,u, then perf script -F ip,brstack");
        });
        verb.SetAction((parsed, _) => RunAsync(
            new Request(
                parsed.GetValue(command) ?? [], parsed.GetValue(processIds) ?? [], parsed.GetValue(output),
                FormatOf(parsed.GetValue(format), parsed.GetValue(output)),
                parsed.GetValue(service), parsed.GetValue(server),
                parsed.GetValue(callStacks) ? BranchSource.Software : parsed.GetValue(source), parsed.GetValue(kernel),
                parsed.GetValue(duration),
                RecordingOptions.Recorder(parsed.GetValue(maxOverhead)) with { CallStacks = parsed.GetValue(callStacks) })));
        return verb;
    }

    private static RecordingFormat FormatOf(string? given, string? output) => given switch
    {
        "perf-script" => RecordingFormat.PerfScript,
        "perf-data" => RecordingFormat.PerfData,
        null when output?.EndsWith(RecordingFile.PerfDataExtension, StringComparison.Ordinal) == true => RecordingFormat.PerfData,
        _ => RecordingFormat.Branches,
    };

    private static async Task<int> RunAsync(Request request)
    {
        using StopSignals signals = new();
        Uri? server = request.Service is null ? null : ServerOption.Resolve(request.Server);
        foreach (int processId in request.ProcessIds)
            CheckProcess(processId);
        // Nobody wants to hear after an hour of recording that its file cannot be written.
        if (request.Output is not null || server is null)
            WholeFile.Check(request.Output ?? DefaultOutput);
        BranchSourceChoice choice = BranchSourceChoice.Make(request.Source, request.Kernel);
        Console.Error.WriteLine($"perforator: source: {choice.Description}");

        using LiveModules modules = new();
        BranchAggregator aggregator = new(modules);
        using RecordingFile? stacks =
            request.Format == RecordingFormat.Branches ? null : new(request.Output!, request.Format, aggregator, modules, Machine.CpuModel);
        HeldCommand? command = request.Command.Length == 0 ? null : HeldCommand.Start(request.Command);
        ProcessTreeTargets targets = new(command is null ? request.ProcessIds : [command.Process.Id]);
        DateTimeOffset start = DateTimeOffset.UtcNow;
        using IBranchRecorder recorder = choice.Open(targets, request.Software);
        await RecordAsync(recorder, stacks ?? (IBranchSink)aggregator, command, request.Duration, signals.Token);

        BranchProfileSet set = ProfileUpload.NewSet(request.Service, recorder.Source, aggregator, start, DateTimeOffset.UtcNow);
        if (command is { Process.ExitCode: null })
            Console.Error.WriteLine($"perforator: recording has ended; process {command.Process.Id} ({request.Command[0]}) runs on");
        Report(set, recorder.Statistics, modules);
        int commandExit = command?.Process.ExitCode ?? ExitCodes.Ok;
        if (set.TotalSamples == 0)
        {
            Console.Error.WriteLine($"perforator: no branch was recorded{WhyNothing(set, modules)}");
            return commandExit != 0 ? commandExit : ExitCodes.Failed;
        }

        string? output = request.Output ?? (server is null ? DefaultOutput : null);
        if (output is not null)
        {
            if (stacks is not null)
                stacks.Complete();
            else
                BranchProfileCodec.Write(output, set);
            Console.Error.WriteLine($"perforator: wrote {output}");
            foreach ((string reason, ulong count) in stacks?.Losses.ByReason.Where(loss => set.Losses[loss.Key] == 0) ?? [])
                Console.Error.WriteLine($"perforator: not in {output}, {count:N0}: {reason}");
        }
        if (server is not null)
            await SendAsync(server, request.Service!, set, modules, output);
        return commandExit;
    }

    /// <summary>Sends a recording; one that cannot be sent is kept in a file.</summary>
    private static async Task SendAsync(Uri server, string service, BranchProfileSet set, LiveModules modules, string? writtenTo)
    {
        try
        {
            using ServerClient client = new(server, retries: 3);
            ProfileUpload upload = new(client, modules);

            // What was recorded is sent even when it was Ctrl-C that ended the recording.
            UploadReceipt receipt = await client.UploadProfileAsync(set, CancellationToken.None);
            await upload.SendBinariesAsync([.. set.Profiles.Keys], receipt, CancellationToken.None);
            Console.Error.WriteLine($"perforator: sent to {server} as service {service}, with {upload.Binaries} binaries");
        }
        catch (UserErrorException e)
        {
            if (writtenTo is null)
                BranchProfileCodec.Write(writtenTo = DefaultOutput, set);
            throw new UserErrorException(
                $"{e.Message}; the recording is in {writtenTo}, and this sends it: perforator import {writtenTo} --service {service} --server {server}");
        }
    }

    /// <summary>Records until the command has ended, no target is left, the time is over or it is told to stop.</summary>
    private static async Task RecordAsync(
        IBranchRecorder recorder, IBranchSink sink, HeldCommand? command, TimeSpan? duration, CancellationToken stop)
    {
        using CancellationTokenSource ending = CancellationTokenSource.CreateLinkedTokenSource(stop);
        RecordingSink started = new(sink, command);
        Task recording = Task.Factory.StartNew(
            () => recorder.Run(started, ending.Token), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        try
        {
            // The command begins once the recorder has found it; the time-out is for machines that are that busy.
            await Task.WhenAny(started.Started, recording, Task.Delay(TimeSpan.FromSeconds(60), stop));
            if (recording.IsFaulted)
            {
                command?.Abandon();
                await recording;
            }
        }
        finally
        {
            command?.Release();
        }
        if (duration is { } time)
            ending.CancelAfter(time);
        Task watching = command is null ? recording : WatchAsync(command, recording, ending);
        await LiveLine.ShowAsync(recording, () => Progress(recorder.Statistics), rewrite: command is null, TimeSpan.FromSeconds(5));
        await recording;
        await watching;
    }

    private static async Task WatchAsync(HeldCommand command, Task recording, CancellationTokenSource ending)
    {
        await Task.WhenAny(recording, command.Process.WaitForExitAsync());
        await ending.CancelAsync();
    }

    /// <summary>A binary with less than this share of the branches is not worth a word.</summary>
    private const double WorthWarning = 0.05;

    private static void CheckProcess(int processId)
    {
        if (ProcessIdentity.Of(processId) is null)
            throw new UserErrorException($"no process {processId} runs; find yours with 'pgrep -a NAME'");
        if (ProcessIdentity.ExecutableOf(processId) is null)
            throw new UserErrorException(
                $"process {processId} may not be looked into: it is a kernel thread or another user's; record as root or with CAP_SYS_PTRACE ('perforator doctor' tells more)");
    }

    private static string Progress(RecorderStatistics statistics) =>
        $"perforator: recording: {statistics.Samples:N0} branch stacks, {statistics.Branches:N0} branches";

    private static void Report(BranchProfileSet set, RecorderStatistics statistics, LiveModules modules)
    {
        string stopped =
            statistics.TargetStoppedTime == TimeSpan.Zero
                ? "" : $"; threads held stopped for {statistics.TargetStoppedTime.TotalSeconds:0.000} s in all";
        string moments = statistics.Bursts == 0 ? "" : $" at {statistics.Bursts:N0} moments";
        Console.Error.WriteLine(
            $"perforator: recorded {statistics.Samples:N0} branch stacks, {statistics.Branches:N0} branches{moments}{stopped}");
        foreach (BranchProfile profile in set.Profiles.Values.Where(p => p.BranchEntries != 0).OrderByDescending(p => p.BranchEntries)
            .Take(5))
            Console.Error.WriteLine(
                $"perforator:   {profile.BranchEntries,14:N0} in {profile.Path} ({(profile.BuildId.IsContentHash ? "no build id" : profile.BuildId)})");
        BinaryShortcomings shortcomings = new(modules);
        shortcomings.Look(set);
        double all = set.Profiles.Values.Sum(static p => (double)p.BranchEntries);
        foreach (BranchProfile profile in set.Profiles.Values.Where(p => p.BranchEntries > all * WorthWarning)
            .OrderByDescending(static p => p.BranchEntries))
            if (shortcomings.Of(profile.BuildId) is { } lacks)
                Console.Error.WriteLine($"perforator: warning: {profile.Path} {lacks}");
        if (statistics.Notice is { } notice)
            Console.Error.WriteLine($"perforator: {notice}");
        foreach ((string reason, ulong count) in set.Losses.ByReason)
            Console.Error.WriteLine($"perforator: lost {count:N0}: {reason}");
    }

    private static string WhyNothing(BranchProfileSet set, LiveModules modules) =>
        set.Losses.Total != 0 ? ": see the losses above"
            : modules.Unreadable.Count != 0 ? $": {modules.Unreadable.First().Key}: {modules.Unreadable.First().Value}"
            : ": the program used too little CPU time, or ended too soon";
}
