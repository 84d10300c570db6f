using System.Buffers;
using System.Buffers.Binary;
using Perforator.Branches;
using Perforator.Bytes;

namespace Perforator.PerfData;

/// <summary>
/// Reads a perf.data file, or what <c>perf record -o -</c> sends through a pipe, and hands its records in time order to a sink. Works
/// as a stream: memory holds one read buffer and the records of about two rounds (what perf writes between two
/// PERF_RECORD_FINISHED_ROUND), whatever the size of the file.
/// </summary>
public sealed class PerfDataReader
{
    /// <summary>The file ends inside a record, as when perf was killed or a copy broke off.</summary>
    public const string Truncated = "perf.data ends inside a record (recording or copy broken off); all before was read";

    /// <summary>A record whose size is smaller than a record can be: where the next one begins cannot be known.</summary>
    public const string Damaged = "perf.data damaged: a record of impossible size; all before was read";

    /// <summary>A build id, event or name that the file says in a way that does not fit.</summary>
    public const string DamagedHeader = "perf.data header record or feature section damaged";

    /// <summary>Compressed records that do not decompress.</summary>
    public const string DamagedCompression = "perf.data compressed records damaged; all before was read";

    /// <summary>Records whose order was lost.</summary>
    public const string OutOfOrder = "perf record far out of time order, counted by the mappings known when it came";

    /// <summary>A round longer than this is cut, in bytes; a file without rounds is ordered within this window.</summary>
    public const int MaxRoundBytes = 128 << 20;

    /// <summary>What one compressed record, of 64 KB at most, may become.</summary>
    private const int MaxDecompressedPiece = 64 << 20;

    private const int BufferSize = 1 << 20;

    private readonly IBranchSink sink;
    private readonly PerfRecordReader records;
    private readonly PerfRecordQueue queue = new();
    private readonly PerfEvents events = new();
    private readonly Dictionary<string, BuildId> buildIds = new(StringComparer.Ordinal);
    private readonly SortedDictionary<uint, ulong> skipped = [];
    private readonly ArrayBufferWriter<byte> decompressed = new();
    private readonly PerfRecordHandler read;
    private ZstandardDecoder? decoder;
    private bool insideCompressed;
    private bool stopped;

    public PerfDataReader(IBranchSink sink)
    {
        this.sink = sink;
        records = new PerfRecordReader(sink) { BuildIds = buildIds };
        read = records.Read;
    }

    /// <summary>The event whose samples count, as perf names it; null for the best.</summary>
    public string? Event
    {
        get => events.Wanted;
        init => events.Wanted = value;
    }

    /// <summary>What was read so far.</summary>
    public PerfDataSummary Summary { get; } = new();

    /// <summary>The attributes of the events, once read.</summary>
    public IEnumerable<PerfEventAttributes> Events => events.Attributes;

    /// <summary>Whether the bytes begin like a perf.data file, even one that cannot be read here.</summary>
    public static bool HasMagic(ReadOnlySpan<byte> start) => PerfDataHeader.HasMagic(start);

    /// <summary>Reads a file to its end.</summary>
    /// <exception cref="UserErrorException">The file is missing, unreadable or not a perf.data file that can be read here.</exception>
    public PerfDataSummary ReadFile(string path)
    {
        using FileStream file = Open(path);
        return ReadFile(file, InputFile.NameOf(path));
    }

    /// <summary>Opens a file or pipe to read.</summary>
    /// <exception cref="UserErrorException">It is missing, unreadable or a folder.</exception>
    public static FileStream Open(string path) => Directory.Exists(path)
        ? throw new UserErrorException($"{path} is a folder of perf.data files, as perf record --threads writes; record without --threads")
        : InputFile.Open(path);

    /// <summary>Reads a file or pipe that stands at its beginning to its end.</summary>
    /// <param name="path">What messages call it.</param>
    /// <exception cref="UserErrorException">Unreadable, or not a perf.data file that can be read here.</exception>
    public PerfDataSummary ReadFile(Stream file, string path)
    {
        try
        {
            return Read(file);
        }
        catch (MalformedInputException e)
        {
            throw new UserErrorException($"{path} cannot be read as perf.data: {e.What}", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UserErrorException($"{path} cannot be read: {e.Message}", e);
        }
    }

    /// <summary>Reads a stream to its end. A file's header needs a stream that can seek; a pipe's does not.</summary>
    /// <exception cref="MalformedInputException">The header is not that of a perf.data file that can be read here.</exception>
    public PerfDataSummary Read(Stream stream)
    {
        byte[] start = new byte[PerfDataHeader.FileSize];
        int length = stream.ReadAtLeast(start, PerfDataHeader.PipeSize, throwOnEndOfStream: false);
        PerfDataHeader header =
            length >= PerfDataHeader.PipeSize && BinaryPrimitives.ReadUInt64LittleEndian(start.AsSpan(8)) == PerfDataHeader.PipeSize
            ? PerfDataHeader.Parse(start.AsSpan(0, PerfDataHeader.PipeSize))
            : PerfDataHeader.Parse(
                start.AsSpan(0, length + stream.ReadAtLeast(start.AsSpan(length), start.Length - length, throwOnEndOfStream: false)));
        try
        {
            if (header.IsPipe)
                ReadRecords(stream, start.AsSpan(PerfDataHeader.PipeSize, Math.Max(0, length - PerfDataHeader.PipeSize)), long.MaxValue);
            else
                ReadFile(stream, header);
            queue.Finish(read);
        }
        finally
        {
            decoder?.Dispose();
        }
        sink.OnLost(OutOfOrder, queue.Late);
        Summarize();
        return Summary;
    }

    private void ReadFile(Stream file, PerfDataHeader header)
    {
        if (!file.CanSeek)
            throw new MalformedInputException(
                "a perf.data file cannot be read from a pipe; name the file, or record with perf record -o -", "perf.data", 0);
        ulong fileSize = (ulong)file.Length;
        ReadEvents(file, header, fileSize);
        ReadFeatures(file, header, fileSize);
        if (header.Data.Offset > fileSize)
            throw new MalformedInputException(
                $"records begin at {header.Data.Offset} in a file of {fileSize} bytes", "perf.data header", 40);

        // perf writes the size when recording ends: a file left by a killed perf says 0, and its records run to the end.
        ulong size = header.Data.Size == 0 ? fileSize - header.Data.Offset : header.Data.Size;
        file.Position = (long)header.Data.Offset;
        ReadRecords(file, default, (long)Math.Min(size, long.MaxValue));
    }

    private void ReadEvents(Stream file, PerfDataHeader header, ulong fileSize)
    {
        const int SectionSize = 16;
        ulong entry = header.AttributeSize;
        if (entry < PerfEventAttributes.MinSize + SectionSize || entry > 1 << 16)
            throw new MalformedInputException($"attributes of {entry} bytes", "perf.data header", 16);
        byte[] table = ReadSection(file, header.Attributes, fileSize, "perf.data attributes");
        for (int at = 0; at + (int)entry <= table.Length; at += (int)entry)
        {
            SpanReader ids = new(table.AsSpan(at + (int)entry - SectionSize, SectionSize), "perf.data attributes");
            events.Add(table.AsSpan(at, (int)entry - SectionSize), ReadSection(
                file, PerfFileSection.Parse(ref ids), fileSize, "perf.data event ids"));
        }
        if (events.Count == 0)
            throw new MalformedInputException("no events", "perf.data attributes", 0);
    }

    private void ReadFeatures(Stream file, PerfDataHeader header, ulong fileSize)
    {
        // A killed perf leaves a size of 0 and no feature sections, though the bits may be set.
        if (header.Data.Size == 0)
            return;
        ulong table = header.Data.Offset + header.Data.Size;
        for (int feature = 0; feature < PerfDataHeader.FeatureBits; feature++)
        {
            if (!header.HasFeature(feature))
                continue;
            if (feature > PerfDataFeatures.HEADER_LAST_FEATURE)
                Summary.UnknownFeatures++;
            Summary.IsSimpleperf |= feature is PerfDataFeatures.SIMPLE_PERF_FEAT_FILE or PerfDataFeatures.SIMPLE_PERF_FEAT_META_INFO;
            try
            {
                byte[] entry = ReadSection(file, new PerfFileSection(table, 16), fileSize, "perf.data features");
                SpanReader reader = new(entry, "perf.data features");
                PerfFileSection section = PerfFileSection.Parse(ref reader);
                if (feature is PerfDataFeatures.HEADER_BUILD_ID or PerfDataFeatures.HEADER_HOSTNAME or PerfDataFeatures.HEADER_CPUDESC
                    or PerfDataFeatures.HEADER_EVENT_DESC)
                    ReadFeature(feature, ReadSection(file, section, fileSize, "perf.data feature"));
            }
            catch (MalformedInputException)
            {
                // The records can be understood without.
                sink.OnLost(DamagedHeader, 1);
            }
            table += 16;
        }
    }

    private void ReadFeature(int feature, ReadOnlySpan<byte> section)
    {
        switch (feature)
        {
            case PerfDataFeatures.HEADER_BUILD_ID:
                PerfDataFeatures.ReadBuildIds(section, buildIds);
                break;
            case PerfDataFeatures.HEADER_EVENT_DESC:
                foreach ((string name, ulong[] ids) in PerfDataFeatures.ReadEventNames(section))
                    events.Name(name, ids);
                break;
            case PerfDataFeatures.HEADER_HOSTNAME:
                Summary.HostName = PerfDataFeatures.ReadString(section);
                break;
            case PerfDataFeatures.HEADER_CPUDESC:
                Summary.CpuModel = PerfDataFeatures.ReadString(section);
                break;
        }
    }

    private static byte[] ReadSection(Stream file, PerfFileSection section, ulong fileSize, string where)
    {
        const ulong MaxSize = 64 << 20;
        if (section.Offset > fileSize || section.Size > fileSize - section.Offset || section.Size > MaxSize)
            throw new MalformedInputException(
                $"{section.Size} bytes at {section.Offset} in a file of {fileSize} bytes", where, section.Offset);
        byte[] bytes = new byte[section.Size];
        file.Position = (long)section.Offset;
        file.ReadExactly(bytes);
        return bytes;
    }

    /// <summary>Reads records up to the end of the data section or of the stream, whichever comes first.</summary>
    private void ReadRecords(Stream stream, ReadOnlySpan<byte> already, long size)
    {
        byte[] buffer = ArrayPool<byte>.Shared.Rent(BufferSize);
        try
        {
            already.CopyTo(buffer);
            int filled = already.Length;
            bool cut = false;
            size -= filled;
            while (!stopped)
            {
                int wanted = (int)Math.Min(size, buffer.Length - filled);
                int got = wanted == 0 ? 0 : stream.Read(buffer, filled, wanted);
                filled += got;
                size -= got;
                int taken = TakeRecords(buffer.AsSpan(0, filled), out long beyond);
                buffer.AsSpan(taken, filled - taken).CopyTo(buffer);
                filled -= taken;
                if (beyond > 0 && !stopped)
                {
                    cut |= beyond > size;
                    size -= SkipBytes(stream, Math.Min(beyond, size));
                }
                else if (got == 0)
                {
                    break;
                }
            }
            if (!stopped && (cut || filled > 0 || (size > 0 && size < long.MaxValue / 2)))
                sink.OnLost(Truncated, 1);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private static long SkipBytes(Stream stream, long count)
    {
        if (stream.CanSeek)
        {
            stream.Position = Math.Min(stream.Length, stream.Position + count);
            return count;
        }
        byte[] scratch = new byte[1 << 16];
        long left = count;
        while (left > 0 && stream.Read(scratch, 0, (int)Math.Min(left, scratch.Length)) is > 0 and int got)
            left -= got;
        return count;
    }

    /// <summary>Takes the whole records at the start of <paramref name="data"/>.</summary>
    /// <param name="beyond">How many bytes that belong to the last record taken lie behind <paramref name="data"/>, which is all taken
    /// then.</param>
    /// <returns>How many bytes were taken.</returns>
    private int TakeRecords(ReadOnlySpan<byte> data, out long beyond)
    {
        beyond = 0;
        int at = 0;
        while (!stopped && data.Length - at >= PerfRecordHeader.ByteCount)
        {
            PerfRecordHeader header = PerfRecordHeader.Read(data[at..]);
            if (header.Type is >= PerfRecordType.SIMPLE_PERF_RECORD_TYPE_START and < PerfRecordType.SIMPLE_PERF_RECORD_TYPE_END)
            {
                // Of simpleperf's own records, the flags are the upper half of the size.
                long size = ((long)header.Misc << 16) | header.Size;
                if (size >= PerfRecordHeader.ByteCount)
                {
                    Summary.IsSimpleperf = true;
                    Summary.Records++;
                    Summary.RecordBytes += (ulong)size;
                    Skip(header.Type);
                    if (size > data.Length - at)
                    {
                        beyond = size - (data.Length - at);
                        return data.Length;
                    }
                    at += (int)size;
                    continue;
                }
            }
            if (header.Size < PerfRecordHeader.ByteCount)
            {
                sink.OnLost(Damaged, 1);
                stopped = true;
                break;
            }
            if (header.Size > data.Length - at)
                break;
            ReadOnlySpan<byte> record = data.Slice(at, header.Size);
            at += header.Size;
            Summary.Records++;
            Summary.RecordBytes += header.Size;
            if (header.Type < PerfRecordType.PERF_RECORD_USER_TYPE_START)
            {
                Queue(record, header.Type);
                continue;
            }
            ulong payload = ReadToolRecord(record, header);
            if (payload > (ulong)(data.Length - at))
            {
                beyond = (long)Math.Min(payload - (ulong)(data.Length - at), long.MaxValue);
                return data.Length;
            }
            at += (int)payload;
        }
        return at;
    }

    private void Queue(ReadOnlySpan<byte> record, PerfRecordType type)
    {
        PerfRecordLayout? layout = events.Of(record, type, out string reason);
        if (layout is null)
        {
            sink.OnLost(reason, 1);
            return;
        }
        queue.Add(record, layout);
        if (queue.BytesOfRound > MaxRoundBytes)
            queue.FinishRound(read);
    }

    /// <summary>Reads a record that only the perf tool writes.</summary>
    /// <returns>How many bytes that are no records follow it.</returns>
    private ulong ReadToolRecord(ReadOnlySpan<byte> record, PerfRecordHeader header)
    {
        try
        {
            SpanReader body = new(record, header.Type.ToString());
            body.Skip(PerfRecordHeader.ByteCount);
            switch (header.Type)
            {
                case PerfRecordType.PERF_RECORD_FINISHED_ROUND:
                    queue.FinishRound(read);
                    return 0;
                case PerfRecordType.PERF_RECORD_COMPRESSED:
                    Decompress(body.Rest);
                    return 0;
                case PerfRecordType.PERF_RECORD_COMPRESSED2:
                    Decompress(body.ReadBytes(body.ReadU64()));
                    return 0;
                case PerfRecordType.PERF_RECORD_HEADER_ATTR:
                    AddEvent(body.Rest);
                    return 0;
                case PerfRecordType.PERF_RECORD_HEADER_BUILD_ID:
                    PerfDataFeatures.ReadBuildId(record, buildIds);
                    return 0;
                case PerfRecordType.PERF_RECORD_HEADER_FEATURE:
                    ulong feature = body.ReadU64();
                    if (feature > PerfDataFeatures.HEADER_LAST_FEATURE)
                        Summary.UnknownFeatures++;
                    else
                        ReadFeature((int)feature, body.Rest);
                    return 0;
                case PerfRecordType.PERF_RECORD_EVENT_UPDATE:
                    if (body.ReadU64() == PerfDataFeatures.PERF_EVENT_UPDATE__NAME)
                        events.Name(body.ReadU64(), body.Rest);
                    return 0;
                case PerfRecordType.PERF_RECORD_AUXTRACE_INFO:
                    Skip(header.Type);
                    Summary.AddTrace(PerfDataFeatures.TraceName(body.ReadU32()));
                    return 0;
                case PerfRecordType.PERF_RECORD_AUXTRACE:
                    Skip(header.Type);
                    return body.ReadU64();
                case PerfRecordType.PERF_RECORD_HEADER_TRACING_DATA:
                    Skip(header.Type);
                    return body.ReadU32();
                default:
                    Skip(header.Type);
                    if (!Enum.IsDefined(header.Type))
                        sink.OnLost(PerfRecordReader.UnknownRecord, 1);
                    return 0;
            }
        }
        catch (MalformedInputException)
        {
            sink.OnLost(DamagedHeader, 1);
            return 0;
        }
    }

    private void Skip(PerfRecordType type) => skipped[(uint)type] = skipped.GetValueOrDefault((uint)type) + 1;

    /// <summary>A pipe's event: its attributes, of which the size field says how long they are, and its ids.</summary>
    private void AddEvent(ReadOnlySpan<byte> body)
    {
        uint size = body.Length >= 8 ? BinaryPrimitives.ReadUInt32LittleEndian(body[4..]) : 0;
        if (size > body.Length)
            throw new MalformedInputException($"attributes of {size} bytes", "PERF_RECORD_HEADER_ATTR", 12);
        int end = size == 0 ? Math.Min(PerfEventAttributes.MinSize, body.Length) : (int)size;
        ReadOnlySpan<byte> ids = body[end..];
        events.Add(body[..end], ids[..(ids.Length & ~7)]);
    }

    /// <summary>
    /// What <c>perf record -z</c> writes: one stream for the whole recording, cut into records anywhere, which holds records cut
    /// anywhere too.
    /// </summary>
    private void Decompress(ReadOnlySpan<byte> piece)
    {
        if (insideCompressed)
            throw new MalformedInputException("compressed records inside compressed records", "PERF_RECORD_COMPRESSED", 0);
        try
        {
            decoder ??= new ZstandardDecoder("PERF_RECORD_COMPRESSED");
            decoder.Decode(piece, decompressed, MaxDecompressedPiece);
        }
        catch (MalformedInputException)
        {
            sink.OnLost(DamagedCompression, 1);
            stopped = true;
            return;
        }
        ReadOnlySpan<byte> data = decompressed.WrittenSpan;
        insideCompressed = true;
        int taken = TakeRecords(data, out _);
        insideCompressed = false;
        byte[] rest = data[taken..].ToArray();
        decompressed.ResetWrittenCount();
        decompressed.Write(rest);
    }

    private void Summarize()
    {
        Summary.Events = events.Count;
        (Summary.EventNames, Summary.EventsUsed) = ([.. events.Names], [.. events.UsedNames]);
        Summary.BranchSamples = records.BranchSamples;
        Summary.AddressSamples = records.AddressSamples;
        Summary.ExactAddressSamples = records.ExactAddressSamples;
        foreach ((uint type, ulong count) in records.SkippedByType)
            skipped[type] = skipped.GetValueOrDefault(type) + count;
        Summary.SkippedByType = skipped;
    }
}
