using System.Buffers;
using System.CommandLine;
using System.CommandLine.Parsing;
using Perforator.Bytes;

namespace Perforator.Cli;

/// <summary>Exit codes every verb keeps to.</summary>
internal static class ExitCodes
{
    public const int Ok = 0;
    public const int Failed = 1;
    public const int Usage = 2;

    /// <summary>A quality gate the user set (<c>--min-ratio</c>) was not met.</summary>
    public const int QualityGate = 3;
}

internal static class Program
{
    private static readonly SearchValues<string> SentenceEnds = SearchValues.Create([". ", ".\n", ".\r"], StringComparison.Ordinal);

    /// <summary>One line per verb; each verb is a file of its own.</summary>
    private static RootCommand CreateRoot() => new("Turns the branches that production machines really take into sampling-PGO profiles for clang -fprofile-sample-use.")
    {
        AgentCommand.Create(),
        DoctorCommand.Create(),
        GenerateCommand.Create(),
        ImportCommand.Create(),
        PgoCommand.Create(),
        ProfileCommand.Create(),
        RecordCommand.Create(),
        ServeCommand.Create(),
        ServicesCommand.Create(),
    };

    private static async Task<int> Main(string[] args)
    {
        ParseResult parsed = CreateRoot().Parse(args);
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

                // What records sees to signals itself, from before it touches any process: see StopSignals.
                ProcessTerminationTimeout = parsed.CommandResult.Command.Name is "agent" or "record" ? null : TimeSpan.FromSeconds(2),
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

    /// <summary>What is wrong with a command line, each fault once: a wrong verb is not also one for each argument that followed it.</summary>
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
        int end = text.AsSpan().IndexOfAny(SentenceEnds);
        return end < 0 ? text : text[..(end + 1)];
    }
}
