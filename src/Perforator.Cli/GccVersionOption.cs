using System.CommandLine;
using System.CommandLine.Parsing;
using Perforator.Generation;

namespace Perforator.Cli;

/// <summary>The option <c>--gcc-version</c> of the commands that write GCC's profiles.</summary>
internal sealed class GccVersionOption
{
    public Option<int> Option { get; } = new("--gcc-version")
    {
        Description = "Major version of the GCC that is to read the profile: 12 to 15 read one form, 16 another.",
        HelpName = "N",
        DefaultValueFactory = static _ => ProfileForm.DefaultGccVersion,
    };

    /// <summary>What was asked for.</summary>
    public int Of(ParseResult parsed) => parsed.GetValue(Option);

    /// <summary>Whether it was given.</summary>
    public bool IsGiven(SymbolResult parsed) => parsed.GetResult(Option) is { Implicit: false };

    /// <summary>Holds it to where it has a meaning.</summary>
    public void Check(CommandResult result, OptimiserOption optimiser)
    {
        if (IsGiven(result) && optimiser.Of(result) != Optimiser.Gcc)
            result.AddError("--gcc-version is for --for gcc.");
    }
}
