using System.CommandLine;
using Perforator.SampleProfiles;

namespace Perforator.Cli;

/// <summary><c>perforator profile convert</c>: another format, the same samples.</summary>
internal static class ProfileConvertCommand
{
    private static readonly Argument<string> File =
        new("profile") { Description = "A sample profile in any format; '-' is standard input." };
    private static readonly Option<bool> Flatten =
        new("--flatten") { Description = "Count what was inlined for the inlined function itself." };
    private static readonly LateInliningOption Late = new();
    private static readonly ProfileOutput Output = new();

    public static Command Create()
    {
        Command command = new("convert",
            """
            Writes a sample profile in another format. The profile's flags and symbol list are kept where the format can hold them.

            Example: perforator profile convert search.afdo --format text
            """)
        { File, Flatten, Late.Option };
        Output.AddTo(command);
        command.SetAction(static parsed =>
        {
            SampleProfile profile = ProfileCommand.Load(parsed.GetValue(File)!);
            Late.Apply(parsed, profile);
            Output.Write(parsed, parsed.GetValue(Flatten) ? ProfileFlattening.Flatten(profile) : profile);
            return ExitCodes.Ok;
        });
        return command;
    }
}
