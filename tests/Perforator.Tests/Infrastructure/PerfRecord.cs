namespace Perforator.Tests.Infrastructure;

/// <summary>
/// Runs perf record. perf 6.1 aborts now and then on a busy machine while it collects build ids ("assertion failed at
/// util/build-id.c:1010"), which says nothing of the reader under test: then it is run again.
/// </summary>
internal static class PerfRecord
{
    private const int Aborted = 128 + 6;
    private const int Tries = 12;
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);

    /// <param name="folder">Where its cache of build ids goes.</param>
    /// <param name="arguments">Those of <c>perf record</c>.</param>
    public static void Run(TemporaryFolder folder, params string[] arguments) =>
        Repeat(() => Tool.Run("perf", ["--buildid-dir", folder["debug"], "record", "-q", .. arguments], folder: folder.Path));

    /// <summary>The same with its output in a pipe, as a file.</summary>
    public static void RunPiped(TemporaryFolder folder, string output, params string[] arguments) =>
        Repeat(() =>
            Tool.Run("bash", ["-c", "set -o pipefail; out=$1; shift; perf \"$@\" | cat >\"$out\"", "bash", output, "--buildid-dir", folder["debug"], "record", "-q", "-o", "-", .. arguments]));

    private static void Repeat(Func<ToolResult> run)
    {
        ToolResult result = run();
        for (int left = Tries; left > 1 && result.ExitCode == Aborted; left--)
        {
            // Five tries at once have met the same busy moment.
            Thread.Sleep(Pause);
            result = run();
        }
        result.Succeeded();
    }
}
