using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using Perforator.Api;
using Perforator.Generation;

namespace Perforator.Cli;

/// <summary>Which profile of which service is wanted, and in which form.</summary>
internal sealed record ProfileChoice
{
    public required Uri Server { get; init; }

    /// <summary>The service and the conditions on its labels.</summary>
    public required ServiceSelector Selector { get; init; }

    /// <summary>What is asked of the server when neither <see cref="At"/> nor <see cref="Name"/> says.</summary>
    public required PgoRequest Request { get; init; }

    /// <summary>The hash, or its first digits, of a kept profile.</summary>
    public string? At { get; init; }

    /// <summary>The name that stands for a kept profile.</summary>
    public string? Name { get; init; }

    /// <summary>A binary here, to generate with.</summary>
    public string? Binary { get; init; }

    /// <summary>The compiler that the profile is for.</summary>
    public TargetCompiler Target { get; init; }

    /// <summary>Whether inlining without counts is left to clang's ordinary inliner.</summary>
    public bool LateInlining { get; init; }

    /// <summary>Whether a later call gives the same, though there are newer data by then.</summary>
    public bool IsPinned => At is not null || Name is not null || Request.Until is not null;

    /// <summary>Equal for equal choices.</summary>
    public string Question =>
        string.Join(
            '\n', Server, Request.PathOf(Selector.Service), At, Name, Binary is null ? null : Path.GetFullPath(Binary), LateInlining);
}

/// <summary>The argument and the options that say which profile is wanted: the same for all verbs that give one.</summary>
internal sealed class ProfileChoiceOptions
{
    /// <param name="arity">Whether a service has to be named.</param>
    public ProfileChoiceOptions(ArgumentArity arity)
    {
        Service = new("service")
        {
            Description = "The service, and which of its profiles as Prometheus has it: 'api{cluster=~\"eu-.*\",source=\"lbr\"}' (=, !=, =~, !~).",
            Arity = arity,
        };
        Format.AcceptOnlyFromAmong("extbinary", "text");
    }

    public Argument<string?> Service { get; }

    public Option<string?> Server { get; } = ServerOption.Create();

    public Option<string?> At { get; } = new("--at")
    {
        Description = "The profile of this hash that was generated before (see 'perforator history'); at least its first 8 digits. Reproducible for as long as it is kept.",
        HelpName = "HASH",
    };

    public Option<string?> Name { get; } = new("--name")
    {
        Description = "The profile that this name stands for (see 'perforator promote').",
        HelpName = "NAME",
    };

    public Option<string?> Since { get; } = new("--since")
    {
        Description = "Only profiles that end after this: a time such as 2026-03-01T10:00 (UTC), or a span such as 36h or 7d before the newest data. Default: 14d.",
        HelpName = "TIME",
    };

    public Option<DateTimeOffset?> Until { get; } =
    TimeOption.Create("--until", "Only profiles that start before this, which keeps later ones out of the next call");

    public Option<string?> HalfLife { get; } = new("--half-life")
    {
        Description = "After so many days counts weigh half, counted from the newest day of the data; 'none' for equal weights. Default: 7.",
        HelpName = "DAYS",
    };

    public Option<string[]> Only { get; } = new("--only")
    {
        Description = "Only these files of the service: paths, file names or build ids. May be given several times.",
        HelpName = "FILE",
    };

    public Option<string?> BuildId { get; } = new("--build-id") { Description = "Only this build.", HelpName = "HEX" };

    public Option<string?> Binary { get; } = new("--binary")
    {
        Description = "Generate here, with this binary from the build store, instead of on the server; only its build is taken.",
        HelpName = "FILE",
    };

    public Option<string> Format { get; } =
    new("--format") { Description = "Format of the profile.", DefaultValueFactory = static _ => "extbinary" };

    public Option<bool> SymbolList { get; } = SymbolListOption.Create();

    public LateInliningOption LateInlining { get; } = new();

    public OptimiserOption Optimiser { get; } = new();

    public GccVersionOption GccVersion { get; } = new();

    /// <summary>Gives a verb the argument and options, and has it check them.</summary>
    public void AddTo(Command verb, bool withForm)
    {
        verb.Add(Service);
        foreach (Option option in (Option[])[Server, At, Name, Since, Until, HalfLife, Only, BuildId, Binary, SymbolList, Optimiser.Option, GccVersion.Option])
            verb.Add(option);
        if (withForm)
        {
            verb.Add(Format);
            verb.Add(LateInlining.Option);
        }
        verb.Check(Check);
    }

    private void Check(CommandResult result)
    {
        if (result.GetValue(SymbolList) && result.GetResult(Format) is not null && result.GetValue(Format) == "text")
            result.AddError("--symbol-list needs --format extbinary.");
        if (OptimiserOption.TargetOf(Optimiser.Of(result)) != TargetCompiler.Clang)
            foreach (Option option in (Option[])[Format, SymbolList, LateInlining.Option])
                if (result.GetResult(option) is { Implicit: false })
                    result.AddError($"{option.Name} is for LLVM's profiles, not for --for {result.GetValue(Optimiser.Option)}.");
        GccVersion.Check(result, Optimiser);
        if (result.GetResult(At) is not null && result.GetResult(Name) is not null)
            result.AddError("--at and --name each say which profile; give one of them.");
        string? kept = result.GetResult(At) is not null ? "--at" : result.GetResult(Name) is not null ? "--name" : null;
        foreach (Option option in (Option[])[Since, Until, HalfLife, Only, BuildId, Binary])
            if (kept is not null && result.GetResult(option) is not null)
                result.AddError($"{kept} takes a profile as it was generated; {option.Name} has no say in that, leave one of them out.");
        if (kept is not null
            && (result.GetValue(SymbolList) || (result.GetResult(Format) is not null && result.GetValue(Format) == "text")))
            result.AddError($"{kept} takes a profile as it was generated; --symbol-list and --format have no say in that, leave them out.");
        foreach (Option option in (Option[])[HalfLife, Only])
            if (result.GetResult(Binary) is not null && result.GetResult(option) is not null)
                result.AddError($"--binary takes one build, of which all counts weigh the same; leave {option.Name} out.");
        if (result.GetValue(At) is { } at && (at.Length is < 8 or > 64 || !at.All(char.IsAsciiHexDigit)))
            result.AddError(
                $"--at '{at}' is not a hash: at least its first 8 hexadecimal digits are needed; 'perforator history' lists them.");
        if (result.GetValue(Service) is { } service && TryParseSelector(service, out string? fault) is null)
            result.AddError(fault!);
        else if (kept is not null && result.GetValue(Service)?.Contains('{', StringComparison.Ordinal) == true)
            result.AddError($"{kept} takes a profile as it was generated; leave the conditions in braces out.");
        if (result.GetValue(HalfLife) is { } halfLife && ParseHalfLife(halfLife) is null)
            result.AddError($"--half-life '{halfLife}' is neither a number of days above 0 nor 'none'.");
        if (result.GetValue(Since) is { } since)
        {
            DateTimeOffset? time = TimeOption.TryParse(since, DateTimeOffset.UtcNow, out DateTimeOffset parsed) ? parsed : null;
            if (time is null)
                result.AddError($"--since '{since}' is neither a time such as 2026-03-01T10:00 nor a span such as 24h.");
            else if (ParseWindow(since) is null && result.GetValue(Until) is { } until && until <= time)
                result.AddError("--since is not before --until: no profile can be between them.");
        }
    }

    /// <summary>What was chosen.</summary>
    public ProfileChoice Of(ParseResult parsed)
    {
        ServiceSelector selector = ServiceSelector.Parse(parsed.GetValue(Service)!);
        string? since = parsed.GetValue(Since);
        TargetCompiler target = OptimiserOption.TargetOf(Optimiser.Of(parsed));
        double? window = since is null ? null : ParseWindow(since);
        return new ProfileChoice
        {
            Server = ServerOption.Resolve(parsed.GetValue(Server)),
            Selector = selector,
            At = parsed.GetValue(At)?.ToLowerInvariant(),
            Name = parsed.GetValue(Name),
            Binary = parsed.GetValue(Binary),
            Target = target,
            LateInlining = parsed.GetResult(LateInlining.Option) is not null && parsed.GetValue(LateInlining.Option),
            Request = new PgoRequest
            {
                Selector = selector.Conditions,
                BuildId = parsed.GetValue(BuildId),
                Since = since is not null && window is null && TimeOption.TryParse(since, DateTimeOffset.UtcNow, out DateTimeOffset time)
                    ? time : null,
                Until = parsed.GetValue(Until),
                WindowDays = window,
                HalfLifeDays = parsed.GetValue(HalfLife) is { } halfLife ? ParseHalfLife(halfLife) : null,
                Only = parsed.GetValue(Only) ?? [],
                Format = target switch
                {
                    TargetCompiler.Gcc => "gcc",
                    TargetCompiler.Go => "go",
                    _ => parsed.GetResult(Format) is null ? null : parsed.GetValue(Format),
                },
                GccVersion = target == TargetCompiler.Gcc ? GccVersion.Of(parsed) : null,
                SymbolList = parsed.GetValue(SymbolList),
            },
        };
    }

    private static ServiceSelector? TryParseSelector(string text, out string? fault)
    {
        try
        {
            fault = null;
            ServiceSelector selector = ServiceSelector.Parse(text);
            if (selector.Service.Length > 0)
                return selector;
            fault = $"'{text}' names no service; write for example api{text}";
        }
        catch (UserErrorException e)
        {
            fault = e.Message;
        }
        return null;
    }

    /// <summary>Days that a span such as 36h is long; null when the text is a time.</summary>
    private static double? ParseWindow(string since)
    {
        DateTimeOffset now = DateTimeOffset.UtcNow;
        return since is [.., 's' or 'm' or 'h' or 'd'] && TimeOption.TryParse(since, now, out DateTimeOffset time)
            ? (now - time).TotalDays : null;
    }

    /// <summary>Days, 0 for none; null when the text is neither.</summary>
    private static double? ParseHalfLife(string text) =>
        text == "none" ? 0
        : double.TryParse(text.EndsWith('d') ? text[..^1] : text, NumberStyles.Float, CultureInfo.InvariantCulture, out double days)
            && days > 0 && double.IsFinite(days) ? days
        : null;
}
