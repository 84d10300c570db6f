using System.CommandLine;
using Perforator.SampleProfiles;

namespace Perforator.Cli;

/// <summary><c>perforator profile trim</c>: drops cold functions.</summary>
internal static class ProfileTrimCommand
{
    private static readonly Argument<string> File =
        new("profile") { Description = "A sample profile in any format; '-' is standard input." };

    private static readonly Option<double> Cutoff = new("--cutoff")
    {
        Description = "Functions with fewer samples than any line among those that make up this share of all samples go.",
        HelpName = "PERCENT",
        DefaultValueFactory = static _ => ProfileSummary.ColdCutoff * 100.0 / ProfileSummary.Scale,
    };

    private static readonly Option<ulong?> MinSamples =
        new("--min-samples") { Description = "Functions with fewer samples go, whatever the cutoff says.", HelpName = "N" };
    private static readonly Option<long?> MaxSize =
        new("--max-size", "--output-size-limit") { Description = "The coldest functions go until the profile fits.", HelpName = "BYTES" };
    private static readonly ProfileOutput Output = new();

    public static Command Create()
    {
        Command command = new("trim",
            """
            Drops the coldest functions of a sample profile: by default those that llvm-profgen --trim-cold-profile drops.

            Example: perforator profile trim search.afdo --cutoff 99.9 -o small.afdo
            """)
        { File, Cutoff, MinSamples, MaxSize };
        Output.AddTo(command);
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult parsed)
    {
        SampleProfile profile = ProfileCommand.Load(parsed.GetValue(File)!);
        int before = profile.Functions.Count;
        if (parsed.GetValue(MaxSize) is { } size)
        {
            ProfileTrim.FitInto(profile, size, Output.Format(parsed), Output.WriteOptions(parsed));
        }
        else
        {
            double percent = parsed.GetValue(Cutoff);
            if (percent is not (> 0 and < 100))
                throw new UserErrorException($"--cutoff {percent} is not a share in per cent above 0 and below 100");
            uint cutoff = (uint)Math.Round(percent * ProfileSummary.Scale / 100);
            ulong threshold = parsed.GetValue(MinSamples) ?? ProfileSummary.Compute(profile, [cutoff]).Entries[0].MinCount;
            ProfileTrim.DropBelow(profile, threshold);
        }
        Console.Error.WriteLine($"perforator: {before - profile.Functions.Count} of {before} functions dropped");
        Output.Write(parsed, profile);
        return ExitCodes.Ok;
    }
}
