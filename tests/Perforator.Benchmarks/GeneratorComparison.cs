using System.Globalization;
using System.Text.RegularExpressions;
using Perforator.Elf;

namespace Perforator.Benchmarks;

/// <summary>
/// <c>perforator generate</c> beside <c>llvm-profgen-19</c> on the same perf script text and binaries: interleaved runs, medians, and
/// whether the profiles are equal. Called by eng/bench generate.
/// </summary>
internal static partial class GeneratorComparison
{
    private const long Records = 1_000_000;

    /// <summary>Makes a tenth of a large program's functions hot or warm, as in services; small programs are touched nearly everywhere.</summary>
    private const double Skew = 8;

    public static int Run(string cli, int rounds, string[] binaries)
    {
        Console.WriteLine("| program | text, MB | records | ours, s | peer, s | ratio | ours, CPU s | peer, CPU s | ours, peak MB | peer, peak MB | overlap |");
        Console.WriteLine("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
        foreach (string binary in binaries)
            Compare(cli, rounds, binary);
        return 0;
    }

    private static void Compare(string cli, int rounds, string binary)
    {
        string script = binary + ".perf.txt", ours = binary + ".ours", peer = binary + ".peer";
        double text;
        using (ElfFile elf = ElfFile.Load(binary))
        {
            text = (elf.Section(".text")?.Size ?? 0) / 1e6;
            if (!File.Exists(script))
            {
                using StreamWriter writer = new(script);
                new BranchWalker(elf) { Bias = elf.IsPositionIndependent ? 0x555555554000UL : 0, Skew = Skew }.WritePerfScript(writer, binary, Records);
            }
        }
        List<Measurement> ourRuns = [], peerRuns = [];
        for (int i = 0; i < rounds; i++)
        {
            ourRuns.Add(MeasuredProcess.Run(cli, "generate", "--binary", binary, "--perf-script", script, "--format", "text", "-o", ours));
            peerRuns.Add(MeasuredProcess.Run("llvm-profgen-19", "--binary", binary, "--perfscript", script, "--format", "text", "-o", peer));
        }
        Measurement a = Measurement.Median(ourRuns), b = Measurement.Median(peerRuns);
        string overlap = File.ReadAllBytes(ours).AsSpan().SequenceEqual(File.ReadAllBytes(peer)) ? "equal bytes" : Overlap(peer, ours);
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"| {Path.GetFileName(binary)} | {text:0.0} | {Records} | {a.Seconds:0.000} | {b.Seconds:0.000} | 1/{b.Seconds / a.Seconds:0.0} | {a.CpuSeconds:0.000} | {b.CpuSeconds:0.000} | {a.PeakMegabytes:0} | {b.PeakMegabytes:0} | {overlap} |"));
    }

    /// <summary>The overlap that llvm-profdata-19 tells of two profiles.</summary>
    internal static string Overlap(string peer, string ours)
    {
        System.Diagnostics.ProcessStartInfo start = new("llvm-profdata-19", ["overlap", "--sample", peer, ours]) { RedirectStandardOutput = true };
        using System.Diagnostics.Process process = System.Diagnostics.Process.Start(start)!;
        string report = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return WholeProgram().Match(report).Groups[1].Value;
    }

    [GeneratedRegex(@"Whole program sample overlap: ([0-9.]+%)")]
    private static partial Regex WholeProgram();
}
