using System.Diagnostics;
using System.Globalization;

namespace Perforator.Benchmarks;

/// <summary>What one run of a program took.</summary>
/// <param name="Seconds">Wall time.</param>
/// <param name="CpuSeconds">User and system time of all its threads.</param>
/// <param name="PeakMegabytes">Peak resident memory in MB (10^6 bytes).</param>
internal readonly record struct Measurement(double Seconds, double CpuSeconds, double PeakMegabytes)
{
    /// <summary>Medians, each figure by itself.</summary>
    public static Measurement Median(IReadOnlyList<Measurement> runs) => new(
        Middle(runs.Select(r => r.Seconds)), Middle(runs.Select(r => r.CpuSeconds)), Middle(runs.Select(r => r.PeakMegabytes)));

    private static double Middle(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return sorted.Length % 2 == 1 ? sorted[sorted.Length / 2] : (sorted[sorted.Length / 2 - 1] + sorted[sorted.Length / 2]) / 2;
    }
}

/// <summary>Runs programs and measures them from outside.</summary>
internal static class MeasuredProcess
{
    /// <remarks>
    /// GNU time stands between, since the kernel's record of a program's peak memory begins with the size of the process that started
    /// it: that of GNU time is next to nothing.
    /// </remarks>
    public static Measurement Run(string program, params string[] arguments) => Run(program, arguments, out _);

    /// <param name="report">What it wrote to standard error.</param>
    public static Measurement Run(string program, string[] arguments, out string report)
    {
        string figures = Path.GetTempFileName();
        try
        {
            ProcessStartInfo start =
                new("/usr/bin/time", ["-f", "%U %S %M", "-o", figures, program, .. arguments]) { RedirectStandardError = true, RedirectStandardOutput = true };
            Stopwatch watch = Stopwatch.StartNew();
            using Process process = Process.Start(start)!;
            Task<string> error = process.StandardError.ReadToEndAsync();
            Task<string> output = process.StandardOutput.ReadToEndAsync();
            process.WaitForExit();
            double seconds = watch.Elapsed.TotalSeconds;
            if (process.ExitCode != 0)
                throw new InvalidOperationException($"{program} {string.Join(' ', arguments)} failed: {error.Result}{output.Result}");
            report = error.Result;
            double[] used =
                [.. File.ReadAllText(figures).Split().Where(word => word.Length > 0)
                    .Select(word => double.Parse(word, CultureInfo.InvariantCulture))];
            return new Measurement(seconds, used[0] + used[1], used[2] * 1024 / 1e6);
        }
        finally
        {
            File.Delete(figures);
        }
    }
}
