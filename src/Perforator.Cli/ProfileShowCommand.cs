using System.CommandLine;
using Perforator.Bytes;
using Perforator.SampleProfiles;

namespace Perforator.Cli;

/// <summary><c>perforator profile show</c>: what is in a profile.</summary>
internal static class ProfileShowCommand
{
    private static readonly Argument<string> File = new("profile") { Description = "A sample profile; '-' is standard input." };
    private static readonly Option<string?> Function = new("--function") { Description = "Only this function.", HelpName = "NAME" };
    private static readonly Option<bool> Summary = new("--summary") { Description = "Only the summary and the quality, no functions." };
    private static readonly Option<bool> DetailedSummary = new("--detailed-summary") { Description = "The summary behind the functions." };
    private static readonly Option<bool> Hot = new("--hot-func-list") { Description = "The list of hot functions." };
    private static readonly Option<int> Top =
        new("--topn") { Description = "The list of hot functions, at most this many.", HelpName = "N" };
    private static readonly Option<bool> Symbols = new("--symbols", "--show-prof-sym-list") { Description = "The profile symbol list." };
    private static readonly Option<bool> Sections =
        new("--sections", "--show-sec-info-only") { Description = "Only the sections of an extbinary profile." };
    private static readonly Option<bool> Json = new("--json") { Description = "The functions as JSON." };

    public static Command Create()
    {
        Command command = new("show",
            """
            Prints a sample profile as llvm-profdata show --sample does.

            Example: perforator profile show --summary --topn 20 search.afdo
            """)
        { File, Function, Summary, DetailedSummary, Hot, Top, Symbols, Sections, Json };
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult parsed)
    {
        string path = parsed.GetValue(File)!;
        using StreamWriter output = new(Console.OpenStandardOutput(), bufferSize: 1 << 16);
        if (parsed.GetValue(Sections))
        {
            output.Write(DescribeSections(path));
            return ExitCodes.Ok;
        }
        SampleProfile profile = ProfileCommand.Load(path);
        if (parsed.GetValue(Json))
        {
            SampleProfileJson.Write(output.BaseStream, profile);
        }
        else if (parsed.GetValue(Function) is { } name)
        {
            if (!profile.Functions.TryGetValue(name, out FunctionSamples? function)
                && !profile.Functions.TryGetValue(FunctionNameHash.Of(name).ToString(), out function))
                throw new UserErrorException(
                    $"{path} has no function {name}; names are linkage names, as 'perforator profile show --topn 20 {path}' lists them");
            SampleProfileText.Write(output, function, profile);
        }
        else if (!parsed.GetValue(Summary))
        {
            SampleProfileText.Write(output, profile);
        }

        if (parsed.GetValue(Symbols))
        {
            output.Write("======== Dump profile symbol list ========\n");
            foreach (string symbol in profile.Symbols)
                output.Write($"{symbol}\n");
        }
        if (parsed.GetValue(Summary) || parsed.GetValue(DetailedSummary))
            output.Write(ProfileSummary.Compute(profile).ToText());
        if (parsed.GetValue(Summary))
            output.Write(ProfileCommand.Quality(profile));
        if (parsed.GetValue(Hot) || parsed.GetValue(Top) > 0)
            output.Write(SampleProfileText.HotFunctions(ProfileQuality.Of(profile), parsed.GetValue(Top)));
        return ExitCodes.Ok;
    }

    private static string DescribeSections(string path)
    {
        try
        {
            return SampleProfileReader.DescribeSections(InputFile.ReadWhole(path));
        }
        catch (MalformedInputException e)
        {
            throw new UserErrorException($"cannot list the sections of {path}: {e.Message}", e);
        }
    }
}
