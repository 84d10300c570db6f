using System.CommandLine;
using Perforator.SampleProfiles;

namespace Perforator.Cli;

/// <summary><c>perforator profile …</c>: looks at, merges, compares and converts sample profiles.</summary>
internal static class ProfileCommand
{
    public static Command Create() => new("profile",
        """
        Looks at, merges, compares, converts and trims LLVM sample profiles: text, binary and extbinary files, as llvm-profdata does.

        Example: perforator profile merge monday.afdo tuesday.afdo -o week.afdo
        """)
    {
        ProfileShowCommand.Create(),
        ProfileMergeCommand.Create(),
        ProfileOverlapCommand.Create(),
        ProfileConvertCommand.Create(),
        ProfileTrimCommand.Create(),
    };

    /// <summary>Loads the one profile a verb works on; "-" is standard input.</summary>
    public static SampleProfile Load(string path) => SampleProfileReader.Load(path == "-" ? "/dev/stdin" : path);

    /// <summary>The summary and quality lines that show and other verbs print for people.</summary>
    public static string Quality(SampleProfile profile)
    {
        ProfileQuality quality = ProfileQuality.Of(profile);
        string advice = quality.MoreSamplesWanted > 1
            ? FormattableString.Invariant($"; about {quality.MoreSamplesWanted:F1} times as many samples would optimize better")
            : "";
        return FormattableString.Invariant($"""
            Density: {quality.Density:F1} samples a line in the functions that make up 99 % of all samples ({ProfileQuality.WantedDensity} is good){advice}
            Hot functions: {quality.HotFunctions.Count} of {quality.Functions}, with {quality.HotCoverage * 100:F2} % of all samples

            """);
    }
}
