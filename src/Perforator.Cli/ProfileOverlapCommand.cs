using System.CommandLine;
using Perforator.SampleProfiles;

namespace Perforator.Cli;

/// <summary><c>perforator profile overlap</c>: how alike two profiles are.</summary>
internal static class ProfileOverlapCommand
{
    private static readonly Argument<string> Base = new("base") { Description = "The profile to compare with." };
    private static readonly Argument<string[]> Tests =
        new("test") { Description = "The profiles to compare.", Arity = ArgumentArity.OneOrMore };
    private static readonly Option<string?> Function =
        new("--function") { Description = "Also compare functions whose name contains this.", HelpName = "NAME" };

    private static readonly Option<ulong> ValueCutoff = new("--value-cutoff")
    {
        Description = "Also compare functions of the test profile that have a line with at least this many samples.",
        HelpName = "N",
        DefaultValueFactory = static _ => ulong.MaxValue,
    };

    private static readonly Option<ulong> SimilarityCutoff = new("--similarity-cutoff")
    {
        Description = "Also compare functions less alike than this many millionths.",
        HelpName = "N",
    };

    public static Command Create()
    {
        Command command = new("overlap",
            """
            Compares sample profiles by the figures of llvm-profdata overlap --sample.

            Example: perforator profile overlap --similarity-cutoff 900000 yesterday.afdo today.afdo
            """)
        { Base, Tests, Function, ValueCutoff, SimilarityCutoff };
        command.Aliases.Add("compare");
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult parsed)
    {
        string basePath = parsed.GetValue(Base)!;
        SampleProfile baseProfile = SampleProfileReader.Load(basePath);
        string? name = parsed.GetValue(Function);
        ulong valueCutoff = parsed.GetValue(ValueCutoff);
        double similarityCutoff = parsed.GetValue(SimilarityCutoff) / (double)ProfileSummary.Scale;
        foreach (string testPath in parsed.GetValue(Tests)!)
        {
            ProfileOverlap overlap = ProfileOverlap.Compare(baseProfile, SampleProfileReader.Load(testPath));
            Console.Out.Write(ProfileOverlapText.Summary(overlap, basePath, testPath));
            Console.Out.Write(ProfileOverlapText.Functions(overlap, overlap.TestFunctions.Where(function =>
                function.TestMaxSamples >= valueCutoff
                || (function.IsInBoth && function.Similarity < similarityCutoff)
                || (function.IsInBoth && !string.IsNullOrEmpty(name) && function.Name.Contains(name, StringComparison.Ordinal)))));
        }
        return ExitCodes.Ok;
    }
}
