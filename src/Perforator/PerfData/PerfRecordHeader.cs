using System.Buffers.Binary;
using Perforator.Bytes;

namespace Perforator.PerfData;

/// <summary>struct perf_event_header, with which every record in a ring buffer and in a perf.data file begins.</summary>
/// <param name="Type">What the record is.</param>
/// <param name="Misc">CPU mode and flags whose meaning depends on the type.</param>
/// <param name="Size">The whole record in bytes, this header included.</param>
public readonly record struct PerfRecordHeader(PerfRecordType Type, PerfRecordMisc Misc, ushort Size)
{
    /// <summary>sizeof(struct perf_event_header).</summary>
    public const int ByteCount = 8;

    /// <summary>Reads a header from the first bytes of <paramref name="record"/>.</summary>
    /// <exception cref="MalformedInputException">Too few bytes, or a size smaller than the header itself.</exception>
    public static PerfRecordHeader Parse(ReadOnlySpan<byte> record)
    {
        if (record.Length < ByteCount)
            throw new MalformedInputException($"truncated: {record.Length} of {ByteCount} bytes", "perf_event_header", 0);
        PerfRecordHeader header = Read(record);
        if (header.Size < ByteCount)
            throw new MalformedInputException($"record of {header.Size} bytes", "perf_event_header", 6);
        return header;
    }

    /// <summary>
    /// Reads a header whose size may be anything; <paramref name="record"/> holds at least <see cref="ByteCount"/> bytes.
    /// </summary>
    internal static PerfRecordHeader Read(ReadOnlySpan<byte> record) => new(
        (PerfRecordType)BinaryPrimitives.ReadUInt32LittleEndian(record),
        (PerfRecordMisc)BinaryPrimitives.ReadUInt16LittleEndian(record[4..]),
        BinaryPrimitives.ReadUInt16LittleEndian(record[6..]));

    /// <summary>Writes the header into the first bytes of <paramref name="record"/>.</summary>
    internal void Write(Span<byte> record)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(record, (uint)Type);
        BinaryPrimitives.WriteUInt16LittleEndian(record[4..], (ushort)Misc);
        BinaryPrimitives.WriteUInt16LittleEndian(record[6..], Size);
    }
}
