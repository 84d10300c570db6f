using System.CommandLine;
using System.CommandLine.Parsing;

namespace Perforator.Cli;

/// <summary>Checks of what a verb's options say together.</summary>
internal static class CommandChecks
{
    /// <summary>
    /// Adds a check. It does not count where an option is wrong by itself: reading that one throws, and its own error says why.
    /// </summary>
    public static void Check(this Command verb, Action<CommandResult> check) => verb.Validators.Add(result =>
    {
        try
        {
            check(result);
        }
        catch (InvalidOperationException)
        {
        }
    });
}
