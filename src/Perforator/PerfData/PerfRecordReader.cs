using System.Text;
using Perforator.Branches;
using Perforator.Bytes;

namespace Perforator.PerfData;

/// <summary>
/// Hands the kernel's records, one by one and in time order, to a sink: mappings, forks, execs, exits, samples and losses. It serves
/// the live ring buffers and perf.data files alike, since both hold the same records.
/// </summary>
public sealed class PerfRecordReader
{
    /// <summary>The ring buffer was full when the kernel wanted to write.</summary>
    public const string RingFull = "perf record lost by the kernel: the ring buffer was full (lower the sampling rate or enlarge the buffer)";

    /// <summary>PERF_RECORD_LOST_SAMPLES: the hardware's own buffer overflowed.</summary>
    public const string SampleLost = "sample lost by the hardware's buffer";

    /// <summary>The kernel paused sampling.</summary>
    public const string Throttled = "sampling paused by the kernel (see kernel.perf_event_max_sample_rate)";

    /// <summary>A record that contradicts its own size or layout.</summary>
    public const string MalformedRecord = "malformed perf record";

    /// <summary>A record type from a kernel newer than this program.</summary>
    public const string UnknownRecord = "perf record of an unknown type";

    private const uint PROT_EXEC = 4;

    private readonly IBranchSink sink;
    private BranchEntry[] entries = new BranchEntry[64];

    public PerfRecordReader(IBranchSink sink) => this.sink = sink;

    /// <summary>Reads one record and tells the sink; a malformed one is counted there as lost.</summary>
    /// <param name="record">The whole record, header included.</param>
    /// <param name="layout">The layout of the event that made it.</param>
    public void Read(ReadOnlySpan<byte> record, PerfRecordLayout layout)
    {
        try
        {
            Dispatch(record, layout);
        }
        catch (MalformedInputException)
        {
            sink.OnLost(MalformedRecord, 1);
        }
    }

    private void Dispatch(ReadOnlySpan<byte> record, PerfRecordLayout layout)
    {
        PerfRecordHeader header = PerfRecordHeader.Parse(record);
        if (header.Type == PerfRecordType.PERF_RECORD_SAMPLE)
        {
            sink.OnSample(layout.ParseSample(record, ref entries));
            return;
        }

        int bodySize = record.Length - PerfRecordHeader.ByteCount - layout.TrailerSize;
        if (bodySize < 0)
            throw new MalformedInputException("shorter than its sample_id", header.Type.ToString(), 0);
        SpanReader body = new(record.Slice(PerfRecordHeader.ByteCount, bodySize), header.Type.ToString(), PerfRecordHeader.ByteCount);
        ulong time = layout.Time(record, header.Type);
        switch (header.Type)
        {
            case PerfRecordType.PERF_RECORD_MMAP:
                if ((header.Misc & PerfRecordMisc.PERF_RECORD_MISC_MMAP_DATA) == 0)
                    ReadMapping(ref body, time);
                break;
            case PerfRecordType.PERF_RECORD_MMAP2:
                ReadMapping2(ref body, header.Misc, time);
                break;
            case PerfRecordType.PERF_RECORD_COMM:
                if ((header.Misc & PerfRecordMisc.PERF_RECORD_MISC_COMM_EXEC) != 0)
                    sink.OnExec(body.ReadI32());
                break;
            case PerfRecordType.PERF_RECORD_FORK:
                ReadTask(ref body, out int child, out int parent, out _);
                if (child != parent)
                    sink.OnFork(child, parent);
                break;
            case PerfRecordType.PERF_RECORD_EXIT:
                // One record per thread; the process is taken to end with its main thread.
                ReadTask(ref body, out int process, out _, out int thread);
                if (process == thread)
                    sink.OnExit(process);
                break;
            case PerfRecordType.PERF_RECORD_LOST:
                body.Skip(8);
                sink.OnLost(RingFull, body.ReadU64());
                break;
            case PerfRecordType.PERF_RECORD_LOST_SAMPLES:
                sink.OnLost(SampleLost, body.ReadU64());
                break;
            case PerfRecordType.PERF_RECORD_THROTTLE:
                sink.OnLost(Throttled, 1);
                break;
            case > PerfRecordType.PERF_RECORD_AUX_OUTPUT_HW_ID:
                sink.OnLost(UnknownRecord, 1);
                break;
        }
    }

    private void ReadMapping(ref SpanReader body, ulong time)
    {
        int processId = body.ReadI32();
        body.Skip(4);
        Map(processId, body.ReadU64(), body.ReadU64(), body.ReadU64(), default, ref body, time);
    }

    private void ReadMapping2(ref SpanReader body, PerfRecordMisc misc, ulong time)
    {
        int processId = body.ReadI32();
        body.Skip(4);
        ulong start = body.ReadU64();
        ulong length = body.ReadU64();
        ulong offset = body.ReadU64();
        SpanReader identity = body.Slice(24, "PERF_RECORD_MMAP2 identity");
        uint protection = body.ReadU32();
        body.Skip(4);
        if ((protection & PROT_EXEC) == 0)
            return;
        BuildId buildId = default;
        if ((misc & PerfRecordMisc.PERF_RECORD_MISC_MMAP_BUILD_ID) != 0)
        {
            byte size = identity.ReadU8();
            identity.Skip(3);
            if (size is > 0 and <= 20)
                buildId = BuildId.FromBytes(identity.ReadBytes(size));
        }
        Map(processId, start, length, offset, buildId, ref body, time);
    }

    private void Map(int processId, ulong start, ulong length, ulong offset, BuildId buildId, ref SpanReader body, ulong time)
    {
        if (length > ulong.MaxValue - start)
            throw body.Malformed($"mapping of {length} bytes wraps around");
        string path = Encoding.UTF8.GetString(body.ReadCStringBytes());
        sink.OnMapping(new Mapping(processId, new(start), length, new(offset), path, buildId, time));
    }

    private static void ReadTask(ref SpanReader body, out int processId, out int parentProcessId, out int threadId)
    {
        processId = body.ReadI32();
        parentProcessId = body.ReadI32();
        threadId = body.ReadI32();
    }
}
