using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.InteropServices;
using Perforator.Branches;

namespace Perforator.PerfData;

/// <summary>One PERF_RECORD_SAMPLE, still in the bytes of its record.</summary>
public readonly ref struct PerfSample
{
    /// <summary>The process (thread group) id; 0 when the event does not record it.</summary>
    public int ProcessId { get; private init; }

    public int ThreadId { get; private init; }

    /// <summary>The recording's clock in nanoseconds; 0 when the event does not record it.</summary>
    public ulong Time { get; private init; }

    public ulong Ip { get; private init; }

    /// <summary>The instruction pointer is the instruction that caused the event, not one some way behind it.</summary>
    public bool HasExactIp { get; private init; }

    /// <summary>Callchain, innermost first, 8 bytes each, PERF_CONTEXT_* markers among them.</summary>
    public ReadOnlySpan<byte> Callchain { get; private init; }

    /// <summary>perf_branch_entry structures, newest first, <see cref="PerfBranchEntryBits.Size"/> bytes each.</summary>
    public ReadOnlySpan<byte> BranchStack { get; private init; }

    /// <summary>How many branch entries there are.</summary>
    public int BranchCount => BranchStack.Length / PerfBranchEntryBits.Size;

    /// <summary>
    /// Takes a sample apart. All fields are walked, those of no use here too, so that a record whose parts do not fit its size is
    /// refused as a whole.
    /// </summary>
    /// <returns>False when a field runs past the record's end.</returns>
    public static bool TryDecode(ReadOnlySpan<byte> record, PerfRecordLayout layout, out PerfSample sample)
    {
        sample = default;
        if (record.Length < layout.Variable)
            return false;
        PerfEventAttributes attributes = layout.Attributes;
        RecordCursor cursor = new(record[layout.Variable..]);

        if (attributes.Has(PerfSampleType.PERF_SAMPLE_READ))
            SkipRead(ref cursor, attributes.ReadFormat);
        ReadOnlySpan<byte> callchain = default;
        if (attributes.Has(PerfSampleType.PERF_SAMPLE_CALLCHAIN))
            callchain = cursor.TakeItems(cursor.ReadU64(), sizeof(ulong));
        if (attributes.Has(PerfSampleType.PERF_SAMPLE_RAW))
            cursor.Take(cursor.ReadU32());
        ReadOnlySpan<byte> branches = default;
        if (attributes.Has(PerfSampleType.PERF_SAMPLE_BRANCH_STACK))
        {
            ulong count = cursor.ReadU64();
            if ((attributes.BranchSampleType & PerfBranchSampleType.PERF_SAMPLE_BRANCH_HW_INDEX) != 0)
                cursor.ReadU64();
            branches = cursor.TakeItems(count, PerfBranchEntryBits.Size);
            if ((attributes.BranchSampleType & PerfBranchSampleType.PERF_SAMPLE_BRANCH_COUNTERS) != 0)
                cursor.TakeItems(count, sizeof(ulong));
        }
        if ((attributes.SampleType & AfterBranchStack) != 0)
            SkipAfterBranchStack(ref cursor, attributes);
        if (cursor.Failed)
            return false;

        ulong tid = layout.Tid != 0 ? BinaryPrimitives.ReadUInt64LittleEndian(record[layout.Tid..]) : 0;
        sample = new PerfSample
        {
            ProcessId = (int)(uint)tid,
            ThreadId = (int)(tid >> 32),
            Time = layout.TimeInSample != 0 ? BinaryPrimitives.ReadUInt64LittleEndian(record[layout.TimeInSample..]) : 0,
            Ip = layout.Ip != 0 ? BinaryPrimitives.ReadUInt64LittleEndian(record[layout.Ip..]) : 0,
            HasExactIp = (PerfRecordHeader.Read(record).Misc & PerfRecordMisc.PERF_RECORD_MISC_EXACT_IP) != 0,
            Callchain = callchain,
            BranchStack = branches,
        };
        return true;
    }

    /// <summary>Converts the branch stack; <paramref name="entries"/> holds at least <see cref="BranchCount"/>.</summary>
    /// <returns>How many entries were written: those that the CPU left empty, at the old end, are not.</returns>
    public int CopyBranches(Span<BranchEntry> entries)
    {
        ReadOnlySpan<ulong> words = MemoryMarshal.Cast<byte, ulong>(BranchStack);
        int count = words.Length / 3;
        while (count > 0 && words[3 * count - 3] == 0 && words[3 * count - 2] == 0)
            count--;
        words = words[..(3 * count)];
        entries = entries[..count];
        for (int i = 0; i < entries.Length; i++)
        {
            ulong bits = words[3 * i + 2];
            BranchFlags flags = (BranchFlags)(bits & PerfBranchEntryBits.OutcomeMask);
            if ((bits >> PerfBranchEntryBits.SpeculationShift & 3) == PerfBranchEntryBits.PERF_BR_SPEC_WRONG_PATH)
                flags |= BranchFlags.SpeculativeWrongPath;
            if ((bits >> PerfBranchEntryBits.NotTakenShift & 1) != 0)
                flags |= BranchFlags.NotTaken;
            if ((bits >> PerfBranchEntryBits.TypeShift & 15) >= PerfBranchEntryBits.PERF_BR_IRQ && IsInterrupt(bits))
                flags |= BranchFlags.Interrupt;
            entries[i] = new BranchEntry(new(words[3 * i]), new(words[3 * i + 1]), flags);
        }
        return count;
    }

    private static bool IsInterrupt(ulong bits) => (uint)(bits >> PerfBranchEntryBits.TypeShift & 15) switch
    {
        PerfBranchEntryBits.PERF_BR_IRQ or PerfBranchEntryBits.PERF_BR_SERROR => true,
        PerfBranchEntryBits.PERF_BR_EXTEND_ABI =>
            (uint)(bits >> PerfBranchEntryBits.NewTypeShift & 15) != PerfBranchEntryBits.PERF_BR_NEW_ARCH_3,
        _ => false,
    };

    private const PerfSampleType AfterBranchStack =
        PerfSampleType.PERF_SAMPLE_REGS_USER | PerfSampleType.PERF_SAMPLE_STACK_USER | PerfSampleType.PERF_SAMPLE_WEIGHT
        | PerfSampleType.PERF_SAMPLE_WEIGHT_STRUCT | PerfSampleType.PERF_SAMPLE_DATA_SRC | PerfSampleType.PERF_SAMPLE_TRANSACTION
        | PerfSampleType.PERF_SAMPLE_REGS_INTR | PerfSampleType.PERF_SAMPLE_PHYS_ADDR | PerfSampleType.PERF_SAMPLE_CGROUP
        | PerfSampleType.PERF_SAMPLE_DATA_PAGE_SIZE | PerfSampleType.PERF_SAMPLE_CODE_PAGE_SIZE | PerfSampleType.PERF_SAMPLE_AUX;

    private const PerfSampleType OneWordAfterStack =
        PerfSampleType.PERF_SAMPLE_WEIGHT | PerfSampleType.PERF_SAMPLE_WEIGHT_STRUCT | PerfSampleType.PERF_SAMPLE_DATA_SRC
        | PerfSampleType.PERF_SAMPLE_TRANSACTION;

    private const PerfSampleType OneWordAfterRegisters =
        PerfSampleType.PERF_SAMPLE_PHYS_ADDR | PerfSampleType.PERF_SAMPLE_CGROUP
        | PerfSampleType.PERF_SAMPLE_DATA_PAGE_SIZE | PerfSampleType.PERF_SAMPLE_CODE_PAGE_SIZE;

    private static void SkipAfterBranchStack(ref RecordCursor cursor, PerfEventAttributes attributes)
    {
        if (attributes.Has(PerfSampleType.PERF_SAMPLE_REGS_USER))
            SkipRegisters(ref cursor, attributes.SampleRegistersUser);
        if (attributes.Has(PerfSampleType.PERF_SAMPLE_STACK_USER) && cursor.ReadU64() is not 0 and ulong size)
        {
            cursor.Take(size);
            cursor.ReadU64();
        }
        SkipWords(ref cursor, attributes.SampleType & OneWordAfterStack);
        if (attributes.Has(PerfSampleType.PERF_SAMPLE_REGS_INTR))
            SkipRegisters(ref cursor, attributes.SampleRegistersInterrupt);
        SkipWords(ref cursor, attributes.SampleType & OneWordAfterRegisters);
        if (attributes.Has(PerfSampleType.PERF_SAMPLE_AUX))
            cursor.Take(cursor.ReadU64());
    }

    private static void SkipWords(ref RecordCursor cursor, PerfSampleType fields) =>
        cursor.TakeItems((ulong)BitOperations.PopCount((ulong)fields), sizeof(ulong));

    private static void SkipRegisters(ref RecordCursor cursor, ulong mask)
    {
        // PERF_SAMPLE_REGS_ABI_NONE: the thread has no user registers, and none follow.
        if (cursor.ReadU64() != 0)
            cursor.TakeItems((ulong)BitOperations.PopCount(mask), sizeof(ulong));
    }

    private static void SkipRead(ref RecordCursor cursor, PerfReadFormat format)
    {
        const PerfReadFormat Times = PerfReadFormat.PERF_FORMAT_TOTAL_TIME_ENABLED | PerfReadFormat.PERF_FORMAT_TOTAL_TIME_RUNNING;
        const PerfReadFormat PerCounter = PerfReadFormat.PERF_FORMAT_ID | PerfReadFormat.PERF_FORMAT_LOST;
        int times = BitOperations.PopCount((ulong)(format & Times));
        int words = 1 + BitOperations.PopCount((ulong)(format & PerCounter));
        if ((format & PerfReadFormat.PERF_FORMAT_GROUP) == 0)
        {
            cursor.TakeItems((ulong)(words + times), sizeof(ulong));
            return;
        }
        ulong count = cursor.ReadU64();
        cursor.TakeItems((ulong)times, sizeof(ulong));
        cursor.TakeItems(count, words * sizeof(ulong));
    }
}
