using System.Globalization;
using System.Text.RegularExpressions;
using Perforator.Elf;

namespace Perforator.Benchmarks;

/// <summary>
/// <c>perforator generate</c> beside <c>llvm-profgen-19</c> on the same perf script text and binaries: interleaved runs, medians, and
/// whether the profiles are equal. Called by eng/bench generate.
/// </summary>
internal sealed partial class GeneratorComparison
{
    private const long Million = 1_000_000;

    /// <summary>
    /// Makes a tenth of a large program's functions hot or warm, as in services; small programs are touched nearly everywhere.
    /// </summary>
    private const double ServiceSkew = 8;

    private readonly string cli;
    private readonly int rounds;

    private GeneratorComparison(string cli, int rounds)
    {
        this.cli = cli;
        this.rounds = rounds;
    }

    /// <param name="cli">The published perforator.</param>
    /// <param name="rounds">Runs of each program; those of the large program are fewer, as the peer takes long over it.</param>
    /// <param name="large">The large program, of parts whose functions lie in the namespaces ns1, ns2 and so on.</param>
    /// <param name="quarter">A program of the first quarter of the large one's parts.</param>
    /// <param name="programs">Real programs.</param>
    public static int Run(string cli, int rounds, string large, string quarter, string[] programs)
    {
        GeneratorComparison small = new(cli, rounds), few = new(cli, Math.Min(rounds, 3));
        Console.WriteLine("Goal: 1/4 on real programs, 1/8 on the large one.\n");
        Header();
        foreach (string program in programs)
            small.Compare(program, "all functions", Million, new() { Skew = 0 });
        few.Compare(large, "a tenth hot", Million, new() { Skew = ServiceSkew });
        few.Compare(large, "all functions", Million, new() { Skew = 0 });

        Console.WriteLine("\nTime by records:\n");
        Header();
        foreach (int times in (int[])[1, 2, 4])
            few.Compare(programs[0], "all functions", times * Million, new() { Skew = 0 });

        Console.WriteLine("\nTime by touched code, and by the binary's size with the same code touched:\n");
        Header();
        few.Compare(quarter, "parts 1–2, all of it", Million, Parts(2));
        few.Compare(large, "parts 1–2", Million, Parts(2));
        few.Compare(large, "parts 1–4", Million, Parts(4));
        few.Compare(large, "parts 1–8, all of it", Million, Parts(8));
        return 0;
    }

    private static Walk Parts(int count) =>
        new()
        {
            Skew = 0,
            Enters = name => NamespaceOf().Match(name) is { Success: true } match && int.Parse(match.Groups[1].Value) <= count
        };

    /// <summary>How the branch stacks are made.</summary>
    private sealed record Walk
    {
        public required double Skew { get; init; }

        public Func<string, bool>? Enters { get; init; }
    }

    private static void Header()
    {
        Console.WriteLine(
            "| program | text, MB | touched | records | ours, s | peer, s | ratio | ours, CPU s | peer, CPU s | ours, peak MB | peer, peak MB | profiles |");
        Console.WriteLine("|---|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---|");
    }

    private void Compare(string binary, string touched, long records, Walk walk)
    {
        string script = binary + ".perf.txt", ours = binary + ".ours", peer = binary + ".peer";
        double text;
        using (ElfFile elf = ElfFile.Load(binary))
        {
            text = (elf.Section(".text")?.Size ?? 0) / 1e6;
            using StreamWriter writer = new(script);
            new BranchWalker(elf, enters: walk.Enters)
            {
                Bias = elf.IsPositionIndependent ? 0x555555554000UL : 0,
                Skew = walk.Skew
            }.WritePerfScript(writer, binary, records);
        }
        List<Measurement> ourRuns = [], peerRuns = [];
        for (int i = 0; i < rounds; i++)
        {
            ourRuns.Add(MeasuredProcess.Run(cli, "generate", "--binary", binary, "--perf-script", script, "--format", "text", "-o", ours));
            peerRuns.Add(
                MeasuredProcess.Run("llvm-profgen-19", "--binary", binary, "--perfscript", script, "--format", "text", "-o", peer));
        }
        Measurement a = Measurement.Median(ourRuns), b = Measurement.Median(peerRuns);
        string overlap =
            File.ReadAllBytes(ours).AsSpan().SequenceEqual(File.ReadAllBytes(peer)) ? "equal bytes" : Overlap(peer, ours) + " overlap";
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"| {Path.GetFileName(binary)} | {text:0.0} | {touched} | {records / Million} M | {a.Seconds:0.000} | {b.Seconds:0.000} | 1/{b.Seconds / a.Seconds:0.0} | {a.CpuSeconds:0.00} | {b.CpuSeconds:0.00} | {a.PeakMegabytes:0} | {b.PeakMegabytes:0} | {overlap} |"));
        File.Delete(script);
    }

    /// <summary>The overlap that llvm-profdata-19 tells of two profiles.</summary>
    public static string Overlap(string peer, string ours)
    {
        System.Diagnostics.ProcessStartInfo start =
            new("llvm-profdata-19", ["overlap", "--sample", peer, ours]) { RedirectStandardOutput = true };
        using System.Diagnostics.Process process = System.Diagnostics.Process.Start(start)!;
        string report = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return WholeProgram().Match(report).Groups[1].Value;
    }

    [GeneratedRegex(@"Whole program sample overlap: ([0-9.]+%)")]
    private static partial Regex WholeProgram();

    [GeneratedRegex(@"^_ZN[0-9]+ns([0-9])")]
    private static partial Regex NamespaceOf();
}
