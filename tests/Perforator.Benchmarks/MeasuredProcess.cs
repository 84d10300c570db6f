using System.Diagnostics;

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
    public static Measurement Run(string program, params string[] arguments)
    {
        ProcessStartInfo start = new(program, arguments) { RedirectStandardError = true, RedirectStandardOutput = true };
        Stopwatch watch = Stopwatch.StartNew();
        using Process process = Process.Start(start)!;
        Task<string> error = process.StandardError.ReadToEndAsync();
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        // The high-water mark only rises: its last reading before the end is the peak, to within the polling interval.
        double peak = 0;
        while (!process.WaitForExit(4))
            peak = Math.Max(peak, PeakOf(process.Id));
        double seconds = watch.Elapsed.TotalSeconds;
        if (process.ExitCode != 0)
            throw new InvalidOperationException($"{program} {string.Join(' ', arguments)} failed: {error.Result}{output.Result}");
        return new Measurement(seconds, process.TotalProcessorTime.TotalSeconds, peak);
    }

    private static double PeakOf(int processId)
    {
        try
        {
            foreach (string line in File.ReadLines($"/proc/{processId}/status"))
                if (line.StartsWith("VmHWM:", StringComparison.Ordinal))
                    return double.Parse(line.Split((char[])[' ', '\t'], StringSplitOptions.RemoveEmptyEntries)[1]) * 1024 / 1e6;
        }
        catch (IOException)
        {
            // It has just ended.
        }
        return 0;
    }
}
