using System.Buffers.Binary;
using Perforator.Branches;

namespace Perforator.PerfData;

/// <summary>PERF_RECORD_MMAP and PERF_RECORD_MMAP2: a range of a process became a mapping of a file.</summary>
/// <param name="Mapping">What was mapped where.</param>
/// <param name="IsExecutable">Whether code may run from it.</param>
public readonly record struct MmapRecord(Mapping Mapping, bool IsExecutable)
{
    private const uint PROT_EXEC = 4, MAP_HUGETLB = 0x40000;

    /// <summary>Takes the record apart; false when it is too short.</summary>
    public static bool TryDecode(ReadOnlySpan<byte> record, ulong time, out MmapRecord result)
    {
        result = default;
        RecordCursor cursor = new(record[PerfRecordHeader.ByteCount..]);
        PerfRecordHeader header = PerfRecordHeader.Read(record);
        int process = (int)cursor.ReadU32();
        cursor.ReadU32();
        ulong start = cursor.ReadU64();
        ulong length = cursor.ReadU64();
        ulong offset = cursor.ReadU64();
        bool executable = (header.Misc & PerfRecordMisc.PERF_RECORD_MISC_MMAP_DATA) == 0;
        uint flags = 0;
        BuildId buildId = default;
        MappedFile file = default;
        if (PerfRecordHeader.Read(record).Type == PerfRecordType.PERF_RECORD_MMAP2)
        {
            ReadOnlySpan<byte> identity = cursor.Take(24);
            executable = (cursor.ReadU32() & PROT_EXEC) != 0;
            flags = cursor.ReadU32();

            // Either major, minor, inode and generation, or the size (1 byte), 3 reserved bytes and up to 20 bytes of build id.
            if ((header.Misc & PerfRecordMisc.PERF_RECORD_MISC_MMAP_BUILD_ID) != 0 && !identity.IsEmpty && identity[0] is > 0 and <= 20)
                buildId = BuildId.FromBytes(identity.Slice(4, identity[0]));
            else if ((header.Misc & PerfRecordMisc.PERF_RECORD_MISC_MMAP_BUILD_ID) == 0 && !identity.IsEmpty)
                file = new(
                    BinaryPrimitives.ReadUInt32LittleEndian(identity), BinaryPrimitives.ReadUInt32LittleEndian(identity[4..]),
                    BinaryPrimitives.ReadUInt64LittleEndian(identity[8..]));
        }
        string path = cursor.ReadCString();
        if (cursor.Failed)
            return false;
        result = new(
            new Mapping(process, new(start), length, new(offset), path, buildId, time) { IsHugeTlb = (flags & MAP_HUGETLB) != 0, File = file }, executable);
        return true;
    }
}

/// <summary>PERF_RECORD_FORK and PERF_RECORD_EXIT: a thread began or ended.</summary>
public readonly record struct TaskRecord(int ProcessId, int ParentProcessId, int ThreadId, int ParentThreadId)
{
    /// <summary>Takes the record apart; false when it is too short.</summary>
    public static bool TryDecode(ReadOnlySpan<byte> record, out TaskRecord result)
    {
        RecordCursor cursor = new(record[PerfRecordHeader.ByteCount..]);
        result = new((int)cursor.ReadU32(), (int)cursor.ReadU32(), (int)cursor.ReadU32(), (int)cursor.ReadU32());
        return !cursor.Failed;
    }
}

/// <summary>PERF_RECORD_COMM: a thread got its name, by an exec or of itself.</summary>
public readonly record struct CommRecord(int ProcessId, int ThreadId, bool IsExec)
{
    /// <summary>Takes the record apart; false when it is too short.</summary>
    public static bool TryDecode(ReadOnlySpan<byte> record, out CommRecord result)
    {
        RecordCursor cursor = new(record[PerfRecordHeader.ByteCount..]);
        result = new(
            (int)cursor.ReadU32(), (int)cursor.ReadU32(),
            (PerfRecordHeader.Read(record).Misc & PerfRecordMisc.PERF_RECORD_MISC_COMM_EXEC) != 0);
        return !cursor.Failed;
    }
}

/// <summary>PERF_RECORD_LOST and PERF_RECORD_LOST_SAMPLES: how much the kernel had no room for.</summary>
public readonly record struct LostRecord(ulong Count)
{
    /// <summary>Takes the record apart; false when it is too short.</summary>
    public static bool TryDecode(ReadOnlySpan<byte> record, out LostRecord result)
    {
        RecordCursor cursor = new(record[PerfRecordHeader.ByteCount..]);
        if (PerfRecordHeader.Read(record).Type == PerfRecordType.PERF_RECORD_LOST)
            cursor.ReadU64();
        result = new(cursor.ReadU64());
        return !cursor.Failed;
    }
}
