using System.Text;
using Perforator.PerfData;

namespace Perforator.Tests.PerfData;

/// <summary>Builds records field by field, as the kernel lays them out.</summary>
internal sealed class RecordBytes
{
    private readonly List<byte> bytes = [];

    public RecordBytes(PerfRecordType type, PerfRecordMisc misc = default)
    {
        U32((uint)type);
        bytes.AddRange(BitConverter.GetBytes((ushort)misc));
        bytes.AddRange(BitConverter.GetBytes((ushort)0));
    }

    public RecordBytes U32(params uint[] values)
    {
        foreach (uint value in values)
            bytes.AddRange(BitConverter.GetBytes(value));
        return this;
    }

    public RecordBytes U64(params ulong[] values)
    {
        foreach (ulong value in values)
            bytes.AddRange(BitConverter.GetBytes(value));
        return this;
    }

    public RecordBytes Bytes(params byte[] values)
    {
        bytes.AddRange(values);
        return this;
    }

    /// <summary>A string with its NUL, padded to 8 bytes.</summary>
    public RecordBytes Path(string text)
    {
        byte[] utf8 = Encoding.UTF8.GetBytes(text);
        bytes.AddRange(utf8);
        bytes.AddRange(new byte[8 - utf8.Length % 8]);
        return this;
    }

    public byte[] ToArray()
    {
        byte[] record = bytes.ToArray();
        BitConverter.GetBytes((ushort)record.Length).CopyTo(record, 6);
        return record;
    }

    public static byte[] Mmap2(
        int process, ulong start, ulong length, ulong offset, string path, ulong[]? trailer = null, uint protection = 5) =>
        new RecordBytes(PerfRecordType.PERF_RECORD_MMAP2, PerfRecordMisc.PERF_RECORD_MISC_USER)
            .U32((uint)process, (uint)process).U64(start, length, offset).U32(8, 1).U64(1234, 1).U32(protection, 2).Path(path)
            .U64(trailer ?? []).ToArray();

    public static byte[] Task(PerfRecordType type, int process, int parent, int thread, ulong time = 0, ulong[]? trailer = null) =>
        new RecordBytes(type).U32((uint)process, (uint)parent, (uint)thread, (uint)parent).U64(time).U64(trailer ?? []).ToArray();
}
