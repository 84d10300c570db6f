using System.CommandLine;

namespace Perforator.Cli;

/// <summary>Options of the verbs that read recordings of other tools.</summary>
internal static class RecordingInputOptions
{
    public static Option<string?> RecordedAs() => new("--recorded-as")
    {
        Description = "What the recording has the binary as, where its file name or missing build id does not tell: a path, a file name or a build id.",
        HelpName = "NAME",
    };

    public static Option<string?> Event() => new("--event")
    {
        Description = "The event whose samples count, as perf names it. Default: those with branch stacks, else those that measure time, else the first.",
        HelpName = "NAME",
    };
}
