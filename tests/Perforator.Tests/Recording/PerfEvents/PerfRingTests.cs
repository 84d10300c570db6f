using System.Buffers.Binary;
using Perforator.Branches;
using Perforator.PerfData;
using Perforator.Recording.PerfEvents;

namespace Perforator.Tests.Recording.PerfEvents;

/// <summary>Rings constructed in memory, as the kernel would leave them, since this machine's CPU need not have branch records.</summary>
public sealed unsafe class PerfRingTests : IDisposable
{
    private const int Size = 4096;

    private static readonly PerfRecordLayout Layout = new(new PerfEventAttributes
    {
        SampleType = PerfSampleType.PERF_SAMPLE_TID | PerfSampleType.PERF_SAMPLE_TIME | PerfSampleType.PERF_SAMPLE_BRANCH_STACK,
        BranchSampleType = PerfBranchSampleType.PERF_SAMPLE_BRANCH_ANY,
    });

    private readonly byte[] metadata = GC.AllocateArray<byte>(4096, pinned: true);
    private readonly byte[] data = GC.AllocateArray<byte>(Size, pinned: true);
    private readonly PerfRing ring;
    private ulong head;

    public PerfRingTests() => ring = new PerfRing((byte*)System.Runtime.CompilerServices.Unsafe.AsPointer(ref metadata[0]),
        (byte*)System.Runtime.CompilerServices.Unsafe.AsPointer(ref data[0]), Size);

    public void Dispose() => ring.Dispose();

    private ulong Tail => BinaryPrimitives.ReadUInt64LittleEndian(metadata.AsSpan(PerfRing.DataTail));

    /// <summary>What the kernel does: write at the head, wrapping around, then move the head.</summary>
    private void Write(ReadOnlySpan<byte> record)
    {
        Assert.True(head + (ulong)record.Length - Tail <= Size, "the kernel never overwrites what was not read");
        foreach (byte b in record)
            data[head++ & (Size - 1)] = b;
        BinaryPrimitives.WriteUInt64LittleEndian(metadata.AsSpan(PerfRing.DataHead), head);
    }

    private static byte[] Sample(ulong time, int branches)
    {
        byte[] record = new byte[8 + 8 + 8 + 8 + 24 * branches];
        BinaryPrimitives.WriteUInt32LittleEndian(record, (uint)PerfRecordType.PERF_RECORD_SAMPLE);
        BinaryPrimitives.WriteUInt16LittleEndian(record.AsSpan(6), (ushort)record.Length);
        BinaryPrimitives.WriteInt32LittleEndian(record.AsSpan(8), 7);
        BinaryPrimitives.WriteInt32LittleEndian(record.AsSpan(12), 8);
        BinaryPrimitives.WriteUInt64LittleEndian(record.AsSpan(16), time);
        BinaryPrimitives.WriteUInt64LittleEndian(record.AsSpan(24), (ulong)branches);
        for (int i = 0; i < branches; i++)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(record.AsSpan(32 + 24 * i), time * 1000 + (ulong)i);
            BinaryPrimitives.WriteUInt64LittleEndian(record.AsSpan(40 + 24 * i), time * 2000 + (ulong)i);
        }
        return record;
    }

    private sealed class Stacks : IBranchSink
    {
        public List<(ulong Time, BranchEntry[] Stack)> Samples { get; } = [];

        public void OnMapping(Mapping mapping) { }

        public void OnFork(int processId, int parentProcessId) { }

        public void OnExec(int processId) { }

        public void OnExit(int processId) { }

        public void OnSample(in BranchSample sample) => Samples.Add((sample.Time, sample.Stack.ToArray()));

        public void OnLost(string reason, ulong count) => Assert.Fail(reason);
    }

    [Fact]
    public void Branch_stacks_come_through_whole_however_often_the_ring_wraps_around()
    {
        Stacks stacks = new();
        PerfRecordReader reader = new(stacks);
        ulong written = 0;
        for (int round = 0; round < 200; round++)
        {
            int count = 1 + round % 4;
            for (int i = 0; i < count; i++)
                Write(Sample(++written, 1 + (int)(written * 7 % 32)));
            Assert.NotEqual(0UL, ring.Read(reader.Read, Layout));
            Assert.Equal(head, Tail);
        }
        Assert.Equal(0UL, ring.Read(reader.Read, Layout));

        Assert.True(head > 20 * Size);
        Assert.Equal(Enumerable.Range(1, (int)written).Select(i => (ulong)i), stacks.Samples.Select(s => s.Time));
        Assert.All(stacks.Samples, s =>
        {
            Assert.Equal(1 + (int)(s.Time * 7 % 32), s.Stack.Length);
            for (int i = 0; i < s.Stack.Length; i++)
                Assert.Equal(new(new(s.Time * 1000 + (ulong)i), new(s.Time * 2000 + (ulong)i)), s.Stack[i]);
        });
    }

    [Theory]
    [InlineData(0)]
    [InlineData(4)]
    [InlineData(4000)]
    public void Contents_that_are_no_records_are_skipped_and_the_ring_goes_on(ushort size)
    {
        Stacks stacks = new();
        PerfRecordReader reader = new(stacks);
        byte[] bad = Sample(1, 2);
        BinaryPrimitives.WriteUInt16LittleEndian(bad.AsSpan(6), size);
        Write(bad);
        Assert.Throws<InvalidDataException>(() => ring.Read(reader.Read, Layout));
        Write(Sample(2, 2));
        ring.Read(reader.Read, Layout);
        Assert.Equal([2UL], stacks.Samples.Select(s => s.Time));
    }
}
