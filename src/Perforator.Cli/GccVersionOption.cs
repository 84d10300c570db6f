using System.CommandLine;
using System.CommandLine.Parsing;

namespace Perforator.Cli;

/// <summary>The option <c>--gcc-version</c> of the commands that write GCC's profiles.</summary>
internal sealed class GccVersionOption
{
    public Option<int> Option { get; } = new("--gcc-version")
    {
        Description = "Major version of the GCC that is to read the profile: 12 to 15 read one form, 16 another.",
        HelpName = "N",
        DefaultValueFactory = static _ => 15,
    };

    /// <summary>What was asked for.</summary>
    public int Of(ParseResult parsed) => parsed.GetValue(Option);

    /// <summary>Whether it was given.</summary>
    public bool IsGiven(CommandResult parsed) => parsed.GetResult(Option) is { Implicit: false };
}
