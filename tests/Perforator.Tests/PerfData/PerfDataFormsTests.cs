using Perforator.Branches;
using Perforator.Bytes;
using Perforator.Inputs;
using Perforator.PerfData;
using static Perforator.PerfData.PerfBranchSampleType;
using static Perforator.PerfData.PerfRecordType;
using static Perforator.PerfData.PerfSampleType;

namespace Perforator.Tests.PerfData;

/// <summary>Files of perfs, kernels and CPUs that this machine has not, built byte by byte.</summary>
public sealed class PerfDataFormsTests : IDisposable
{
    private static readonly PerfEventAttributes Branches = new()
    {
        SampleType = PERF_SAMPLE_IP | PERF_SAMPLE_TID | PERF_SAMPLE_TIME | PERF_SAMPLE_BRANCH_STACK,
        BranchSampleType = PERF_SAMPLE_BRANCH_ANY,
        Flags = PerfAttributeFlags.SampleIdAll,
    };

    private readonly SinkLog log = new();
    private readonly Infrastructure.TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    private PerfDataSummary Read(byte[] file) => new PerfDataReader(log).Read(new MemoryStream(file));

    private static byte[] Sample(uint process, ulong time, params (ulong From, ulong To)[] stack) =>
        new RecordBytes(PERF_RECORD_SAMPLE, PerfRecordMisc.PERF_RECORD_MISC_USER).U64(stack[0].To).U32(process, process)
            .U64(time, (ulong)stack.Length)
            .U64([.. stack.SelectMany(branch => new[] { branch.From, branch.To, 0UL })]).ToArray();

    private static ulong[] Trailer(uint process, ulong time) => [(ulong)process << 32 | process, time];

    private static byte[] Mmap(int process, ulong start, ulong length, ulong offset, string path, ulong time) =>
        RecordBytes.Mmap2(process, start, length, offset, path, Trailer((uint)process, time));

    [Fact]
    public void Of_several_events_those_with_branch_stacks_count_each_laid_out_its_own_way()
    {
        PerfEventAttributes cycles = new() { SampleType = PERF_SAMPLE_IDENTIFIER | PERF_SAMPLE_IP | PERF_SAMPLE_TID };
        PerfEventAttributes plain =
            cycles with { SampleType = cycles.SampleType | PERF_SAMPLE_BRANCH_STACK, BranchSampleType = PERF_SAMPLE_BRANCH_ANY };
        PerfEventAttributes counters =
            plain with { BranchSampleType = PERF_SAMPLE_BRANCH_ANY | PERF_SAMPLE_BRANCH_HW_INDEX | PERF_SAMPLE_BRANCH_COUNTERS };
        (PerfEventAttributes, ulong[])[] events = [(cycles, [11, 12]), (plain, [21, 22]), (counters, [31])];
        byte[][] records =
        [
            Of(11).ToArray(), Of(22).U64(1, 0x30, 0x10, 0).ToArray(), Of(31).U64(1, 7, 0x50, 0x40, 0, 99).ToArray(), Of(12).ToArray(),
            Of(4711).U64(0).ToArray(),
        ];
        foreach (byte[] file in new[] { PerfDataBytes.File(events, records), PerfDataBytes.Pipe(events, records) })
        {
            log.Lines.Clear();
            log.Losses.Clear();
            Assert.Equal(3, Read(file).Events);
            Assert.Equal(["sample 7/7 @0 0x10 0x30>0x10", "sample 7/7 @0 0x10 0x50>0x40"], log.Lines);
            Assert.Equal((2UL, 1UL, 3UL), (log.Losses[PerfEvents.UnusedEvent], log.Losses[PerfEvents.UnknownEvent], log.Losses.Total));
        }

        static RecordBytes Of(ulong id) =>
            new RecordBytes(PERF_RECORD_SAMPLE, PerfRecordMisc.PERF_RECORD_MISC_USER).U64(id, 0x10).U32(7, 7);
    }

    /// <summary>create_llvm_prof stops at records that it does not know (autofdo issue 108).</summary>
    [Fact]
    public void Records_and_feature_sections_of_the_future_are_skipped_and_counted()
    {
        byte[] file = PerfDataBytes.File([(Branches, [1])],
            [new RecordBytes((PerfRecordType)55).U64(1, 2, 3)
                .ToArray(), new RecordBytes((PerfRecordType)90).Bytes(1, 2, 3).ToArray(), Sample(7, 5, (0x30, 0x10))],
            (PerfDataFeatures.HEADER_HOSTNAME, PerfDataFeatures.WriteString("there")), (60, [1, 2, 3]), (200, []));
        PerfDataSummary summary = Read(file);
        Assert.Equal(["sample 7/7 @5 0x10 0x30>0x10"], log.Lines);
        Assert.Equal(("there", 2), (summary.HostName, summary.UnknownFeatures));
        Assert.Equal([new(55, 1), new(90, 1)], summary.SkippedByType);
        Assert.Equal((2UL, 2UL), (log.Losses[PerfRecordReader.UnknownRecord], log.Losses.Total));
    }

    /// <summary>The trace of Intel PT or Arm CoreSight follows its record and may hold anything, in any size.</summary>
    [Theory]
    [InlineData(24)]
    [InlineData(5 << 20)]
    public void Hardware_traces_beside_the_records_are_passed_over(int size)
    {
        byte[] trace = new byte[size];
        new Random(1).NextBytes(trace);
        byte[][] records =
        [
            new RecordBytes(PERF_RECORD_AUXTRACE_INFO).U32(1, 0).U64(1, 2, 3).ToArray(),
            Sample(7, 5, (0x30, 0x10)),
            new RecordBytes(PERF_RECORD_AUX).U64(0, (ulong)size, 0).U64(Trailer(7, 6)).ToArray(),
            [.. new RecordBytes(PERF_RECORD_AUXTRACE).U64((ulong)size, 0, 0).U32(0, 7, 1, 0).ToArray(), .. trace],
            Sample(7, 8, (0x50, 0x40)),
        ];
        Read(PerfDataBytes.File([(Branches, [1])], records));
        Read(PerfDataBytes.Pipe([(Branches, [1])], records));
        string[] expected = ["sample 7/7 @5 0x10 0x30>0x10", "sample 7/7 @8 0x40 0x50>0x40"];
        Assert.Equal([.. expected, .. expected], log.Lines);
        Assert.Equal(0UL, log.Losses.Total);
    }

    /// <summary>simpleperf's own records are larger than perf's may be: their size stands in the flags too.</summary>
    [Theory]
    [InlineData(24)]
    [InlineData(3 << 20)]
    public void Records_that_simpleperf_adds_are_passed_over(int size)
    {
        const uint KernelSymbol = 32769;
        byte[] own = new byte[size];
        new Random(1).NextBytes(own);
        BitConverter.TryWriteBytes(own, KernelSymbol);
        BitConverter.TryWriteBytes(own.AsSpan(4), (ushort)(size >> 16));
        BitConverter.TryWriteBytes(own.AsSpan(6), (ushort)size);
        PerfDataSummary summary =
            Read(PerfDataBytes.File(
                [(Branches, [1])], [own, Sample(7, 5, (0x30, 0x10)), own], (PerfDataFeatures.SIMPLE_PERF_FEAT_META_INFO, [1, 2, 3])));
        Assert.Equal(["sample 7/7 @5 0x10 0x30>0x10"], log.Lines);
        Assert.True(summary.IsSimpleperf);
        Assert.Equal([new(KernelSymbol, 2)], summary.SkippedByType);
        Assert.Equal(0UL, log.Losses.Total);
    }

    /// <summary>There is no decoder here: what is left to do stands in one line.</summary>
    [Theory]
    [InlineData(1u, false, "has a trace of Intel PT and no branch stacks, and traces are not decoded here: 'perf inject -i {0} -o decoded.perf.data --itrace=i1000il64 --strip'")]
    [InlineData(3u, false, "has a trace of Arm CoreSight ETM and no branch stacks, and traces are not decoded here: 'perf inject -i {0} -o decoded.perf.data --itrace=i1000il64 --strip'")]
    [InlineData(4u, false, "has a trace of Arm SPE and no branch stacks, and traces are not decoded here: 'perf inject -i {0} -o decoded.perf.data --itrace=bl --strip'")]
    [InlineData(3u, true, "has a trace of Arm CoreSight ETM and no branch stacks, and traces are not decoded here: 'simpleperf inject -i {0} -o counts.txt --output autofdo'")]
    public void A_recording_of_traces_alone_is_refused_with_the_command_that_decodes_it(uint type, bool bySimpleperf, string says)
    {
        byte[][] records =
        [
            new RecordBytes(PERF_RECORD_AUXTRACE_INFO).U32(type, 0).U64(1, 2, 3).ToArray(),
            [.. new RecordBytes(PERF_RECORD_AUXTRACE).U64(8, 0, 0).U32(0, 7, 1, 0).ToArray(), .. new byte[8]],
        ];
        (int, byte[])[] features = bySimpleperf ? [(PerfDataFeatures.SIMPLE_PERF_FEAT_META_INFO, [1, 2, 3])] : [];
        string path = folder["trace.perf.data"];
        System.IO.File.WriteAllBytes(path, PerfDataBytes.File([(Branches, [1])], records, features));
        using FileStream file = System.IO.File.OpenRead(path);
        UserErrorException refused = Assert.Throws<UserErrorException>(() => RecordedInput.Read(file, path, new RecordedBinaries([])));
        Assert.Contains(string.Format(System.Globalization.CultureInfo.InvariantCulture, says, path), refused.Message);
    }

    /// <summary>PERF_RECORD_COMPRESSED (Linux 5.2) and its successor with padding (6.16): one stream, cut anywhere.</summary>
    [Theory]
    [InlineData(PERF_RECORD_COMPRESSED)]
    [InlineData(PERF_RECORD_COMPRESSED2)]
    public void Compressed_records_may_be_cut_anywhere(PerfRecordType type)
    {
        byte[] records = [.. Enumerable.Range(1, 300).SelectMany(i => Sample(7, (ulong)i, ((ulong)i * 16, (ulong)i * 8)))];
        List<byte[]> pieces = [];
        foreach (byte[] piece in Zstandard.Compress(records).Chunk(37))
            pieces.Add((type == PERF_RECORD_COMPRESSED
                ? new RecordBytes(type).Bytes(piece)
                : new RecordBytes(type).U64((ulong)piece.Length).Bytes(piece).Bytes(1, 2, 3)).ToArray());
        Assert.True(pieces.Count > 3);
        Assert.Equal(300UL, Read(PerfDataBytes.File([(Branches, [1])], pieces)).BranchSamples);
        Assert.Equal("sample 7/7 @300 0x960 0x12c0>0x960", log.Lines[^1]);
        Assert.Equal(0UL, log.Losses.Total);
    }

    /// <summary>
    /// The kernel tells of mappings but not of their end: a library that dlclose unmapped is known to be gone when another is where it
    /// was. Two CPUs' buffers, read one after the other, tell it out of order.
    /// </summary>
    [Fact]
    public void Libraries_loaded_one_after_another_at_the_same_place_are_told_apart_by_time()
    {
        byte[][] records =
        [
            // CPU 0 maps, CPU 1 runs.
            Mmap(7, 0x10000, 0x4000, 0, "/lib/a.so", 10), Mmap(7, 0x12000, 0x4000, 0, "/lib/b.so", 20),
            Mmap(7, 0x10000, 0x4000, 0, "/lib/a.so", 40),
            Sample(7, 15, (0x13000, 0x10100)), Sample(7, 25, (0x13000, 0x10100)), Sample(7, 35, (0x15000, 0x12100)),
            Sample(7, 45, (0x13000, 0x10100)),
            Sample(7, 46, (0x15000, 0x14100)),
            PerfDataBytes.FinishedRound,
        ];
        BranchAggregator aggregator = new(new ByPath());
        new PerfDataReader(aggregator).Read(new MemoryStream(PerfDataBytes.File([(Branches, [1])], records)));
        BinaryAddress external = BinaryAddress.External;
        BranchProfile a = aggregator.Profiles.Values.Single(
            profile => profile.Path == "/lib/a.so"), b = aggregator.Profiles.Values.Single(profile => profile.Path == "/lib/b.so");

        // At 25 the branch comes from b, which then held 0x13000, into what is left of a.
        Assert.Equal([new(new(0x3000), new(0x100), 2, 0), new(external, new(0x100), 1, 0)], a.Branches.Sorted());
        Assert.Equal(
            [new(new(0x1000), external, 1, 0), new(new(0x3000), new(0x100), 1, 0), new(new(0x3000), new(0x2100), 1, 0)],
            b.Branches.Sorted());
    }

    /// <summary>With <c>perf record --overwrite</c> the mappings that were there before are written last, without a time.</summary>
    [Fact]
    public void Mappings_written_behind_the_samples_hold_from_the_beginning()
    {
        byte[][] records =
        [
            Sample(7, 15, (0x13000, 0x10100)), Sample(8, 16, (0x13000, 0x10100)), Mmap(7, 0x10000, 0x4000, 0, "/lib/a.so", 0),
            Mmap(8, 0x10000, 0x4000, 0, "/lib/a.so", ulong.MaxValue),
            PerfDataBytes.FinishedRound,
        ];
        BranchAggregator aggregator = new(new ByPath());
        new PerfDataReader(aggregator).Read(new MemoryStream(PerfDataBytes.File([(Branches, [1])], records)));
        Assert.Equal([new(new(0x3000), new(0x100), 2, 0)], Assert.Single(aggregator.Profiles.Values).Branches.Sorted());
        Assert.Equal(0UL, aggregator.Losses.Total);
    }

    /// <summary>
    /// Thousands of processes that live for one sample each, their ids used again (autofdo issue 138: nearly nothing was counted).
    /// </summary>
    [Fact]
    public void Many_short_processes_of_one_binary_all_count()
    {
        const int Processes = 5000;
        List<byte[]> records = [];
        ulong time = 100;
        for (int i = 0; i < Processes; i++)
        {
            int process = 1000 + i % 50;
            ulong bias = (ulong)(i + 1) << 20;
            records.Add(RecordBytes.Task(PERF_RECORD_FORK, process, 1, process, trailer: Trailer((uint)process, time++)));
            records.Add(new RecordBytes(PERF_RECORD_COMM, PerfRecordMisc.PERF_RECORD_MISC_COMM_EXEC).U32((uint)process, (uint)process)
                .Path("a").U64(Trailer((uint)process, time++)).ToArray());
            records.Add(Mmap(process, bias, 0x4000, 0, "/lib/a.so", time++));
            records.Add(Sample((uint)process, time++, (bias + 0x3000, bias + 0x100), (bias + 0x200, bias + 0x2000)));

            // Some ends are lost: the next process of that id must not have the mappings of the last.
            if (i % 3 != 0)
                records.Add(RecordBytes.Task(PERF_RECORD_EXIT, process, 1, process, trailer: Trailer((uint)process, time++)));
            if (i % 100 == 0)
                records.Add(PerfDataBytes.FinishedRound);
        }
        records.Add(
            RecordBytes.Task(PERF_RECORD_FORK, 1000 + (Processes - 2) % 50, 2, 1000 + (Processes - 2) % 50, trailer: Trailer(1, time++)));
        records.Add(
            Sample(1000 + (Processes - 2) % 50, time, (((ulong)Processes - 1 << 20) + 0x3000, ((ulong)Processes - 1 << 20) + 0x100)));
        BranchAggregator aggregator = new(new ByPath());
        new PerfDataReader(aggregator).Read(new MemoryStream(PerfDataBytes.Pipe([(Branches, [1])], records)));
        BranchProfile profile = Assert.Single(aggregator.Profiles.Values);
        Assert.Equal([new(new(0x200), new(0x2000), Processes, 0), new(new(0x3000), new(0x100), Processes, 0)], profile.Branches.Sorted());
        Assert.Equal([new(new(0x2000), new(0x3000), Processes, 0)], profile.Ranges.Sorted());
        Assert.Equal(1UL, aggregator.Losses[BranchAggregator.UnknownProcess]);
    }

    /// <summary>perf lists build ids by path, and containers have different files at the same path.</summary>
    [Fact]
    public void A_path_listed_with_two_build_ids_is_neither()
    {
        byte[] ids = [.. new[] { ("/app/server", "aa"), ("/app/server", "bb"), ("/app/client", "cc"), ("/app/client", "cc") }
            .SelectMany(pair => PerfDataFeatures.WriteBuildId(pair.Item1, BuildId.Parse(pair.Item2)))];
        Read(PerfDataBytes.File([(Branches, [1])],
            [Mmap(7, 0x10000, 0x1000, 0, "/app/server", 5), Mmap(
                7, 0x20000, 0x1000, 0, "/app/client", 6)], (PerfDataFeatures.HEADER_BUILD_ID, ids)));
        Assert.Equal(["map 7 0x10000-0x11000 +0x0", "map 7 0x20000-0x21000 +0x0 /app/client cc"], log.Lines);
        Assert.Equal((1UL, 1UL), (log.Losses[PerfRecordReader.AmbiguousBuildId], log.Losses.Total));
    }

    /// <summary>
    /// Types that say an entry is no branch (Arm BRBE, or -j any,save_type): IRQ, an instruction's fault; not a system call.
    /// </summary>
    [Fact]
    public void Interrupts_are_told_from_branches_by_their_type()
    {
        const ulong Irq = 12UL << 20, DataFault = 15UL << 20
            | 1UL << 26, DebugExit = 15UL << 20 | 5UL << 26, SystemCall = 7UL << 20, Conditional = 1UL << 20;
        Read(PerfDataBytes.File([(Branches, [1])],
            [new RecordBytes(PERF_RECORD_SAMPLE).U64(0x10).U32(7, 7)
                .U64(5, 5, 1, 2, Irq, 3, 4, DataFault, 5, 6, DebugExit, 7, 8, SystemCall, 9, 10, Conditional | 2).ToArray()]));
        Assert.Equal(["sample 7/7 @5 0x10 0x1>0x2[Interrupt] 0x3>0x4[Interrupt] 0x5>0x6 0x7>0x8 0x9>0xa[Predicted]"], log.Lines);
    }

    [Fact]
    public void A_folder_of_perf_record_with_threads_is_refused_with_what_to_do()
    {
        Directory.CreateDirectory(folder["threads.perf.data"]);
        UserErrorException e = Assert.Throws<UserErrorException>(() => new PerfDataReader(log).ReadFile(folder["threads.perf.data"]));
        Assert.Contains("record without --threads", e.Message);
    }

    /// <summary>Modules by path, 16 KB of code each.</summary>
    private sealed class ByPath : IModuleResolver
    {
        private readonly Dictionary<string, Module> modules = [];

        public Module? Resolve(Mapping mapping)
        {
            if (mapping.Path.Length == 0)
                return null;
            if (!modules.TryGetValue(mapping.Path, out Module? module))
                modules.Add(mapping.Path, module = new(
                    BuildId.Parse($"{modules.Count + 1:x2}"), mapping.Path, [new(new(0), new(0), 0x4000, 0x4000, true)]));
            return module;
        }
    }
}
