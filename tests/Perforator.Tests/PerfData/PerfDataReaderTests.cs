using System.Text.RegularExpressions;
using Perforator.PerfData;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.PerfData;

/// <summary>Files that this machine's perf makes, in each of its modes, read by us and by perf script.</summary>
public sealed partial class PerfDataReaderTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    /// <summary>Several processes that fork and exec while they are recorded.</summary>
    private const string Load = "for i in 1 2 3 4 5 6 7 8; do awk 'BEGIN { for (i = 0; i < 200000; i++) s += i }' & done; wait";

    [SkippableTheory]
    [InlineData("file", "-e cpu-clock -c 500000 -o {0} --")]
    [InlineData("compressed", "-z -e cpu-clock -c 500000 -o {0} --")]
    [InlineData("several events", "-e cpu-clock -e task-clock -c 500000 -o {0} --")]
    [InlineData("callchains and registers", "-g --user-regs=ip,sp -d --phys-data --data-page-size -W -e cpu-clock -c 500000 -o {0} --")]
    [InlineData("whole machine", "-a -e cpu-clock -c 1000000 -o {0} --")]
    [InlineData("build ids in mappings", "--buildid-mmap -e cpu-clock -c 500000 -o {0} --")]
    [InlineData("small buffers", "-m 2 -e cpu-clock -c 500000 -o {0} --")]
    [InlineData("other events", "-e cpu-clock -c 500000 -e context-switches -o {0} --")]
    public void A_real_file_gives_perf_scripts_samples_and_mappings(string mode, string arguments)
    {
        Tool.Require("perf");
        string file = folder[$"{mode.Replace(' ', '-')}.perf.data"];
        Record(string.Format(arguments, file));
        Compare(file, mode);
    }

    [SkippableFact]
    public void A_pipe_gives_perf_scripts_samples_and_mappings()
    {
        Tool.Require("perf");
        string file = folder["pipe.perf.data"];
        PerfRecord.RunPiped(folder, file, "-e", "cpu-clock", "-c", "500000", "--", "sh", "-c", Load);
        Compare(file, "pipe");

        // The same bytes through a stream that cannot seek.
        SinkLog whole = new(), piped = new();
        new PerfDataReader(whole).ReadFile(file);
        using FileStream bytes = File.OpenRead(file);
        new PerfDataReader(piped).Read(new Unseekable(bytes));
        Assert.Equal(whole.Lines, piped.Lines);
    }

    [SkippableFact]
    public void A_file_that_a_killed_perf_left_is_read_to_its_end()
    {
        Tool.Require("perf");
        string file = folder["whole.perf.data"];
        Record($"-e cpu-clock -c 500000 -o {file} --");
        byte[] bytes = File.ReadAllBytes(file);
        BitConverter.GetBytes(0UL).CopyTo(bytes, 48);
        SinkLog whole = new(), left = new();
        new PerfDataReader(whole).ReadFile(file);
        new PerfDataReader(left).Read(
            new MemoryStream(bytes[..(int)(BitConverter.ToUInt64(bytes, 40) + BitConverter.ToUInt64(File.ReadAllBytes(file), 48))]));
        Assert.Equal(whole.Lines.Count, left.Lines.Count);
        Assert.Equal(0UL, left.Losses.Total);
    }

    private void Record(string arguments) =>
        PerfRecord.Run(folder, [.. arguments.Split(' '), "sh", "-c", Load]);

    private static void Compare(string file, string mode)
    {
        SinkLog log = new();
        PerfDataSummary summary = new PerfDataReader(log).ReadFile(file);

        string script =
            Tool.Run("perf", ["script", "-i", file, "-F", "pid,tid,time,event,ip", "--ns", "--show-mmap-events"]).Succeeded().Output;
        List<string> expected = [], mappings = [];
        foreach (string line in script.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            if (MappingLine().Match(line) is { Success: true } map)
            {
                if (map.Groups[1].Value != "-1" && map.Groups["prot"].Value.Contains('x'))
                    mappings.Add($"{map.Groups[1]} 0x{map.Groups[2]} 0x{map.Groups[3]} {map.Groups["path"]}");
            }
            else if (SampleLine().Match(line) is { Success: true } sample)
            {
                expected.Add($"{sample.Groups[1]}/{sample.Groups[2]} @{sample.Groups[3]}{sample.Groups[4]} 0x{sample.Groups[5]}");
            }
        }
        List<string> samples = [.. log.Lines.Where(line => line.StartsWith("sample", StringComparison.Ordinal)).Select(line => line[7..])];
        if (mode == "callchains and registers")
        {
            // perf prints the callchain in place of the address.
            Assert.NotEmpty(samples);
        }
        else
        {
            Assert.True(expected.Count > 20, $"{mode}: only {expected.Count} samples");
            // perf lists no sample of a thread that has given up its id while it ends.
            Assert.Equal(expected.Order(), samples.Where(static sample => !EndedThread().IsMatch(sample)).Order());
        }
        Assert.Equal(
            mappings.Order(),
            log.Lines.Select(line => OurMapping().Match(line)).Where(map => map.Success && map.Groups["path"].Value != "")
                .Select(map => $"{map.Groups[1]} 0x{map.Groups[2]} 0x{map.Groups[3]} {map.Groups["path"]}").Order());
        Assert.Equal(0UL, log.Losses[PerfRecordReader.MalformedRecord]);
        Assert.Equal(0UL, log.Losses[PerfDataReader.DamagedHeader]);
        Assert.Equal(0UL, log.Losses[PerfDataReader.Truncated]);
        Assert.Equal(0UL, log.Losses[PerfRecordReader.UnknownRecord]);
        Assert.Equal(0UL, log.Losses[PerfDataReader.OutOfOrder]);
        Assert.Equal((ulong)samples.Count, summary.AddressSamples);
        Assert.Equal(Environment.MachineName, summary.HostName);
        Assert.Contains(log.Lines, line => line.StartsWith("fork", StringComparison.Ordinal));
        Assert.Contains(log.Lines, line => line.StartsWith("exec", StringComparison.Ordinal));
        Assert.Contains(log.Lines, line => line.StartsWith("exit", StringComparison.Ordinal));

        // Samples come in time order, and so does what they are attributed by.
        List<ulong> times = [.. samples.Select(sample => ulong.Parse(TimeOf().Match(sample).Groups[1].Value))];
        Assert.Equal(times.Order(), times);
    }

    [GeneratedRegex(@"^(\d+/)?(-1|4294967295)[/ ]")]
    private static partial Regex EndedThread();

    [GeneratedRegex(@"PERF_RECORD_MMAP2? (-?\d+)/-?\d+: \[0x([0-9a-f]+)\(0x[0-9a-f]+\) @ (?:0x)?([0-9a-f]+)[^\]]*\]: (?<prot>\S+) (?<path>.*)$")]
    private static partial Regex MappingLine();

    [GeneratedRegex(@"^\s*(\d+)/(\d+)\s+(\d+)\.(\d+):\s+(?:cpu|task)-clock\S*\s+([0-9a-f]+)\s*$")]
    private static partial Regex SampleLine();

    [GeneratedRegex(@"^map (\d+) 0x([0-9a-f]+)-0x[0-9a-f]+ \+0x([0-9a-f]+) (?<path>.*?)( [0-9a-f]{16,40})?$")]
    private static partial Regex OurMapping();

    [GeneratedRegex(@"@(\d+)")]
    private static partial Regex TimeOf();

    private sealed class Unseekable(Stream inner) : Stream
    {
        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

        public override int Read(byte[] buffer, int offset, int count) => inner.Read(buffer, offset, Math.Min(count, 1000));

        public override void Flush() { }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }
}
