using System.Buffers.Binary;

namespace Perforator.PerfData;

/// <summary>
/// Where the fields of one event's records lie (perf_event_open(2), "MMAP layout"). The leading fields of a sample and the
/// sample_id that ends every other record have fixed places, which depend on sample_type alone.
/// </summary>
public sealed class PerfRecordLayout
{
    private readonly int idInSample;
    private readonly int idFromEnd;
    private readonly int timeFromEnd;
    private readonly int period;
    private readonly ulong ordinaryPeriod;

    /// <param name="attributes">The event.</param>
    /// <param name="ordinaryPeriod">The period of samples that count once: one that was n times as long counts n times. 0: all count
    /// once.</param>
    public PerfRecordLayout(PerfEventAttributes attributes, ulong ordinaryPeriod = 0)
    {
        Attributes = attributes;
        this.ordinaryPeriod = ordinaryPeriod;
        int next = PerfRecordHeader.ByteCount;
        int identifier = Place(PerfSampleType.PERF_SAMPLE_IDENTIFIER);
        Ip = Place(PerfSampleType.PERF_SAMPLE_IP);
        Tid = Place(PerfSampleType.PERF_SAMPLE_TID);
        TimeInSample = Place(PerfSampleType.PERF_SAMPLE_TIME);
        Place(PerfSampleType.PERF_SAMPLE_ADDR);
        int id = Place(PerfSampleType.PERF_SAMPLE_ID);
        Place(PerfSampleType.PERF_SAMPLE_STREAM_ID);
        Place(PerfSampleType.PERF_SAMPLE_CPU);
        period = Place(PerfSampleType.PERF_SAMPLE_PERIOD);
        idInSample = identifier != 0 ? identifier : id;
        Variable = next;

        if ((attributes.Flags & PerfAttributeFlags.SampleIdAll) == 0)
            return;

        // Back from the end: IDENTIFIER, CPU, STREAM_ID, ID, TIME, TID.
        next = 0;
        identifier = PlaceFromEnd(PerfSampleType.PERF_SAMPLE_IDENTIFIER);
        PlaceFromEnd(PerfSampleType.PERF_SAMPLE_CPU);
        PlaceFromEnd(PerfSampleType.PERF_SAMPLE_STREAM_ID);
        id = PlaceFromEnd(PerfSampleType.PERF_SAMPLE_ID);
        timeFromEnd = PlaceFromEnd(PerfSampleType.PERF_SAMPLE_TIME);
        PlaceFromEnd(PerfSampleType.PERF_SAMPLE_TID);
        idFromEnd = identifier != 0 ? identifier : id;
        TrailerSize = next;

        int Place(PerfSampleType field)
        {
            if (!attributes.Has(field))
                return 0;
            next += sizeof(ulong);
            return next - sizeof(ulong);
        }

        int PlaceFromEnd(PerfSampleType field) => attributes.Has(field) ? next += sizeof(ulong) : 0;
    }

    /// <summary>The event these records are of.</summary>
    public PerfEventAttributes Attributes { get; }

    /// <summary>Size of what ends each record other than a sample, in bytes.</summary>
    public int TrailerSize { get; }

    internal int Ip { get; }

    internal int Tid { get; }

    internal int TimeInSample { get; }

    /// <summary>Where the fields of variable size begin, from the start of the record.</summary>
    internal int Variable { get; }

    /// <summary>Whether samples carry branch stacks.</summary>
    public bool HasBranchStack => Attributes.Has(PerfSampleType.PERF_SAMPLE_BRANCH_STACK);

    /// <summary>When the record was made, on the event's clock in nanoseconds; 0 when it does not say or is too short to.</summary>
    public ulong Time(ReadOnlySpan<byte> record, PerfRecordType type)
    {
        ulong time = Word(record, type, TimeInSample, timeFromEnd);

        // What perf itself writes at the start (the processes and mappings there already are) is marked as older than anything.
        return time == ulong.MaxValue ? 0 : time;
    }

    /// <summary>How many times a sample counts, by its period.</summary>
    /// <param name="sample">At least as long as its fixed fields are.</param>
    public ulong Weight(ReadOnlySpan<byte> sample) => ordinaryPeriod == 0 || period == 0
        ? 1
        : Math.Max(1, (BinaryPrimitives.ReadUInt64LittleEndian(sample[period..]) + (ordinaryPeriod / 2)) / ordinaryPeriod);

    /// <summary>The id of the event that made the record; 0 when it does not say or is too short to.</summary>
    public ulong EventId(ReadOnlySpan<byte> record, PerfRecordType type) => Word(record, type, idInSample, idFromEnd);

    private ulong Word(ReadOnlySpan<byte> record, PerfRecordType type, int inSample, int fromEnd)
    {
        if (type == PerfRecordType.PERF_RECORD_SAMPLE)
            return inSample != 0 && inSample + 8 <= record.Length ? BinaryPrimitives.ReadUInt64LittleEndian(record[inSample..]) : 0;
        if (type >= PerfRecordType.PERF_RECORD_USER_TYPE_START || fromEnd == 0 || TrailerSize + PerfRecordHeader.ByteCount > record.Length)
            return 0;
        return BinaryPrimitives.ReadUInt64LittleEndian(record[^fromEnd..]);
    }
}
