using System.CommandLine;

namespace Perforator.Cli;

/// <summary>The option <c>--symbol-list</c> of the commands that generate a profile.</summary>
internal static class SymbolListOption
{
    public static Option<bool> Create() => new("--symbol-list")
    {
        Description = "Add the names of all functions, so that the compiler knows those without samples as cold (extbinary only).",
    };
}
