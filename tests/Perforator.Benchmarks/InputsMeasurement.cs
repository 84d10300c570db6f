using System.Buffers.Binary;
using System.Diagnostics;
using System.Globalization;
using Perforator.Branches;
using Perforator.Elf;
using Perforator.PerfData;

namespace Perforator.Benchmarks;

/// <summary>
/// perf.data files of any size that our writer makes of a walked binary, how fast they are read, and <c>perforator generate</c> beside
/// <c>perf script | llvm-profgen-19</c> on the same file. Called by eng/bench inputs.
/// </summary>
internal static class InputsMeasurement
{
    private const int Depth = 32;

    /// <summary>
    /// Makes a tenth of a large program's functions hot or warm, as in services; small programs are touched nearly everywhere.
    /// </summary>
    private const double Skew = 8;

    private const ulong LoadBias = 0x555555554000;

    public static int Run(string[] arguments) => arguments switch
    {
        ["make", var binary, var megabytes, var output] => Make(binary, Number(megabytes), output),
        ["stream", var file, var megabytes] => Stream(file, Number(megabytes)),
        ["read", var rounds, .. var pairs] => Read(Number(rounds), pairs),
        ["compare", var cli, var rounds, .. var pairs] => Compare(cli, Number(rounds), pairs),
        ["memory", var cli, var binary, .. var files] => Memory(cli, binary, files),
        _ => throw new ArgumentException($"inputs {string.Join(' ', arguments)}"),
    };

    private static int Number(string text) => int.Parse(text, CultureInfo.InvariantCulture);

    /// <summary>Writes a file of at least so many megabytes (10^6 bytes).</summary>
    private static int Make(string binary, int megabytes, string output)
    {
        using ElfFile elf = ElfFile.Load(binary);
        using FileStream file = new(output, FileMode.Create, FileAccess.ReadWrite, FileShare.None, 1 << 20);
        using PerfDataWriter writer = new(file);
        long samples = megabytes * 1_000_000L / (PerfRecordHeader.ByteCount + 32 + Depth * PerfBranchEntryBits.Size) + 1;
        new BranchWalker(elf, depth: Depth) { Skew = Skew }.Feed(writer, binary, samples, (4242, elf.IsPositionIndependent ? LoadBias : 0));
        writer.Complete();
        return 0;
    }

    /// <summary>
    /// Sends a file's records, its samples over and over with time going on, to standard output as <c>perf record -o -</c> would, until
    /// so many megabytes are sent.
    /// </summary>
    private static int Stream(string file, int megabytes)
    {
        byte[] bytes = File.ReadAllBytes(file);
        byte[] attributes = PerfDataWriter.Attributes.ToBytes();
        using Stream output = Console.OpenStandardOutput();
        output.Write("PERFILE2"u8);
        output.Write(BitConverter.GetBytes(16L));
        WriteRecord(output, PerfRecordType.PERF_RECORD_HEADER_ATTR, attributes);

        int start = (int)BitConverter.ToInt64(bytes, 40), end = start + (int)BitConverter.ToInt64(bytes, 48);
        long left = megabytes * 1_000_000L;
        ulong firstTime = 0, lastTime = 0;
        for (ulong turn = 0; left > 0; turn++)
        {
            for (int at = start, size; at < end; at += size)
            {
                size = BitConverter.ToUInt16(bytes, at + 6);
                if (turn == 0 && BitConverter.ToUInt32(bytes, at) == (uint)PerfRecordType.PERF_RECORD_SAMPLE)
                {
                    lastTime = BitConverter.ToUInt64(bytes, at + 24);
                    firstTime = firstTime == 0 ? lastTime : firstTime;
                }
                if (turn > 0 && BitConverter.ToUInt32(bytes, at) == (uint)PerfRecordType.PERF_RECORD_SAMPLE)
                    BinaryPrimitives.WriteUInt64LittleEndian(
                        bytes.AsSpan(at + 24), BitConverter.ToUInt64(bytes, at + 24) + (lastTime - firstTime) + 1000);
            }
            output.Write(bytes, start, end - start);
            WriteRecord(output, PerfRecordType.PERF_RECORD_FINISHED_ROUND, []);
            left -= end - start;
        }
        return 0;
    }

    private static void WriteRecord(Stream output, PerfRecordType type, byte[] body)
    {
        output.Write(BitConverter.GetBytes((uint)type));
        output.Write(BitConverter.GetBytes((ushort)0));
        output.Write(BitConverter.GetBytes((ushort)(PerfRecordHeader.ByteCount + body.Length)));
        output.Write(body);
    }

    /// <summary>Reads, decodes, maps and aggregates within this process, with the file in the page cache and the code compiled.</summary>
    private static int Read(int rounds, string[] pairs)
    {
        Console.WriteLine(
            "| file | size, MB | branches | distinct branches, ranges | MB/s (median) | least … most | MB/s of CPU time | branches/s |");
        Console.WriteLine("|---|---:|---:|---:|---:|---:|---:|---:|");
        for (int i = 0; i + 1 < pairs.Length; i += 2)
        {
            (string binary, string file) = (pairs[i], pairs[i + 1]);
            Module module = ElfModule.Load(binary);
            List<double> rates = [], cpu = [];
            BranchProfile? profile = null;
            double megabytes = new FileInfo(file).Length / 1e6;
            for (int round = -2; round < rounds; round++)
            {
                BranchAggregator aggregator = new(new SingleModuleResolver(module));
                TimeSpan before = Environment.CpuUsage.TotalTime;
                Stopwatch watch = Stopwatch.StartNew();
                new PerfDataReader(aggregator).ReadFile(file);
                double seconds = watch.Elapsed.TotalSeconds;
                profile = aggregator.Profiles[module.BuildId];
                if (round < 0)
                    continue;
                rates.Add(megabytes / seconds);
                cpu.Add(megabytes / (Environment.CpuUsage.TotalTime - before).TotalSeconds);
            }
            rates.Sort();
            cpu.Sort();
            double median = rates[rates.Count / 2];
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"| {Path.GetFileName(file)} | {megabytes:0} | {profile!.BranchEntries} | {profile.Branches.Count}, {profile.Ranges.Count} | {median:0} | {rates[0]:0} … {rates[^1]:0} | {cpu[cpu.Count / 2]:0} | {profile.BranchEntries / megabytes * median / 1e6:0.0} million |"));
        }
        return 0;
    }

    /// <summary>End to end, interleaved: our generate, and perf script into a file that llvm-profgen-19 then reads.</summary>
    private static int Compare(string cli, int rounds, string[] pairs)
    {
        Console.WriteLine(
            "| file | size, MB | ours, s | perf script, s | llvm-profgen-19, s | ratio | ours, CPU s | peers, CPU s | ratio | ours, peak MB | llvm-profgen, peak MB | profiles |");
        Console.WriteLine("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|");
        for (int i = 0; i + 1 < pairs.Length; i += 2)
        {
            (string binary, string file) = (pairs[i], pairs[i + 1]);
            string ours = file + ".ours", peer = file + ".peer", script = file + ".txt";
            List<Measurement> ourRuns = [], scriptRuns = [], peerRuns = [];
            for (int round = 0; round < rounds; round++)
            {
                ourRuns.Add(MeasuredProcess.Run(cli, "generate", "--binary", binary, "--perf-data", file, "--format", "text", "-o", ours));
                scriptRuns.Add(
                    MeasuredProcess.Run("sh", "-c", $"exec perf script -i '{file}' -F ip,brstack --show-mmap-events >'{script}'"));
                peerRuns.Add(
                    MeasuredProcess.Run("llvm-profgen-19", "--binary", binary, "--perfscript", script, "--format", "text", "-o", peer));
            }
            File.Delete(script);
            Measurement a = Measurement.Median(ourRuns), s = Measurement.Median(scriptRuns), p = Measurement.Median(peerRuns);
            string equal =
                File.ReadAllBytes(ours).AsSpan().SequenceEqual(File.ReadAllBytes(peer))
                    ? "equal bytes" : $"overlap {GeneratorComparison.Overlap(peer, ours)}";
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"| {Path.GetFileName(file)} | {new FileInfo(file).Length / 1e6:0} | {a.Seconds:0.00} | {s.Seconds:0.0} | {p.Seconds:0.0} | 1/{(s.Seconds + p.Seconds) / a.Seconds:0.0} | {a.CpuSeconds:0.00} | {s.CpuSeconds + p.CpuSeconds:0.0} | 1/{(s.CpuSeconds + p.CpuSeconds) / a.CpuSeconds:0.0} | {a.PeakMegabytes:0} | {p.PeakMegabytes:0} | {equal} |"));
        }
        return 0;
    }

    /// <summary>Peak memory beside the size of the file; the last may be a pipe.</summary>
    private static int Memory(string cli, string binary, string[] files)
    {
        Console.WriteLine("| file | size, MB | seconds | peak MB |");
        Console.WriteLine("|---|---:|---:|---:|");
        foreach (string file in files)
        {
            long size = new FileInfo(file).Length;
            Measurement run =
                MeasuredProcess.Run(cli, "generate", "--binary", binary, "--perf-data", file, "--format", "text", "-o", file + ".out");
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"| {Path.GetFileName(file)} | {(size == 0 ? "pipe" : $"{size / 1e6:0}")} | {run.Seconds:0.0} | {run.PeakMegabytes:0} |"));
        }
        return 0;
    }
}
