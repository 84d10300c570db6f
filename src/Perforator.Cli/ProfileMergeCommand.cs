using System.CommandLine;
using Perforator.SampleProfiles;

namespace Perforator.Cli;

/// <summary><c>perforator profile merge</c>: adds profiles up.</summary>
internal static class ProfileMergeCommand
{
    private static readonly Argument<string[]> Files =
        new("profiles") { Description = "Sample profiles in any format.", Arity = ArgumentArity.ZeroOrMore };

    private static readonly Option<string[]> Weighted = new("--weight", "--weighted-input")
    {
        Description = "A profile whose counts are multiplied; may be repeated.",
        HelpName = "N,FILE",
    };

    private static readonly ProfileOutput Output = new();

    public static Command Create()
    {
        Command command = new("merge",
            """
            Adds up sample profiles, of different builds of one program too: counts are of source lines, not addresses. Counters
            saturate. Functions whose control-flow checksums differ (probe-based profiles) keep the first profile's samples.

            Example: perforator profile merge new.afdo --weight 2,release.afdo -o merged.afdo
            """)
        { Files, Weighted };
        Output.AddTo(command);
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult parsed)
    {
        List<(string Path, ulong Weight)> inputs = [.. parsed.GetValue(Files)!.Select(static path => (path, 1UL))];
        inputs.AddRange((parsed.GetValue(Weighted) ?? []).Select(ParseWeighted));
        if (inputs.Count == 0)
            throw new UserErrorException("no profile to merge; name one or more files");
        SampleProfile merged = new();
        LossCounts losses = new();
        foreach ((string path, ulong weight) in inputs)
        {
            SampleProfile profile = ProfileCommand.Load(path);
            try
            {
                merged.Merge(profile, weight, losses);
            }
            catch (UserErrorException e)
            {
                throw new UserErrorException($"{path}: {e.Message}", e);
            }
        }
        foreach ((string reason, ulong count) in losses.ByReason)
            Console.Error.WriteLine($"perforator: left out {count}: {reason}");
        Output.Write(parsed, merged);
        return ExitCodes.Ok;
    }

    private static (string Path, ulong Weight) ParseWeighted(string text)
    {
        int comma = text.IndexOf(',', StringComparison.Ordinal);
        return comma > 0 && ulong.TryParse(text.AsSpan(0, comma), out ulong weight) && weight > 0 && comma + 1 < text.Length
            ? (text[(comma + 1)..], weight)
            : throw new UserErrorException($"'{text}' is not N,FILE with N a positive number; for example --weight 3,release.afdo");
    }
}
