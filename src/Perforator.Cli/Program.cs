using System.CommandLine;
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
    /// <summary>One line per verb; each verb is a file of its own.</summary>
    private static RootCommand CreateRoot() => new("Turns the branches that production machines really take into sampling-PGO profiles for clang -fprofile-sample-use.")
    {
        ServeCommand.Create(),
        ServicesCommand.Create(),
    };

    private static async Task<int> Main(string[] args)
    {
        ParseResult parsed = CreateRoot().Parse(args);
        if (parsed.Errors.Count > 0)
        {
            foreach (System.CommandLine.Parsing.ParseError error in parsed.Errors)
                await Console.Error.WriteLineAsync($"perforator: {error.Message}");
            await Console.Error.WriteLineAsync($"perforator: see 'perforator {parsed.CommandResult.Command.Name} --help'");
            return ExitCodes.Usage;
        }
        try
        {
            return await parsed.InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false });
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
}
