using System.CommandLine;
using System.CommandLine.Parsing;
using System.Reflection;
using Perforator.Bytes;

namespace Perforator.Cli;

/// <summary>Exit codes every verb keeps to.</summary>
internal static class ExitCodes
{
    public const int Ok = 0;
    public const int Failed = 1;
    public const int Usage = 2;

    /// <summary>A quality gate the user set (<c>--min-ratio</c> and others) was not met.</summary>
    public const int QualityGate = 3;
}

internal static class Program
{
    private const string Description =
        "Turns the branches that production machines really take into sampling-PGO profiles for clang -fprofile-sample-use.";

    /// <summary>This program's version.</summary>
    internal static string Version { get; } =
        typeof(Program).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "";

    /// <summary>One line per verb; each verb is a file of its own.</summary>
    private static readonly (string Name, Func<Command> Create)[] Verbs =
    [
        ("agent", AgentCommand.Create),
        ("agents", AgentsCommand.Create),
        ("binaries", BinariesCommand.Create),
        ("doctor", DoctorCommand.Create),
        ("flags", FlagsCommand.Create),
        ("functions", FunctionsCommand.Create),
        ("generate", GenerateCommand.Create),
        ("history", HistoryCommand.Create),
        ("import", ImportCommand.Create),
        ("pgo", PgoCommand.Create),
        ("profile", ProfileCommand.Create),
        ("promote", PromoteCommand.Create),
        ("record", RecordCommand.Create),
        ("serve", ServeCommand.Create),
        ("services", ServicesCommand.Create),
    ];

    /// <summary>
    /// Only the verb that is asked for is made, and help's option only when it is, since making all takes longer than some of them
    /// run; mistakes need all.
    /// </summary>
    private static Command CreateRoot(string[] args)
    {
        foreach ((string name, Func<Command> create) in Verbs)
        {
            if (args.Length == 0 || name != args[0])
                continue;
            Command root =
                args.Any(static argument => argument is "-h" or "--help" or "-?" or "/h" or "/?")
                    ? new RootCommand(Description) : new Command("perforator");
            root.Add(create());
            return root;
        }
        RootCommand all = new(Description);
        foreach ((_, Func<Command> create) in Verbs)
            all.Add(create());
        return all;
    }

    private static async Task<int> Main(string[] args)
    {
        ParseResult parsed = CreateRoot(args).Parse(args);
        string[] errors = [.. UsageErrors(parsed).Distinct()];
        if (errors.Length > 0)
        {
            foreach (string error in errors)
                await Console.Error.WriteLineAsync($"perforator: {error}");
            await Console.Error.WriteLineAsync($"perforator: see '{CommandLineOf(parsed.CommandResult)} --help'");
            return ExitCodes.Usage;
        }
        // Where help lists verbs, a sentence of each will do; a verb's own help says everything.
        foreach (Command verb in parsed.CommandResult.Command.Subcommands)
            verb.Description = FirstSentence(verb.Description ?? "");
        try
        {
            return await parsed.InvokeAsync(new InvocationConfiguration
            {
                EnableDefaultExceptionHandler = false,

                // What records sees to signals itself, from before it touches any process: see StopSignals. What reads a pipe leaves the
                // first one to whoever writes it: see PipeInterrupt. The server's host sees to them too, and lets requests finish.
                ProcessTerminationTimeout = parsed.CommandResult.Command.Name is "agent" or "record" or "import" or "generate" or "serve"
                    ? null : TimeSpan.FromSeconds(2),
            });
        }
        catch (UserErrorException e)
        {
            await Console.Error.WriteLineAsync($"perforator: {e.Message}");
            return ExitCodes.Failed;
        }
        catch (Exception e) when (e is MalformedInputException or IOException or UnauthorizedAccessException)
        {
            await Console.Error.WriteLineAsync($"perforator: {e.Message}");
            return ExitCodes.Failed;
        }
        catch (OperationCanceledException)
        {
            return ExitCodes.Failed;
        }
    }

    /// <summary>
    /// What is wrong with a command line, each fault once: a wrong verb is not also one for each argument that followed it.
    /// </summary>
    private static IEnumerable<string> UsageErrors(ParseResult parsed)
    {
        // The parser takes an option it does not know for an argument: a mistyped option would become a file or service name.
        IEnumerable<Token> beforeDoubleDash = parsed.Tokens.TakeWhile(static token => token.Type != TokenType.DoubleDash);
        string? mistyped = parsed.CommandResult.Children.OfType<ArgumentResult>().SelectMany(static argument => argument.Tokens)
            .Intersect(beforeDoubleDash).Select(static token => token.Value).FirstOrDefault(static value => value is ['-', _, ..]);
        if (mistyped is not null)
            return [$"no option '{mistyped}'"];
        if (parsed.Errors.Count == 0 || parsed.CommandResult.Command.Subcommands.Count == 0)
            return parsed.Errors.Select(static error => error.Message);
        return parsed.UnmatchedTokens is [string unknown, ..] ? [$"no verb '{unknown}'"] : ["a verb is needed"];
    }

    /// <summary>The verb as it was typed, so that "profile merge" is told where its own help is.</summary>
    private static string CommandLineOf(CommandResult result) =>
        result.Parent is CommandResult parent ? $"{CommandLineOf(parent)} {result.Command.Name}" : "perforator";

    private static string FirstSentence(string text)
    {
        for (int dot = text.IndexOf('.'); dot >= 0; dot = text.IndexOf('.', dot + 1))
            if (dot + 1 < text.Length && text[dot + 1] is ' ' or '\n' or '\r')
                return text[..(dot + 1)];
        return text;
    }
}
