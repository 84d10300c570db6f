using System.CommandLine;
using Perforator.SampleProfiles;

namespace Perforator.Cli;

/// <summary>The options by which <c>perforator profile</c> verbs write a profile.</summary>
internal sealed class ProfileOutput
{
    private readonly Option<string> output = new("-o", "--output")
    {
        Description = "File to write; '-' is standard output.",
        HelpName = "FILE",
        DefaultValueFactory = static _ => "-",
    };

    private readonly Option<SampleProfileFormat> format = new("--format")
    {
        Description = "extbinary (what LLVM's tools write by default), text, binary, gcc (for gcc -fauto-profile) or go (for go build -pgo).",
        HelpName = "extbinary|text|binary|gcc|go",
        DefaultValueFactory = static _ => SampleProfileFormat.ExtBinary,
    };

    private readonly GccVersionOption gccVersion = new();
    private readonly Option<bool> md5 = new("--md5", "--use-md5") { Description = "Store MD5 hashes instead of names (extbinary only)." };
    private readonly Option<bool> compress =
        new("--compress", "--compress-all-sections") { Description = "Compress all sections (extbinary only)." };
    private readonly Option<bool> split =
        new("--split-layout") { Description = "Put functions without inlined callees into sections of their own (extbinary only)." };
    private readonly Option<bool> partial =
        new("--partial", "--gen-partial-profile") { Description = "Mark the profile as one of shared code, gathered from other programs (extbinary only)." };

    private readonly Option<string?> symbols = new("--symbols", "--prof-sym-list")
    {
        Description = "Add the function symbols in this file, one a line: those without samples are then known to be cold (extbinary only).",
        HelpName = "FILE",
    };

    public void AddTo(Command command)
    {
        foreach (Option option in new Option[] { output, format, gccVersion.Option, md5, compress, split, partial, symbols })
            command.Add(option);
    }

    public SampleProfileFormat Format(ParseResult parsed) => parsed.GetValue(format);

    public SampleProfileWriteOptions WriteOptions(ParseResult parsed) => new()
    {
        Md5Names = parsed.GetValue(md5),
        CompressAllSections = parsed.GetValue(compress),
        SplitLayout = parsed.GetValue(split),
        GccVersion = gccVersion.Of(parsed),
    };

    /// <summary>Writes the profile as the options say.</summary>
    public void Write(ParseResult parsed, SampleProfile profile)
    {
        if (parsed.GetValue(partial))
            profile.IsPartial = true;
        if (parsed.GetValue(symbols) is { } file)
            AddSymbols(profile, file);
        SampleProfileFormat chosen = Format(parsed);
        if (chosen != SampleProfileFormat.ExtBinary && (profile.IsPartial || profile.IsFlowSensitive || profile.Symbols.Count != 0))
            Console.Error.WriteLine(
                $"perforator: {chosen.ToString().ToLowerInvariant()} cannot hold the profile's flags and symbol list; extbinary can");
        string path = parsed.GetValue(output)!;
        LossCounts losses = new();
        if (path != "-")
        {
            SampleProfileWriter.Save(path, profile, chosen, WriteOptions(parsed), losses);
            Report(losses);
            return;
        }
        if (chosen != SampleProfileFormat.Text && !Console.IsOutputRedirected)
            throw new UserErrorException("a binary profile does not belong on the terminal; give -o FILE or --format text");
        using Stream stream = Console.OpenStandardOutput();
        SampleProfileWriter.Write(stream, profile, chosen, WriteOptions(parsed), losses);
        Report(losses);
    }

    private static void Report(LossCounts losses)
    {
        foreach ((string reason, ulong count) in losses.LargestFirst())
            Console.Error.WriteLine($"perforator: left out: {count} samples: {reason}");
    }

    private static void AddSymbols(SampleProfile profile, string file)
    {
        try
        {
            profile.Symbols.UnionWith(File.ReadLines(file).Select(static line => line.Trim()).Where(static line => line.Length != 0));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UserErrorException($"cannot read the symbol list {file}: {e.Message}", e);
        }
    }
}
