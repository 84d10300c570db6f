using System.IO.Compression;
using Perforator.Benchmarks;
using Perforator.Branches;
using Perforator.Bytes;
using Perforator.Elf;
using Perforator.Pprof;
using Perforator.Tests.Infrastructure;
using Perforator.Tests.PerfData;

namespace Perforator.Tests.Pprof;

public sealed class PprofReaderTests(WalkedProgram program) : IClassFixture<WalkedProgram>
{
    private readonly SinkLog log = new();

    /// <summary>Two processes at other addresses; offsets as the agents write them, and as other tools do.</summary>
    [Theory]
    [InlineData(true, "plain", true)]
    [InlineData(false, "plain", false)]
    [InlineData(true, "gzip", false)]
    [InlineData(true, "zstd", true)]
    public void The_profile_is_that_of_the_stacks(bool agentsOffset, string compression, bool packed)
    {
        PprofBytes pprof = new("lbr", "stacks", packed);
        LoadSegment code = program.Elf.LoadSegments.First(segment => segment.IsExecutable);
        ulong[] biases = [0x555555554000, 0x555555555000];
        BranchWalker walk = new(program.Elf, seed: 3) { StaysInside = true };
        BranchAggregator expected = new(new WalkedProgram.Resolver(program.Module));
        expected.OnMapping(walk.MappingOf(code, BranchAggregator.AnyProcess, program.Binary));
        for (ulong id = 1; id <= 2; id++)
        {
            walk.Bias = biases[id - 1];
            Mapping mapping = walk.MappingOf(code, 7, program.Binary);
            ulong offset = agentsOffset ? mapping.Start.Value - biases[id - 1] : mapping.Offset.Value;
            pprof.Mapping(id, mapping.Start.Value, mapping.End.Value, offset, "/path/elsewhere", program.Elf.BuildId.ToString());
        }
        for (int i = 0; i < 200; i++)
        {
            ulong id = 1 + (ulong)i % 2;
            ulong bias = walk.Bias = biases[id - 1];
            (ulong From, ulong To)[] stack = walk.NextStack().ToArray();
            pprof.Sample(
                1 + i % 3, [.. stack.SelectMany(branch => new[] { pprof.Location(id, branch.From), pprof.Location(id, branch.To) })]);
            expected.OnSample(new BranchSample
            {
                ProcessId = BranchAggregator.AnyProcess,
                ThreadId = 0,
                Stack = stack.Select(branch => new BranchEntry(new(branch.From - bias), new(branch.To - bias))).ToArray(),
                Weight = (ulong)(1 + i % 3),
            });
        }

        BranchAggregator aggregator = new(new WalkedProgram.Resolver(program.Module));
        PprofReader reader = new(aggregator, new WalkedProgram.Resolver(program.Module));
        reader.Read(Compress(pprof.ToArray(), compression));
        BranchProfile profile = Assert.Single(aggregator.Profiles.Values), wanted = Assert.Single(expected.Profiles.Values);
        Assert.Equal(200UL, reader.Samples);
        Assert.Equal(wanted.Branches.Sorted(), profile.Branches.Sorted());
        Assert.Equal(wanted.Ranges.Sorted(), profile.Ranges.Sorted());
        Assert.Equal(wanted.Samples, profile.Samples);
    }

    private static byte[] Compress(byte[] message, string compression)
    {
        if (compression == "zstd")
            return Zstandard.Compress(message);
        if (compression == "plain")
            return message;
        using MemoryStream bytes = new();
        using (GZipStream gzip = new(bytes, CompressionLevel.Fastest, leaveOpen: true))
            gzip.Write(message);
        return bytes.ToArray();
    }

    [Theory]
    [InlineData(0, new long[] { 1, 2, 5 }, new ulong[] { 1, 2, 5 })]
    [InlineData(0, new long[] { 400, 800, 400 }, new ulong[] { 1, 2, 1 })]
    [InlineData(100, new long[] { 400, 800, 500 }, new ulong[] { 4, 8, 5 })]
    [InlineData(0, new long[] { 1009, 887, 1201 }, new ulong[] { 1, 1, 1 })] // counts of events
    [InlineData(0, new long[] { 0, 0, 0 }, new ulong[] { 1, 1, 1 })]
    public void Values_are_used_as_far_as_they_count_stacks(long period, long[] values, ulong[] weights)
    {
        PprofBytes pprof = new("lbr", "stacks");
        pprof.Mapping(1, 0x1000, 0x9000, 0, "/bin/a", "");
        foreach (long value in values)
            pprof.Sample(value, pprof.Location(1, 0x1000 + 0x10 * (ulong)Math.Abs(value)), pprof.Location(1, 0x1001));
        Weights sink = new();
        PprofReader reader = new(sink, new WalkedProgram.Resolver(program.Module));
        reader.Read(pprof.ToArray(period));
        Assert.Equal(weights, sink.Seen);
        Assert.NotEmpty(reader.WeightNote);
    }

    [Fact]
    public void Kernel_addresses_odd_stacks_and_strays_are_dropped_and_counted()
    {
        PprofBytes pprof = new("lbr", "stacks");
        pprof.Mapping(1, 0x1000, 0x9000, 0, "/bin/a", "");
        pprof.Mapping(2, 0, 0, 0xffffffffffff0000, "[kernel]", "");
        pprof.Mapping(3, 0x9000, 0x1000, 0, "/bin/backwards", "");
        pprof.Sample(
            1, pprof.Location(1, 0x1010), pprof.Location(2, 0xffffffff81000000), pprof.Location(1, 0x9000), pprof.Location(0, 0x1010));
        pprof.Sample(1, pprof.Location(1, 0x1010));
        pprof.Sample(1);
        pprof.Sample(1, 77, 78);
        pprof.Sample(-5, pprof.Location(1, 0x1010), pprof.Location(1, 0x1012));
        new PprofReader(log, new WalkedProgram.Resolver(program.Module)).Read(pprof.ToArray());
        Assert.Equal(["map 0 0x10000000-0x10008000 +0x0 /bin/a", "sample 0/0 @0 0x0 0x10000010>0x0 0x0>0x0"], log.Lines);
        Assert.Equal(2UL, log.Losses[PprofReader.OddStack]);
        Assert.Equal(1UL, log.Losses[PprofReader.UnknownLocation]);
        Assert.Equal(1UL, log.Losses[PprofReader.NegativeValue]);
        Assert.Equal(1UL, log.Losses[PprofReader.BadMapping]);
    }

    [Fact]
    public void A_profile_of_other_samples_says_what_it_holds()
    {
        MalformedInputException e = Assert.Throws<MalformedInputException>(
            () => new PprofReader(log, new WalkedProgram.Resolver(program.Module)).Read(new PprofBytes("cpu", "cycles").ToArray()));
        Assert.Contains("cpu/cycles", e.What);
    }

    [Fact]
    public void Damaged_profiles_do_no_harm()
    {
        PprofBytes pprof = new("lbr", "stacks");
        pprof.Mapping(1, 0x1000, 0x9000, 0, "/bin/a", "aabbccdd");
        for (ulong i = 0; i < 20; i++)
            pprof.Sample(
                1, pprof.Location(1, 0x1010 + i), pprof.Location(1, 0x1012 + i), pprof.Location(1, 0x1020), pprof.Location(1, 0x1008));
        DamageSweep.Run(pprof.ToArray(), file => new PprofReader(new SinkLog(), new WalkedProgram.Resolver(program.Module)).Read(file));
        DamageSweep.Run(
            Compress(pprof.ToArray(), "gzip"),
            file => new PprofReader(new SinkLog(), new WalkedProgram.Resolver(program.Module)).Read(file), damages: 300);
    }

    private sealed class Weights : IBranchSink
    {
        public List<ulong> Seen { get; } = [];

        public void OnMapping(Mapping mapping) { }

        public void OnFork(int processId, int parentProcessId) { }

        public void OnExec(int processId) { }

        public void OnExit(int processId) { }

        public void OnSample(in BranchSample sample) => Seen.Add(sample.Weight);

        public void OnLost(string reason, ulong count) => Assert.Fail(reason);
    }
}
