using System.Buffers.Binary;
using Perforator.Bytes;

namespace Perforator.PerfData;

/// <summary>
/// struct perf_event_attr: what perf_event_open is asked for, and what a perf.data file says its records were made with. Read at any size
/// the kernel ever had; written at the size of Linux 4.1 (PERF_ATTR_SIZE_VER5, 112 bytes), which every kernel since accepts.
/// </summary>
public sealed record PerfEventAttributes
{
    /// <summary>PERF_ATTR_SIZE_VER0, the smallest size there is.</summary>
    public const int MinSize = 64;

    /// <summary>PERF_ATTR_SIZE_VER5, the size <see cref="ToBytes"/> writes.</summary>
    public const int WrittenSize = 112;

    public const uint PERF_TYPE_HARDWARE = 0;
    public const uint PERF_TYPE_SOFTWARE = 1;
    public const uint PERF_TYPE_RAW = 4;
    public const ulong PERF_COUNT_HW_CPU_CYCLES = 0;
    public const ulong PERF_COUNT_SW_CPU_CLOCK = 0;
    public const ulong PERF_COUNT_SW_TASK_CLOCK = 1;
    public const ulong PERF_COUNT_SW_DUMMY = 9;

    /// <summary>PERF_TYPE_HARDWARE, PERF_TYPE_RAW, … or the number of a PMU in sysfs.</summary>
    public uint Type { get; init; }

    public ulong Config { get; init; }

    /// <summary>Events between samples, or samples a second when <see cref="PerfAttributeFlags.Frequency"/> is set.</summary>
    public ulong SamplePeriod { get; init; }

    public PerfSampleType SampleType { get; init; }

    public PerfReadFormat ReadFormat { get; init; }

    public PerfAttributeFlags Flags { get; init; }

    /// <summary>Samples, or bytes when <see cref="PerfAttributeFlags.Watermark"/> is set, before a wake-up.</summary>
    public uint WakeUp { get; init; }

    public ulong Config1 { get; init; }

    public ulong Config2 { get; init; }

    public PerfBranchSampleType BranchSampleType { get; init; }

    /// <summary>One bit per user register in a sample.</summary>
    public ulong SampleRegistersUser { get; init; }

    /// <summary>One bit per interrupted register in a sample.</summary>
    public ulong SampleRegistersInterrupt { get; init; }

    public int ClockId { get; init; }

    /// <summary>precise_ip: 0 any skid, 1 constant skid, 2 zero skid asked for, 3 zero skid required.</summary>
    public int PreciseIp => (int)((ulong)Flags >> 15 & 3);

    /// <summary>What perf calls the event, where the file does not say; raw events by their number.</summary>
    public string Name => (Type, Config & uint.MaxValue) switch
    {
        (PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES) => "cycles",
        (PERF_TYPE_HARDWARE, 1) => "instructions",
        (PERF_TYPE_HARDWARE, 4) => "branches",
        (PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_CLOCK) => "cpu-clock",
        (PERF_TYPE_SOFTWARE, PERF_COUNT_SW_TASK_CLOCK) => "task-clock",
        (PERF_TYPE_SOFTWARE, PERF_COUNT_SW_DUMMY) => "dummy",
        (PERF_TYPE_RAW, var config) => "r" + config.ToString("x", System.Globalization.CultureInfo.InvariantCulture),
        var (type, config) => string.Create(System.Globalization.CultureInfo.InvariantCulture, $"type {type} config 0x{config:x}"),
    };

    /// <summary>
    /// Whether every taken branch is in the branch stack. Filters (calls only, a call stack) leave branches out, so that the code
    /// between two entries need not have run straight through. Stacks that perf makes of a trace (perf inject --itrace of Intel PT, Arm
    /// CoreSight and SPE) name no type of branch, which the kernel never accepts: nothing was left out of them.
    /// </summary>
    public bool HasAllBranches =>
        (BranchSampleType & AnyBranchType) == 0
        || ((BranchSampleType & PerfBranchSampleType.PERF_SAMPLE_BRANCH_ANY) != 0
            && (BranchSampleType & PerfBranchSampleType.PERF_SAMPLE_BRANCH_CALL_STACK) == 0);

    private const PerfBranchSampleType AnyBranchType =
        PerfBranchSampleType.PERF_SAMPLE_BRANCH_ANY | PerfBranchSampleType.PERF_SAMPLE_BRANCH_ANY_CALL
            | PerfBranchSampleType.PERF_SAMPLE_BRANCH_ANY_RETURN
        | PerfBranchSampleType.PERF_SAMPLE_BRANCH_IND_CALL | PerfBranchSampleType.PERF_SAMPLE_BRANCH_ABORT_TX
        | PerfBranchSampleType.PERF_SAMPLE_BRANCH_IN_TX
        | PerfBranchSampleType.PERF_SAMPLE_BRANCH_NO_TX | PerfBranchSampleType.PERF_SAMPLE_BRANCH_COND
        | PerfBranchSampleType.PERF_SAMPLE_BRANCH_CALL_STACK
        | PerfBranchSampleType.PERF_SAMPLE_BRANCH_IND_JUMP | PerfBranchSampleType.PERF_SAMPLE_BRANCH_CALL;

    /// <summary>Whether a sample has the field.</summary>
    public bool Has(PerfSampleType field) => (SampleType & field) != 0;

    /// <summary>
    /// Reads the structure, whose size field says how much of <paramref name="bytes"/> it is; fields a smaller, older one lacks are
    /// zero and what a larger, newer one adds is skipped.
    /// </summary>
    /// <exception cref="MalformedInputException">The size is smaller than the smallest there is, or larger than what is there.</exception>
    public static PerfEventAttributes Parse(ReadOnlySpan<byte> bytes)
    {
        SpanReader reader = new(bytes, "perf_event_attr");
        uint type = reader.ReadU32();
        uint size = reader.ReadU32();
        if (size == 0)
            size = MinSize;
        if (size < MinSize || size > bytes.Length)
            throw reader.Malformed($"size {size} with {bytes.Length} bytes there");
        bytes = bytes[..(int)size];
        return new PerfEventAttributes
        {
            Type = type,
            Config = reader.ReadU64(),
            SamplePeriod = reader.ReadU64(),
            SampleType = (PerfSampleType)reader.ReadU64(),
            ReadFormat = (PerfReadFormat)reader.ReadU64(),
            Flags = (PerfAttributeFlags)reader.ReadU64(),
            WakeUp = reader.ReadU32(),
            Config1 = U64(bytes, 56),
            Config2 = U64(bytes, 64),
            BranchSampleType = (PerfBranchSampleType)U64(bytes, 72),
            SampleRegistersUser = U64(bytes, 80),
            SampleRegistersInterrupt = U64(bytes, 96),
            ClockId = bytes.Length >= 96 ? BinaryPrimitives.ReadInt32LittleEndian(bytes[92..]) : 0,
        };
    }

    /// <summary>The structure as perf_event_open takes it.</summary>
    public byte[] ToBytes()
    {
        byte[] bytes = new byte[WrittenSize];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, Type);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(4), WrittenSize);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(8), Config);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(16), SamplePeriod);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(24), (ulong)SampleType);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(32), (ulong)ReadFormat);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(40), (ulong)Flags);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(48), WakeUp);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(56), Config1);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(64), Config2);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(72), (ulong)BranchSampleType);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(80), SampleRegistersUser);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(92), ClockId);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(96), SampleRegistersInterrupt);
        return bytes;
    }

    private static ulong U64(ReadOnlySpan<byte> bytes, int offset) =>
        bytes.Length >= offset + 8 ? BinaryPrimitives.ReadUInt64LittleEndian(bytes[offset..]) : 0;
}
