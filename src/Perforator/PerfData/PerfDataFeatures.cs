using System.Buffers.Binary;
using System.Text;
using Perforator.Bytes;

namespace Perforator.PerfData;

/// <summary>
/// The feature sections after a perf.data file's records that are of use here (Linux, tools/perf/util/header.h); all others are skipped.
/// </summary>
internal static class PerfDataFeatures
{
    public const int HEADER_BUILD_ID = 2;
    public const int HEADER_HOSTNAME = 3;
    public const int HEADER_ARCH = 6;
    public const int HEADER_CPUDESC = 8;

    /// <summary>The events' names, with attributes and ids.</summary>
    public const int HEADER_EVENT_DESC = 12;

    /// <summary>PERF_RECORD_EVENT_UPDATE that brings a name.</summary>
    public const ulong PERF_EVENT_UPDATE__NAME = 2;

    /// <summary>Says that samples have branch stacks; its section is empty.</summary>
    public const int HEADER_BRANCH_STACK = 15;

    /// <summary>The last feature perf 6.x knows; a file with later ones was written by a newer perf.</summary>
    public const int HEADER_LAST_FEATURE = 31;

    /// <summary>simpleperf's files and symbols.</summary>
    public const int SIMPLE_PERF_FEAT_FILE = 128;

    /// <summary>simpleperf's version, command and device.</summary>
    public const int SIMPLE_PERF_FEAT_META_INFO = 129;

    /// <summary>What a trace is of, by the type in its PERF_RECORD_AUXTRACE_INFO (Linux, tools/perf/util/auxtrace.h).</summary>
    public static string TraceName(uint type) => type switch
    {
        1 => "Intel PT",
        2 => "Intel BTS",
        3 => "Arm CoreSight ETM",
        4 => "Arm SPE",
        _ => $"hardware trace of type {type}",
    };

    /// <summary>
    /// Build ids by path, empty where a path has several: records like struct perf_record_header_build_id, one after the other.
    /// </summary>
    /// <exception cref="MalformedInputException">A record does not fit.</exception>
    public static void ReadBuildIds(ReadOnlySpan<byte> section, Dictionary<string, BuildId> buildIds)
    {
        while (true)
        {
            // perf 6.12 wrote zeros behind each record, which begins with a type of 0 too.
            while (section.Length >= PerfRecordHeader.ByteCount && BinaryPrimitives.ReadUInt64LittleEndian(section) == 0)
                section = section[4..];
            if (section.Length < PerfRecordHeader.ByteCount)
                return;
            PerfRecordHeader header = PerfRecordHeader.Parse(section);
            if (header.Size > section.Length)
                throw new MalformedInputException($"record of {header.Size} bytes with {section.Length} left", "perf.data build ids", 0);
            ReadBuildId(section[..header.Size], buildIds);
            section = section[header.Size..];
        }
    }

    /// <summary>One build id record: process (4 bytes), build id (20), its size (1) if the header says so, padding (3), path.</summary>
    /// <exception cref="MalformedInputException">The record is too short.</exception>
    public static void ReadBuildId(ReadOnlySpan<byte> record, Dictionary<string, BuildId> buildIds)
    {
        SpanReader reader = new(record, "PERF_RECORD_HEADER_BUILD_ID");
        PerfRecordHeader header = PerfRecordHeader.Parse(record);
        reader.Skip(PerfRecordHeader.ByteCount + 4);
        ReadOnlySpan<byte> id = reader.ReadBytes(24);
        int size = (header.Misc & PerfRecordMisc.PERF_RECORD_MISC_BUILD_ID_SIZE) != 0 ? id[20] : 20;
        if (size is 0 or > 20)
            return;
        ReadOnlySpan<byte> path = reader.Rest;
        int end = path.IndexOf((byte)0);
        string text = Encoding.UTF8.GetString(end < 0 ? path : path[..end]);
        BuildId buildId = BuildId.FromBytes(id[..size]);
        if (!buildIds.TryAdd(text, buildId) && buildIds[text] != buildId)
            buildIds[text] = default;
    }

    /// <summary>
    /// Events by name with their ids: the number of events (4 bytes) and the size of an attribute (4); for each the attribute, how many ids
    /// (4), a string of its size (4) and the text, the ids (8 each).
    /// </summary>
    /// <exception cref="MalformedInputException">The section is too short.</exception>
    public static List<(string Name, ulong[] Ids)> ReadEventNames(ReadOnlySpan<byte> section)
    {
        SpanReader reader = new(section, "perf.data event names");
        List<(string, ulong[])> events = [];
        uint count = reader.ReadU32();
        uint attributeSize = reader.ReadU32();
        for (uint i = 0; i < count; i++)
        {
            reader.Skip(attributeSize);
            ReadOnlySpan<byte> idCount = reader.ReadBytes(4), text = reader.ReadBytes(reader.ReadU32());
            ulong size = 8UL * BinaryPrimitives.ReadUInt32LittleEndian(idCount);
            int end = text.IndexOf((byte)0);
            events.Add((Encoding.UTF8.GetString(end < 0
                ? text : text[..end]), System.Runtime.InteropServices.MemoryMarshal.Cast<byte, ulong>(reader.ReadBytes(size)).ToArray()));
        }
        return events;
    }

    /// <summary>A string feature: its size (4 bytes), then the text up to a NUL.</summary>
    /// <exception cref="MalformedInputException">The section is too short.</exception>
    public static string ReadString(ReadOnlySpan<byte> section)
    {
        SpanReader reader = new(section, "perf.data feature");
        ReadOnlySpan<byte> text = reader.ReadBytes(reader.ReadU32());
        int end = text.IndexOf((byte)0);
        return Encoding.UTF8.GetString(end < 0 ? text : text[..end]);
    }

    /// <summary>One record of the build id feature.</summary>
    public static byte[] WriteBuildId(string path, BuildId buildId)
    {
        const int PathStart = PerfRecordHeader.ByteCount + 4 + 24;
        byte[] id = buildId.ToBytes();
        byte[] text = Encoding.UTF8.GetBytes(path);
        byte[] record = new byte[PathStart + ((text.Length + 8) & ~7)];
        PerfRecordMisc misc = PerfRecordMisc.PERF_RECORD_MISC_USER | PerfRecordMisc.PERF_RECORD_MISC_BUILD_ID_SIZE;
        new PerfRecordHeader((PerfRecordType)0, misc, (ushort)record.Length).Write(record);
        BinaryPrimitives.WriteInt32LittleEndian(record.AsSpan(8), -1);
        int size = Math.Min(id.Length, 20);
        id.AsSpan(0, size).CopyTo(record.AsSpan(12));
        record[12 + 20] = (byte)size;
        text.CopyTo(record, PathStart);
        return record;
    }

    /// <summary>A string feature, padded to 64 bytes as perf does.</summary>
    public static byte[] WriteString(string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        byte[] section = new byte[4 + ((bytes.Length + 64) & ~63)];
        BinaryPrimitives.WriteInt32LittleEndian(section, section.Length - 4);
        bytes.CopyTo(section, 4);
        return section;
    }
}
