using System.CommandLine;
using System.CommandLine.Parsing;
using System.Text.Json;
using System.Text.Json.Nodes;
using Perforator.Api;
using Perforator.Branches;
using Perforator.Bytes;

namespace Perforator.Cli;

/// <summary>
/// What <c>pgo</c> and <c>flags</c> have in common: a profile is asked for, judged, put where compilers find it, and reported on stderr.
/// </summary>
internal sealed class ProfileDelivery
{
    private readonly Option<string?> output = new("--output", "-o")
    {
        Description = "File or folder to write to. In a folder the name is SERVICE.HASH.afdo. Default: $XDG_CACHE_HOME/perforator, else ~/.cache/perforator, which is kept below 1 GiB.",
        HelpName = "PATH",
    };

    private readonly Option<bool> orLast = new("--or-last")
    {
        Description = "Never fail a build: when no profile can be had or a gate is not met, give that of the last time from the cache, or nothing; with a warning and exit code 0.",
    };

    private readonly Option<bool> report = new("--report")
    {
        Description = "All of the report. Default where standard output is a terminal; elsewhere one line, unless something is wrong.",
    };

    private readonly Option<bool> json = new("--json") { Description = "Report as JSON." };

    public ProfileDelivery(ArgumentArity service) => Choice = new(service);

    /// <summary>Which profile.</summary>
    public ProfileChoiceOptions Choice { get; }

    /// <summary>What it must be like.</summary>
    public GateOptions Gates { get; } = new();

    /// <summary>Whether the report is wanted as JSON.</summary>
    public bool IsJson(ParseResult parsed) => parsed.GetValue(json);

    /// <summary>Where to write, as the user has it.</summary>
    public string? OutputOf(ParseResult parsed) => parsed.GetValue(output);

    /// <summary>Holds the options to what a layout takes: the binary it is of, and a name for its files.</summary>
    /// <param name="others">Options of the verb's own that are about sample profiles.</param>
    public void CheckLayout(CommandResult result, params Option[] others)
    {
        if (result.GetResult(Choice.Binary) is null)
            result.AddError("A layout is of one build: name the binary to lay out with --binary FILE.");
        if (result.GetResult(output) is null)
            result.AddError("Give -o FILE for the layout.");
        foreach (Option option in (Option[])[orLast, Choice.At, Choice.Name, Choice.HalfLife, Choice.Only, Choice.Format, Choice.SymbolList, Choice.LateInlining.Option, .. Gates.All, .. others])
            if (result.GetResult(option) is { Implicit: false })
                result.AddError($"{option.Name} is for sample profiles, not for layouts.");
    }

    /// <summary>Whether a build that asks is not to fail.</summary>
    public bool IsOrLast(ParseResult parsed) => parsed.GetValue(orLast);

    /// <summary>Gives a verb the argument and all options.</summary>
    public void AddTo(Command verb, bool withForm)
    {
        Choice.AddTo(verb, withForm);
        Gates.AddTo(verb, Choice);
        foreach (Option option in (Option[])[output, orLast, report, json])
            verb.Add(option);
        verb.Check(result =>
        {
            if (result.GetValue(json) && result.GetValue(report))
                result.AddError("--json is all of the report; leave --report out.");
        });
    }

    /// <summary>What came of it.</summary>
    /// <param name="ExitCode">For the process.</param>
    /// <param name="Path">The profile; null when none is given.</param>
    /// <param name="Acquired">Null also when the file is of an earlier time.</param>
    public sealed record Result(int ExitCode, string? Path, AcquiredProfile? Acquired);

    /// <summary>Gets, judges, writes and reports.</summary>
    /// <param name="choice">The profile.</param>
    /// <param name="addition">More for the JSON report and, line by line, for the text; called once the profile is there.</param>
    public async Task<Result> RunAsync(
        ParseResult parsed, ServerClient client, ProfileChoice choice, Func<AcquiredProfile, Task<IReadOnlyList<Finding>>> addition,
        CancellationToken stop)
    {
        try
        {
            AcquiredProfile acquired = await AcquiredProfile.GetAsync(client, choice, Gates.Message(parsed), stop);
            IReadOnlyList<Finding> findings = await addition(acquired);
            string[] unmet = [.. Gates.Failures(parsed, acquired.Report)];
            string? path = unmet.Length == 0 ? ProfileCache.Write(parsed.GetValue(output), choice.Selector.Service, acquired.Bytes) : null;
            Report(parsed, choice, acquired, findings, path);
            if (path is null)
                return UseLast(parsed, choice, unmet) ?? Refuse(unmet);
            ProfileCache.Remember(choice.Question, new LastProfile(path, ProfileLabels.Printable(acquired.ReportLine)));
            return new Result(ExitCodes.Ok, path, acquired);
        }
        catch (Exception e)
            when (e is UserErrorException or MalformedInputException or IOException or UnauthorizedAccessException && IsOrLast(parsed))
        {
            return UseLast(parsed, choice, [e.Message])!;
        }
    }

    private static Result Refuse(string[] unmet)
    {
        foreach (string line in unmet)
            Console.Error.WriteLine($"perforator: {line}");
        return new Result(ExitCodes.QualityGate, null, null);
    }

    /// <summary>The profile of the last time, or none, with a warning; null when that was not asked for.</summary>
    private Result? UseLast(ParseResult parsed, ProfileChoice choice, IEnumerable<string> reasons)
    {
        if (!IsOrLast(parsed))
            return null;
        foreach (string reason in reasons)
            Console.Error.WriteLine($"perforator: warning: {reason}");
        LastProfile? last = ProfileCache.Last(choice.Question);
        Console.Error.WriteLine(last is null
            ? "perforator: warning: there is no profile of an earlier time either, so none is given"
            : $"perforator: warning: the profile of the last time is given: {last.Line}");
        return new Result(ExitCodes.Ok, last?.Path, null);
    }

    private void Report(ParseResult parsed, ProfileChoice choice, AcquiredProfile acquired, IReadOnlyList<Finding> findings, string? path)
    {
        if (IsJson(parsed))
        {
            ReportJson(acquired, findings, path);
            return;
        }
        string? at = acquired.Kept?[..16];
        bool isWrong = path is null || acquired.Report["advice"] is not null || findings.Any(static finding => finding.IsWrong);
        if (Console.IsOutputRedirected && !parsed.GetValue(report) && !isWrong)
        {
            Line(acquired.ReportLine + (at is null || choice.IsPinned ? "" : $"; --at {at} pins it"));
            foreach (Finding finding in findings.Where(static finding => finding.WasAskedFor))
                Lines(finding.Text);
            return;
        }
        Lines(acquired.ReportText);
        if (acquired.LateInlined is { } left)
            Line(FormattableString.Invariant($"{left:N0} inlined copies are left to clang's ordinary inliner"));
        if ((choice.At ?? choice.Name) is not null && acquired.Tool.Length > 0 && acquired.Tool != Program.Version)
            Line($"generated by Perforator {acquired.Tool}; this is {Program.Version}, which may generate another profile of the same data");
        foreach (Finding finding in findings)
            Lines(finding.Text);
        if (at is not null && !choice.IsPinned)
            Line($"--at {at} gives this profile again; without it, or --name or --until, each call takes what has arrived since, and while agents send no build cache hits");
    }

    private static void Lines(string text)
    {
        foreach (string line in text.Split('\n', StringSplitOptions.RemoveEmptyEntries))
            Line(line);
    }

    private static void Line(string line) => Console.Error.WriteLine(ProfileLabels.Printable(line));

    private static void ReportJson(AcquiredProfile acquired, IReadOnlyList<Finding> findings, string? path)
    {
        JsonObject report = acquired.Report;
        report["profile"] = path;
        report["kept"] = acquired.Kept;
        report["tool"] = acquired.Tool;
        foreach (Finding finding in findings)
            report[finding.Name] = finding.Json;
        Console.Error.WriteLine(report.ToJsonString(new JsonSerializerOptions { WriteIndented = true }));
    }

    /// <summary>Something that a report has besides what the profile's own says.</summary>
    /// <param name="Name">Of its field in JSON.</param>
    /// <param name="Text">For people.</param>
    /// <param name="Json">For machines.</param>
    /// <param name="WasAskedFor">Whether it is told even where the report is one line.</param>
    /// <param name="IsWrong">Whether the whole report is told because of it.</param>
    public sealed record Finding(string Name, string Text, JsonNode? Json, bool WasAskedFor = false, bool IsWrong = false);
}
