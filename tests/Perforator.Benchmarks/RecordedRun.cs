using System.Globalization;
using System.Text.RegularExpressions;
using Perforator.Branches;

namespace Perforator.Benchmarks;

/// <summary>A program's run under <c>perforator record</c>, the published command, as measured from outside.</summary>
/// <param name="Seconds">Wall time.</param>
/// <param name="Computed">CPU seconds.</param>
/// <param name="Branches">Branches recorded, in all binaries.</param>
/// <param name="Moments">How often a thread was stopped and followed for them.</param>
/// <param name="Stopped">Seconds for which the recorder charged itself.</param>
/// <param name="Profiles">What it wrote.</param>
internal sealed partial record RecordedRun(
    double Seconds, double Computed, double Branches, double Moments, double Stopped, BranchProfileSet Profiles)
{
    public static string Cli =>
        Environment.GetEnvironmentVariable("PERFORATOR_CLI")
            ?? throw new InvalidOperationException("PERFORATOR_CLI names no perforator: use eng/bench recorder");

    /// <summary>A run of which only the wall time is known.</summary>
    public static RecordedRun NotRecorded(double seconds) => new(seconds, 0, 0, 0, 0, new BranchProfileSet());

    /// <summary>Has the program recorded from its first instruction. Times are the recorder's and the program's together.</summary>
    public static RecordedRun Record(string[] bound, string[] command)
    {
        string output = Path.GetTempFileName();
        Measurement all = MeasuredProcess.Run(Cli, Arguments(bound, output, Quietly(command)), out string report);
        RecordedRun run = Parse(report, output);
        File.Delete(output);
        return run with { Seconds = all.Seconds, Computed = all.CpuSeconds };
    }

    /// <summary>How to have a program recorded.</summary>
    /// <param name="bound">The recorder's option --max-overhead, or nothing.</param>
    /// <param name="output">The file to write.</param>
    public static string[] Arguments(string[] bound, string output, string[] command) =>
        ["record", "--source", "software", .. bound, "-o", output, "--", .. command];

    /// <summary>A run as its recorder reported it, without times.</summary>
    public static RecordedRun Parse(string report, string output)
    {
        Match recorded = Recorded().Match(report);
        return recorded.Success
            ? new(0, 0, Number(recorded, 1), Number(recorded, 2), Number(recorded, 3), BranchProfileCodec.Load(output))
            : throw new InvalidOperationException($"perforator record reported something else than this program knows: {report}");
    }

    /// <summary>The program without its output.</summary>
    public static string[] Quietly(string[] command) => ["sh", "-c", "exec \"$@\" >/dev/null 2>&1", "sh", .. command];

    private static double Number(Match match, int group) =>
        double.Parse(match.Groups[group].Value, NumberStyles.Number, CultureInfo.InvariantCulture);

    [GeneratedRegex("recorded [0-9,]+ branch stacks, ([0-9,]+) branches at ([0-9,]+) moments; threads held stopped for ([0-9.]+) s")]
    private static partial Regex Recorded();
}
