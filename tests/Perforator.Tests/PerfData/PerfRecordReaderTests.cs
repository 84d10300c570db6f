using System.Buffers.Binary;
using System.Text;
using Perforator.Branches;
using Perforator.PerfData;

namespace Perforator.Tests.PerfData;

public class PerfRecordReaderTests
{
    private static readonly PerfRecordLayout BranchStacks = new(new PerfEventAttributes
    {
        SampleType = PerfSampleType.PERF_SAMPLE_IDENTIFIER | PerfSampleType.PERF_SAMPLE_IP | PerfSampleType.PERF_SAMPLE_TID
            | PerfSampleType.PERF_SAMPLE_TIME | PerfSampleType.PERF_SAMPLE_CPU | PerfSampleType.PERF_SAMPLE_BRANCH_STACK,
        BranchSampleType = PerfBranchSampleType.PERF_SAMPLE_BRANCH_ANY | PerfBranchSampleType.PERF_SAMPLE_BRANCH_HW_INDEX,
        Flags = PerfAttributeFlags.SampleIdAll,
    });

    private sealed class Log : IBranchSink
    {
        public List<string> Lines { get; } = [];

        public void OnMapping(Mapping m) =>
            Lines.Add($"map {m.ProcessId} {m.Start} {m.Length:x} {m.Offset} {m.Path} {m.BuildId} @{m.Time}");

        public void OnFork(int processId, int parentProcessId) => Lines.Add($"fork {processId} of {parentProcessId}");

        public void OnExec(int processId) => Lines.Add($"exec {processId}");

        public void OnExit(int processId) => Lines.Add($"exit {processId}");

        public void OnSample(in BranchSample s) =>
            Lines.Add($"sample {s.ProcessId}/{s.ThreadId} @{s.Time} {s.InstructionPointer} {string.Join(' ', s.Stack.ToArray().Select(e =>
                $"{e.From}>{e.To}:{e.Flags}"))}");

        public void OnLost(string reason, ulong count) => Lines.Add($"lost {count} {reason}");
    }

    private static byte[] Record(PerfRecordType type, PerfRecordMisc misc, params object[] fields)
    {
        MemoryStream body = new();
        foreach (object field in fields)
            body.Write(field switch
            {
                int i => BitConverter.GetBytes(i),
                uint u => BitConverter.GetBytes(u),
                ulong u => BitConverter.GetBytes(u),
                byte[] b => b,
                string s => Encoding.UTF8.GetBytes(s.PadRight((s.Length / 8 + 1) * 8, '\0')),
                _ => throw new ArgumentException(field.ToString()),
            });
        byte[] record = new byte[8 + body.Length];
        BinaryPrimitives.WriteUInt32LittleEndian(record, (uint)type);
        BinaryPrimitives.WriteUInt16LittleEndian(record.AsSpan(4), (ushort)misc);
        BinaryPrimitives.WriteUInt16LittleEndian(record.AsSpan(6), (ushort)record.Length);
        body.ToArray().CopyTo(record, 8);
        return record;
    }

    /// <summary>The sample_id of a record that is no sample: pid, tid, time, cpu, identifier.</summary>
    private static object[] SampleId(ulong time) => [7, 7, time, 0UL, 99UL];

    private static byte[] Sample(ulong time, params ulong[] stackWords) => Record(
        PerfRecordType.PERF_RECORD_SAMPLE, PerfRecordMisc.PERF_RECORD_MISC_USER,
        [99UL, 0x40UL, 7, 8, time, 0UL, (ulong)(stackWords.Length / 3), 0UL, .. stackWords.Select(w => (object)w)]);

    private static string Read(byte[] record)
    {
        Log log = new();
        new PerfRecordReader(log).Read(record, BranchStacks);
        return string.Join('\n', log.Lines);
    }

    [Fact]
    public void A_branch_stack_is_read_with_its_flags() => Assert.Equal(
        "sample 7/8 @5 0x40 0x40>0x10:Mispredicted 0x30>0x20:Predicted, SpeculativeWrongPath",
        Read(Sample(5, 0x40, 0x10, 1, 0x30, 0x20, 2 | 1 << 24)));

    [Fact]
    public void Mappings_forks_execs_and_losses_are_told()
    {
        Assert.Equal("map 7 0x1000 2000 +0x3000 /bin/x 0102030405060708090a0b0c0d0e0f1011121314 @5", Read(Record(
            PerfRecordType.PERF_RECORD_MMAP2, PerfRecordMisc.PERF_RECORD_MISC_USER | PerfRecordMisc.PERF_RECORD_MISC_MMAP_BUILD_ID,
            [7, 7, 0x1000UL, 0x2000UL, 0x3000UL,
                new byte[] { 20, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20 },
                5u, 2u, "/bin/x", .. SampleId(5)])));
        Assert.Equal("map 7 0x1000 2000 +0x3000 /bin/x  @5", Read(Record(
            PerfRecordType.PERF_RECORD_MMAP2, PerfRecordMisc.PERF_RECORD_MISC_USER,
            [7, 7, 0x1000UL, 0x2000UL, 0x3000UL, new byte[24], 5u, 2u, "/bin/x", .. SampleId(5)])));
        Assert.Equal("map 7 0x1000 2000 +0x3000   @5", Read(Record(
            PerfRecordType.PERF_RECORD_MMAP2, PerfRecordMisc.PERF_RECORD_MISC_USER,
            [7, 7, 0x1000UL, 0x2000UL, 0x3000UL, new byte[24], 1u, 2u, "/not/executable", .. SampleId(5)])));
        Assert.Equal("fork 9 of 7", Read(Record(PerfRecordType.PERF_RECORD_FORK, default, [9, 7, 9, 7, 5UL, .. SampleId(5)])));
        Assert.Equal("", Read(Record(PerfRecordType.PERF_RECORD_FORK, default, [7, 7, 9, 7, 5UL, .. SampleId(5)])));
        Assert.Equal(
            "exec 7", Read(
                Record(PerfRecordType.PERF_RECORD_COMM, PerfRecordMisc.PERF_RECORD_MISC_COMM_EXEC, [7, 7, "x", .. SampleId(5)])));
        Assert.Equal("exit 7", Read(Record(PerfRecordType.PERF_RECORD_EXIT, default, [7, 1, 7, 1, 5UL, .. SampleId(5)])));
        Assert.Equal("", Read(Record(PerfRecordType.PERF_RECORD_EXIT, default, [7, 1, 8, 1, 5UL, .. SampleId(5)])));
        Assert.Equal(
            $"lost 12 {PerfRecordReader.RingFull}", Read(Record(PerfRecordType.PERF_RECORD_LOST, default, [99UL, 12UL, .. SampleId(5)])));
        Assert.Equal($"lost 1 {PerfRecordReader.UnknownRecord}", Read(Record((PerfRecordType)60, default, [.. SampleId(5)])));
    }

    private static byte[] Task(PerfRecordType type, int process, int parent, int thread) =>
        Record(type, default, [process, parent, thread, parent, 5UL, .. SampleId(5)]);

    /// <summary>A recording that begins while a program runs hears of no thread that there was before.</summary>
    [Fact]
    public void A_process_goes_on_while_a_thread_may_run_that_was_there_before()
    {
        Log log = new();
        PerfRecordReader reader = new(log);
        void Read(byte[] record) => reader.Read(record, BranchStacks);

        Read(Task(PerfRecordType.PERF_RECORD_FORK, 9, 9, 10));
        Read(Task(PerfRecordType.PERF_RECORD_EXIT, 9, 1, 10));
        Read(Task(PerfRecordType.PERF_RECORD_EXIT, 9, 1, 11));
        Assert.Empty(log.Lines);
        Read(Task(PerfRecordType.PERF_RECORD_EXIT, 9, 1, 9));
        Assert.Equal(["exit 9"], log.Lines);

        // Told of its threads, it outlives the main one.
        log.Lines.Clear();
        foreach (int thread in (int[])[19, 20, 21])
            reader.AddThread(19, thread);
        foreach (int thread in (int[])[20, 19, 22])
            Read(Task(PerfRecordType.PERF_RECORD_EXIT, 19, 1, thread));
        Assert.Empty(log.Lines);
        Read(Task(PerfRecordType.PERF_RECORD_EXIT, 19, 1, 21));
        Assert.Equal(["exit 19"], log.Lines);
    }

    [Fact]
    public void A_record_cut_anywhere_is_counted_and_does_no_harm()
    {
        byte[] sample = Sample(5, 0x40, 0x10, 1, 0x30, 0x20, 2);
        for (int length = 0; length < sample.Length; length++)
            Assert.Equal($"lost 1 {PerfRecordReader.MalformedRecord}", Read(sample[..length]));
        byte[] huge = Sample(5);
        BinaryPrimitives.WriteUInt64LittleEndian(huge.AsSpan(48), ulong.MaxValue / 24 + 1);
        Assert.Equal($"lost 1 {PerfRecordReader.MalformedRecord}", Read(huge));
    }

    [Fact]
    public void Records_of_several_buffers_come_out_in_time_order()
    {
        List<ulong> times = [];
        PerfRecordQueue queue = new();
        void Take(ReadOnlySpan<byte> record, PerfRecordLayout layout) => times.Add(layout.Time(record, PerfRecordType.PERF_RECORD_SAMPLE));

        // One CPU's buffer is read before another CPU writes an older record than the first one's newest.
        foreach (ulong time in (ulong[])[10, 30, 20])
            queue.Add(Sample(time), BranchStacks);
        queue.FinishRound(Take);
        Assert.Empty(times);
        foreach (ulong time in (ulong[])[40, 25])
            queue.Add(Sample(time), BranchStacks);
        queue.FinishRound(Take);
        Assert.Equal([10, 20, 25, 30], times);
        queue.Finish(Take);
        Assert.Equal([10, 20, 25, 30, 40], times);
        Assert.Equal(0, queue.Pending);
    }

    /// <summary>What is equally old comes in the order of arrival, across rounds too, and what comes too late is counted.</summary>
    [Fact]
    public void Records_of_one_time_keep_their_order_and_late_ones_are_counted()
    {
        List<ulong> taken = [];
        PerfRecordQueue queue = new();
        void Take(ReadOnlySpan<byte> record, PerfRecordLayout layout) => taken.Add(BinaryPrimitives.ReadUInt64LittleEndian(record[64..]));
        void Add(ulong time, ulong mark) => queue.Add(Sample(time, mark, 0, 0), BranchStacks);

        Add(10, 1);
        Add(20, 2);
        Add(20, 3);
        queue.FinishRound(Take);
        Add(20, 4);
        Add(15, 5);
        Add(30, 6);
        queue.FinishRound(Take);
        Assert.Equal([1UL, 5, 2, 3, 4], taken);
        Assert.Equal((1, 0UL), (queue.Pending, queue.Late));
        Add(12, 7);
        queue.Finish(Take);
        Assert.Equal([1UL, 5, 2, 3, 4, 7, 6], taken);
        Assert.Equal((0, 1UL), (queue.Pending, queue.Late));
    }

    [Fact]
    public void Attributes_survive_writing_and_reading()
    {
        PerfEventAttributes attributes = new()
        {
            Type = PerfEventAttributes.PERF_TYPE_RAW,
            Config = 0x20c4,
            SamplePeriod = 100_003,
            SampleType = PerfSampleType.PERF_SAMPLE_BRANCH_STACK,
            BranchSampleType = PerfBranchSampleType.PERF_SAMPLE_BRANCH_ANY | PerfBranchSampleType.PERF_SAMPLE_BRANCH_USER,
            Flags = PerfAttributeFlags.SampleIdAll | PerfAttributeFlags.BuildId,
            WakeUp = 4096,
            Config1 = 3,
            Config2 = 4,
            ReadFormat = PerfReadFormat.PERF_FORMAT_GROUP,
            ClockId = 1,
        };
        Assert.Equal(attributes, PerfEventAttributes.Parse(attributes.ToBytes()));
    }
}
