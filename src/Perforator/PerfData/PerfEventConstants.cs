namespace Perforator.PerfData;

// Spelling and values are those of include/uapi/linux/perf_event.h.

/// <summary>perf_event_attr.sample_type: which fields a PERF_RECORD_SAMPLE has, in the order the kernel writes them.</summary>
[Flags]
public enum PerfSampleType : ulong
{
    PERF_SAMPLE_IP = 1 << 0,
    PERF_SAMPLE_TID = 1 << 1,
    PERF_SAMPLE_TIME = 1 << 2,
    PERF_SAMPLE_ADDR = 1 << 3,
    PERF_SAMPLE_READ = 1 << 4,
    PERF_SAMPLE_CALLCHAIN = 1 << 5,
    PERF_SAMPLE_ID = 1 << 6,
    PERF_SAMPLE_CPU = 1 << 7,
    PERF_SAMPLE_PERIOD = 1 << 8,
    PERF_SAMPLE_STREAM_ID = 1 << 9,
    PERF_SAMPLE_RAW = 1 << 10,
    PERF_SAMPLE_BRANCH_STACK = 1 << 11,
    PERF_SAMPLE_IDENTIFIER = 1 << 16,
}

/// <summary>perf_event_attr.branch_sample_type: which branches a branch stack holds and what else its entries carry.</summary>
[Flags]
public enum PerfBranchSampleType : ulong
{
    PERF_SAMPLE_BRANCH_USER = 1 << 0,
    PERF_SAMPLE_BRANCH_KERNEL = 1 << 1,
    PERF_SAMPLE_BRANCH_HV = 1 << 2,
    PERF_SAMPLE_BRANCH_ANY = 1 << 3,
    PERF_SAMPLE_BRANCH_CALL_STACK = 1 << 11,

    /// <summary>The stack is preceded by the hardware's index of its newest entry.</summary>
    PERF_SAMPLE_BRANCH_HW_INDEX = 1 << 17,

    /// <summary>The stack is followed by one word of counters per entry.</summary>
    PERF_SAMPLE_BRANCH_COUNTERS = 1 << 19,
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

/// <summary>perf_event_header.type of the records the kernel writes.</summary>
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
}

/// <summary>perf_event_header.misc. Some bits mean different things for different record types.</summary>
[Flags]
public enum PerfRecordMisc : ushort
{
    None = 0,
    PERF_RECORD_MISC_KERNEL = 1,
    PERF_RECORD_MISC_USER = 2,
    PERF_RECORD_MISC_CPUMODE_MASK = 7,

    /// <summary>Of PERF_RECORD_MMAP: not executable.</summary>
    PERF_RECORD_MISC_MMAP_DATA = 1 << 13,

    /// <summary>Of PERF_RECORD_COMM: caused by exec.</summary>
    PERF_RECORD_MISC_COMM_EXEC = 1 << 13,

    /// <summary>Of PERF_RECORD_SAMPLE: the instruction pointer is exact (no skid).</summary>
    PERF_RECORD_MISC_EXACT_IP = 1 << 14,

    /// <summary>Of PERF_RECORD_MMAP2: carries a build id in place of device and inode.</summary>
    PERF_RECORD_MISC_MMAP_BUILD_ID = 1 << 14,
}
