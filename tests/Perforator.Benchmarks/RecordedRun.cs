using System.Globalization;
using System.Text.RegularExpressions;
using Perforator.Branches;

namespace Perforator.Benchmarks;

/// <summary>A program's run under <c>perforator record</c>, the published command, as measured from outside.</summary>
/// <param name="Seconds">Wall time of the recorded program, without the recorder's own start and end.</param>
/// <param name="Computed">CPU seconds of the recorder from its start to its end.</param>
/// <param name="Branches">Branches recorded, in all binaries.</param>
/// <param name="Moments">How often a thread was stopped and followed for them.</param>
/// <param name="Stopped">Seconds for which the recorder charged itself.</param>
/// <param name="Profiles">What it wrote.</param>
internal sealed partial record RecordedRun(double Seconds, double Computed, double Branches, double Moments, double Stopped, BranchProfileSet Profiles)
{
    /// <returns>Wall time of the program without a recorder, in seconds.</returns>
    public static double Alone(string[] command) => Time(timed => MeasuredProcess.Run(timed[0], timed[1..]), command).Seconds;

    /// <param name="bound">The recorder's option --max-overhead, or nothing.</param>
    public static RecordedRun Record(string[] bound, string[] command)
    {
        RecordedRun run = null!;
        (double seconds, double cpuSeconds) = Time(timed => run = RecordUntimed(bound, timed), command);
        return run with { Seconds = seconds, Computed = run.Computed - cpuSeconds };
    }

    /// <summary>Has the program recorded from its first instruction: nothing that measures it stands between. Times are the recorder's and the program's together.</summary>
    public static RecordedRun RecordUntimed(string[] bound, string[] command)
    {
        string cli = Environment.GetEnvironmentVariable("PERFORATOR_CLI") ?? throw new InvalidOperationException("PERFORATOR_CLI names no perforator: use eng/bench recorder");
        string output = Path.GetTempFileName();
        Measurement all = MeasuredProcess.Run(cli, ["record", "--source", "software", .. bound, "-o", output, "--", .. command], out string report);
        BranchProfileSet profiles = BranchProfileCodec.Load(output);
        File.Delete(output);
        Match recorded = Recorded().Match(report);
        return recorded.Success
            ? new(all.Seconds, all.CpuSeconds, Number(recorded, 1), Number(recorded, 2), Number(recorded, 3), profiles)
            : throw new InvalidOperationException($"perforator record reported something else than this program knows: {report}");
    }

    /// <summary>Wall and CPU time of the program itself: GNU time runs it, and <paramref name="run"/> runs that.</summary>
    private static (double Seconds, double CpuSeconds) Time(Action<string[]> run, string[] command)
    {
        string figures = Path.GetTempFileName();
        run(["/usr/bin/time", "-f", "%e %U %S", "-o", figures, .. Quietly(command)]);
        double[] used = [.. File.ReadAllText(figures).Split().Where(word => word.Length > 0).Select(word => double.Parse(word, CultureInfo.InvariantCulture))];
        File.Delete(figures);
        return (used[0], used[1] + used[2]);
    }

    /// <summary>The program without its output.</summary>
    public static string[] Quietly(string[] command) => ["sh", "-c", "exec \"$@\" >/dev/null 2>&1", "sh", .. command];

    private static double Number(Match match, int group) => double.Parse(match.Groups[group].Value, NumberStyles.Number, CultureInfo.InvariantCulture);

    [GeneratedRegex("recorded [0-9,]+ branch stacks, ([0-9,]+) branches at ([0-9,]+) moments; threads held stopped for ([0-9.]+) s")]
    private static partial Regex Recorded();
}
