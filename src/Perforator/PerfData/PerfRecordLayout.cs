using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.InteropServices;
using Perforator.Branches;
using Perforator.Bytes;

namespace Perforator.PerfData;

/// <summary>
/// Where things lie in the records of one event: the field order of PERF_RECORD_SAMPLE and of the sample_id that ends every other
/// record follow from its attributes (perf_event_open(2), "MMAP layout").
/// </summary>
public sealed class PerfRecordLayout
{
    private readonly PerfSampleType sampleType;
    private readonly PerfReadFormat readFormat;
    private readonly bool hasHardwareIndex;
    private readonly int timeInSample;
    private readonly int idInSample;
    private readonly int timeFromEnd;
    private readonly int idFromEnd;

    public PerfRecordLayout(PerfEventAttributes attributes)
    {
        sampleType = attributes.SampleType;
        readFormat = attributes.ReadFormat;
        hasHardwareIndex = (attributes.BranchSampleType & PerfBranchSampleType.PERF_SAMPLE_BRANCH_HW_INDEX) != 0;

        timeInSample = Has(PerfSampleType.PERF_SAMPLE_TIME)
            ? PerfRecordHeader.ByteCount + 8 * Fields(PerfSampleType.PERF_SAMPLE_IDENTIFIER | PerfSampleType.PERF_SAMPLE_IP | PerfSampleType.PERF_SAMPLE_TID)
            : 0;
        idInSample = Has(PerfSampleType.PERF_SAMPLE_IDENTIFIER) ? PerfRecordHeader.ByteCount
            : Has(PerfSampleType.PERF_SAMPLE_ID)
                ? PerfRecordHeader.ByteCount + 8 * Fields(PerfSampleType.PERF_SAMPLE_IP | PerfSampleType.PERF_SAMPLE_TID
                    | PerfSampleType.PERF_SAMPLE_TIME | PerfSampleType.PERF_SAMPLE_ADDR)
                : 0;
        if ((attributes.Flags & PerfAttributeFlags.SampleIdAll) != 0)
        {
            int afterTime = Fields(PerfSampleType.PERF_SAMPLE_ID | PerfSampleType.PERF_SAMPLE_STREAM_ID | PerfSampleType.PERF_SAMPLE_CPU
                | PerfSampleType.PERF_SAMPLE_IDENTIFIER);
            TrailerSize = 8 * (afterTime + Fields(PerfSampleType.PERF_SAMPLE_TID | PerfSampleType.PERF_SAMPLE_TIME));
            timeFromEnd = Has(PerfSampleType.PERF_SAMPLE_TIME) ? 8 * (afterTime + 1) : 0;
            idFromEnd = Has(PerfSampleType.PERF_SAMPLE_IDENTIFIER) ? 8
                : Has(PerfSampleType.PERF_SAMPLE_ID) ? 8 * (1 + Fields(PerfSampleType.PERF_SAMPLE_STREAM_ID | PerfSampleType.PERF_SAMPLE_CPU))
                : 0;
        }
    }

    /// <summary>Bytes of sample_id at the end of every record that is not a sample.</summary>
    public int TrailerSize { get; }

    /// <summary>Whether samples carry branch stacks.</summary>
    public bool HasBranchStack => Has(PerfSampleType.PERF_SAMPLE_BRANCH_STACK);

    /// <summary>When the record was made, on the event's clock in nanoseconds; 0 when it does not say or is too short to.</summary>
    public ulong Time(ReadOnlySpan<byte> record, PerfRecordType type) =>
        type == PerfRecordType.PERF_RECORD_SAMPLE ? FromStart(record, timeInSample) : FromEnd(record, timeFromEnd);

    /// <summary>The id of the event that made the record; 0 when it does not say or is too short to.</summary>
    public ulong EventId(ReadOnlySpan<byte> record, PerfRecordType type) =>
        type == PerfRecordType.PERF_RECORD_SAMPLE ? FromStart(record, idInSample) : FromEnd(record, idFromEnd);

    /// <summary>Reads a PERF_RECORD_SAMPLE as far as its branch stack.</summary>
    /// <param name="record">The whole record, header included.</param>
    /// <param name="entries">Scratch space for the branch stack, grown at need and reused by the next call.</param>
    /// <exception cref="MalformedInputException">The record ends inside a field.</exception>
    public BranchSample ParseSample(ReadOnlySpan<byte> record, ref BranchEntry[] entries)
    {
        SpanReader reader = new(record, "PERF_RECORD_SAMPLE");
        reader.Skip(PerfRecordHeader.ByteCount);
        if (Has(PerfSampleType.PERF_SAMPLE_IDENTIFIER))
            reader.Skip(8);
        RuntimeAddress ip = Has(PerfSampleType.PERF_SAMPLE_IP) ? new(reader.ReadU64()) : default;
        int processId = -1, threadId = -1;
        if (Has(PerfSampleType.PERF_SAMPLE_TID))
        {
            processId = reader.ReadI32();
            threadId = reader.ReadI32();
        }
        ulong time = Has(PerfSampleType.PERF_SAMPLE_TIME) ? reader.ReadU64() : 0;
        reader.Skip(8 * (ulong)Fields(PerfSampleType.PERF_SAMPLE_ADDR | PerfSampleType.PERF_SAMPLE_ID | PerfSampleType.PERF_SAMPLE_STREAM_ID
            | PerfSampleType.PERF_SAMPLE_CPU | PerfSampleType.PERF_SAMPLE_PERIOD));
        if (Has(PerfSampleType.PERF_SAMPLE_READ))
            SkipReadValues(ref reader);
        if (Has(PerfSampleType.PERF_SAMPLE_CALLCHAIN))
            reader.Skip(8 * Bounded(reader.ReadU64(), in reader));
        if (Has(PerfSampleType.PERF_SAMPLE_RAW))
            reader.Skip(reader.ReadU32());
        int count = HasBranchStack ? ReadBranchStack(ref reader, ref entries) : 0;
        return new BranchSample
        {
            ProcessId = processId,
            ThreadId = threadId,
            Time = time,
            InstructionPointer = ip,
            Stack = entries.AsSpan(0, count),
        };
    }

    private int ReadBranchStack(ref SpanReader reader, ref BranchEntry[] entries)
    {
        ulong count = Bounded(reader.ReadU64(), in reader);
        if (hasHardwareIndex)
            reader.Skip(8);
        ReadOnlySpan<byte> bytes = reader.ReadBytes(count * 24);
        if (entries.Length < (int)count)
            entries = new BranchEntry[(int)count];
        ReadOnlySpan<ulong> words = MemoryMarshal.Cast<byte, ulong>(bytes);
        for (int i = 0; i < (int)count; i++)
            entries[i] = new(new(words[3 * i]), new(words[3 * i + 1]), Flags(words[3 * i + 2]));
        return (int)count;
    }

    /// <summary>
    /// The flags of a struct perf_branch_entry: mispred, predicted, in_tx and abort are its bits 0 to 3, spec is bits 24 and 25,
    /// where 1 is PERF_BR_SPEC_WRONG_PATH.
    /// </summary>
    internal static BranchFlags Flags(ulong word) =>
        (BranchFlags)(word & 0xf) | ((word >> 24 & 3) == 1 ? BranchFlags.SpeculativeWrongPath : BranchFlags.None);

    private void SkipReadValues(ref SpanReader reader)
    {
        int times = BitOperations.PopCount((ulong)(readFormat & (PerfReadFormat.PERF_FORMAT_TOTAL_TIME_ENABLED | PerfReadFormat.PERF_FORMAT_TOTAL_TIME_RUNNING)));
        int perValue = 1 + BitOperations.PopCount((ulong)(readFormat & (PerfReadFormat.PERF_FORMAT_ID | PerfReadFormat.PERF_FORMAT_LOST)));
        ulong values = (readFormat & PerfReadFormat.PERF_FORMAT_GROUP) != 0 ? Bounded(reader.ReadU64(), in reader) : 1;
        reader.Skip(8 * ((ulong)times + values * (ulong)perValue));
    }

    /// <summary>A count of words that the rest of the record can hold, so that multiplying it cannot overflow.</summary>
    private static ulong Bounded(ulong count, in SpanReader reader) =>
        count <= (ulong)reader.Remaining / 8 ? count : throw reader.Malformed($"{count} entries do not fit the record");

    private bool Has(PerfSampleType field) => (sampleType & field) != 0;

    private int Fields(PerfSampleType fields) => BitOperations.PopCount((ulong)(sampleType & fields));

    private static ulong FromStart(ReadOnlySpan<byte> record, int offset) =>
        offset != 0 && record.Length >= offset + 8 ? BinaryPrimitives.ReadUInt64LittleEndian(record[offset..]) : 0;

    private static ulong FromEnd(ReadOnlySpan<byte> record, int offset) =>
        offset != 0 && record.Length >= offset + PerfRecordHeader.ByteCount ? BinaryPrimitives.ReadUInt64LittleEndian(record[^offset..]) : 0;
}
