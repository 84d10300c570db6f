namespace Perforator.PerfData;

// Spelling and values are those of include/uapi/linux/perf_event.h.

/// <summary>perf_event_attr.sample_type: which fields a PERF_RECORD_SAMPLE has, in the order the kernel writes them.</summary>
[Flags]
public enum PerfSampleType : ulong
{
    PERF_SAMPLE_IP = 1UL << 0,
    PERF_SAMPLE_TID = 1UL << 1,
    PERF_SAMPLE_TIME = 1UL << 2,
    PERF_SAMPLE_ADDR = 1UL << 3,
    PERF_SAMPLE_READ = 1UL << 4,
    PERF_SAMPLE_CALLCHAIN = 1UL << 5,
    PERF_SAMPLE_ID = 1UL << 6,
    PERF_SAMPLE_CPU = 1UL << 7,
    PERF_SAMPLE_PERIOD = 1UL << 8,
    PERF_SAMPLE_STREAM_ID = 1UL << 9,
    PERF_SAMPLE_RAW = 1UL << 10,
    PERF_SAMPLE_BRANCH_STACK = 1UL << 11,
    PERF_SAMPLE_REGS_USER = 1UL << 12,
    PERF_SAMPLE_STACK_USER = 1UL << 13,
    PERF_SAMPLE_WEIGHT = 1UL << 14,
    PERF_SAMPLE_DATA_SRC = 1UL << 15,
    PERF_SAMPLE_IDENTIFIER = 1UL << 16,
    PERF_SAMPLE_TRANSACTION = 1UL << 17,
    PERF_SAMPLE_REGS_INTR = 1UL << 18,
    PERF_SAMPLE_PHYS_ADDR = 1UL << 19,
    PERF_SAMPLE_AUX = 1UL << 20,
    PERF_SAMPLE_CGROUP = 1UL << 21,
    PERF_SAMPLE_DATA_PAGE_SIZE = 1UL << 22,
    PERF_SAMPLE_CODE_PAGE_SIZE = 1UL << 23,
    PERF_SAMPLE_WEIGHT_STRUCT = 1UL << 24,
}

/// <summary>perf_event_attr.branch_sample_type: which branches a branch stack holds and what else its entries carry.</summary>
[Flags]
public enum PerfBranchSampleType : ulong
{
    PERF_SAMPLE_BRANCH_USER = 1UL << 0,
    PERF_SAMPLE_BRANCH_KERNEL = 1UL << 1,
    PERF_SAMPLE_BRANCH_HV = 1UL << 2,
    PERF_SAMPLE_BRANCH_ANY = 1UL << 3,
    PERF_SAMPLE_BRANCH_ANY_CALL = 1UL << 4,
    PERF_SAMPLE_BRANCH_ANY_RETURN = 1UL << 5,
    PERF_SAMPLE_BRANCH_IND_CALL = 1UL << 6,
    PERF_SAMPLE_BRANCH_ABORT_TX = 1UL << 7,
    PERF_SAMPLE_BRANCH_IN_TX = 1UL << 8,
    PERF_SAMPLE_BRANCH_NO_TX = 1UL << 9,
    PERF_SAMPLE_BRANCH_COND = 1UL << 10,
    PERF_SAMPLE_BRANCH_CALL_STACK = 1UL << 11,
    PERF_SAMPLE_BRANCH_IND_JUMP = 1UL << 12,
    PERF_SAMPLE_BRANCH_CALL = 1UL << 13,
    PERF_SAMPLE_BRANCH_NO_FLAGS = 1UL << 14,
    PERF_SAMPLE_BRANCH_NO_CYCLES = 1UL << 15,
    PERF_SAMPLE_BRANCH_TYPE_SAVE = 1UL << 16,

    /// <summary>The stack is preceded by the hardware's index of its newest entry.</summary>
    PERF_SAMPLE_BRANCH_HW_INDEX = 1UL << 17,

    PERF_SAMPLE_BRANCH_PRIV_SAVE = 1UL << 18,

    /// <summary>The stack is followed by one word of counters per entry.</summary>
    PERF_SAMPLE_BRANCH_COUNTERS = 1UL << 19,
}

/// <summary>perf_event_attr.read_format: the shape of the counter values in a PERF_SAMPLE_READ field.</summary>
[Flags]
public enum PerfReadFormat : ulong
{
    PERF_FORMAT_TOTAL_TIME_ENABLED = 1 << 0,
    PERF_FORMAT_TOTAL_TIME_RUNNING = 1 << 1,
    PERF_FORMAT_ID = 1 << 2,
    PERF_FORMAT_GROUP = 1 << 3,
    PERF_FORMAT_LOST = 1 << 4,
}

/// <summary>The bit field of perf_event_attr, from bit 0 (disabled) upwards.</summary>
[Flags]
public enum PerfAttributeFlags : ulong
{
    None = 0,
    Disabled = 1UL << 0,
    Inherit = 1UL << 1,
    ExcludeUser = 1UL << 4,
    ExcludeKernel = 1UL << 5,
    ExcludeHypervisor = 1UL << 6,
    ExcludeIdle = 1UL << 7,
    Mmap = 1UL << 8,
    Comm = 1UL << 9,
    Frequency = 1UL << 10,
    EnableOnExec = 1UL << 12,
    Task = 1UL << 13,
    Watermark = 1UL << 14,
    PreciseIp1 = 1UL << 15,
    PreciseIp2 = 1UL << 16,
    MmapData = 1UL << 17,
    SampleIdAll = 1UL << 18,
    ExcludeHost = 1UL << 19,
    ExcludeGuest = 1UL << 20,
    Mmap2 = 1UL << 23,
    CommExec = 1UL << 24,
    UseClockId = 1UL << 25,
    BuildId = 1UL << 34,
}

/// <summary>
/// perf_event_header.type: the kernel's records and, from 64, those that only the <c>perf</c> tool writes
/// (tools/lib/perf/include/perf/event.h, enum perf_user_event_type).
/// </summary>
public enum PerfRecordType : uint
{
    PERF_RECORD_MMAP = 1,
    PERF_RECORD_LOST = 2,
    PERF_RECORD_COMM = 3,
    PERF_RECORD_EXIT = 4,
    PERF_RECORD_THROTTLE = 5,
    PERF_RECORD_UNTHROTTLE = 6,
    PERF_RECORD_FORK = 7,
    PERF_RECORD_READ = 8,
    PERF_RECORD_SAMPLE = 9,
    PERF_RECORD_MMAP2 = 10,
    PERF_RECORD_AUX = 11,
    PERF_RECORD_ITRACE_START = 12,
    PERF_RECORD_LOST_SAMPLES = 13,
    PERF_RECORD_SWITCH = 14,
    PERF_RECORD_SWITCH_CPU_WIDE = 15,
    PERF_RECORD_NAMESPACES = 16,
    PERF_RECORD_KSYMBOL = 17,
    PERF_RECORD_BPF_EVENT = 18,
    PERF_RECORD_CGROUP = 19,
    PERF_RECORD_TEXT_POKE = 20,
    PERF_RECORD_AUX_OUTPUT_HW_ID = 21,

    /// <summary>The first of the types that only the perf tool writes, into files.</summary>
    PERF_RECORD_USER_TYPE_START = 64,
    PERF_RECORD_HEADER_ATTR = 64,
    PERF_RECORD_HEADER_EVENT_TYPE = 65,
    PERF_RECORD_HEADER_TRACING_DATA = 66,
    PERF_RECORD_HEADER_BUILD_ID = 67,
    PERF_RECORD_FINISHED_ROUND = 68,
    PERF_RECORD_ID_INDEX = 69,
    PERF_RECORD_AUXTRACE_INFO = 70,
    PERF_RECORD_AUXTRACE = 71,
    PERF_RECORD_AUXTRACE_ERROR = 72,
    PERF_RECORD_THREAD_MAP = 73,
    PERF_RECORD_CPU_MAP = 74,
    PERF_RECORD_STAT_CONFIG = 75,
    PERF_RECORD_STAT = 76,
    PERF_RECORD_STAT_ROUND = 77,
    PERF_RECORD_EVENT_UPDATE = 78,
    PERF_RECORD_TIME_CONV = 79,
    PERF_RECORD_HEADER_FEATURE = 80,
    PERF_RECORD_COMPRESSED = 81,
    PERF_RECORD_FINISHED_INIT = 82,
    PERF_RECORD_COMPRESSED2 = 83,

    /// <summary>
    /// The first of the types that only simpleperf writes (simpleperf, record.h): symbols, debug info of JIT code and the like.
    /// </summary>
    SIMPLE_PERF_RECORD_TYPE_START = 32768,

    /// <summary>One past those that it may have in time; others are a sign of damage.</summary>
    SIMPLE_PERF_RECORD_TYPE_END = 33024,
}

/// <summary>perf_event_header.misc. Some bits mean different things for different record types.</summary>
[Flags]
public enum PerfRecordMisc : ushort
{
    None = 0,
    PERF_RECORD_MISC_KERNEL = 1,
    PERF_RECORD_MISC_USER = 2,
    PERF_RECORD_MISC_GUEST_KERNEL = 4,
    PERF_RECORD_MISC_GUEST_USER = 5,
    PERF_RECORD_MISC_CPUMODE_MASK = 7,

    /// <summary>Of PERF_RECORD_MMAP: not executable.</summary>
    PERF_RECORD_MISC_MMAP_DATA = 1 << 13,

    /// <summary>Of PERF_RECORD_COMM: caused by exec.</summary>
    PERF_RECORD_MISC_COMM_EXEC = 1 << 13,

    /// <summary>Of PERF_RECORD_SAMPLE: the instruction pointer is exact (no skid).</summary>
    PERF_RECORD_MISC_EXACT_IP = 1 << 14,

    /// <summary>Of PERF_RECORD_MMAP2: carries a build id in place of device and inode.</summary>
    PERF_RECORD_MISC_MMAP_BUILD_ID = 1 << 14,

    /// <summary>Of PERF_RECORD_HEADER_BUILD_ID: the build id's size follows it.</summary>
    PERF_RECORD_MISC_BUILD_ID_SIZE = 1 << 15,
}

/// <summary>
/// perf_branch_entry's third word: mispred:1 predicted:1 in_tx:1 abort:1 cycles:16 type:4 spec:2 new_type:4 priv:3, and not_taken:1, which
/// perf's own tools add (tools/perf/util/branch.h, Linux 6.15).
/// </summary>
public static class PerfBranchEntryBits
{
    /// <summary>Size of one perf_branch_entry: from, to, flags.</summary>
    public const int Size = 24;

    /// <summary>mispred, predicted, in_tx and abort, which have the values of <see cref="Branches.BranchFlags"/>.</summary>
    public const ulong OutcomeMask = 0xf;

    /// <summary>spec: 0 not available, 1 wrong path, 2 correct path without speculation, 3 speculated correct path.</summary>
    public const int SpeculationShift = 24;

    /// <summary>type, PERF_BR_*: 4 bits.</summary>
    public const int TypeShift = 20;

    /// <summary>new_type, PERF_BR_NEW_*: 4 bits that say more when type is PERF_BR_EXTEND_ABI.</summary>
    public const int NewTypeShift = 26;

    /// <summary>not_taken.</summary>
    public const int NotTakenShift = 33;

    public const uint PERF_BR_IRQ = 12;
    public const uint PERF_BR_SERROR = 13;
    public const uint PERF_BR_EXTEND_ABI = 15;

    /// <summary>PERF_BR_NEW_ARCH_3, on Arm the return from a debugger's stop; all other new types are faults and interrupts.</summary>
    public const uint PERF_BR_NEW_ARCH_3 = 5;

    /// <summary>PERF_BR_SPEC_WRONG_PATH.</summary>
    public const ulong PERF_BR_SPEC_WRONG_PATH = 1;
}
