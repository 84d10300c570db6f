using Perforator.PerfData;

namespace Perforator.Recording.PerfEvents;

/// <summary>An event to sample on, best first: the CPU's own count of taken branches, so that samples fall on branches evenly; else cycles.</summary>
/// <param name="Name">What it is called in the CPU vendor's manual.</param>
/// <param name="Attributes">What perf_event_open is asked for.</param>
internal sealed record BranchEvent(string Name, PerfEventAttributes Attributes)
{
    /// <summary>
    /// Taken branches between samples: prime, so that no loop's length divides it. A core that takes 500 million branches a second gives
    /// 500 stacks a second.
    /// </summary>
    public const ulong DefaultBranchPeriod = 1_000_003;

    /// <summary>Cycles between samples where taken branches are not counted: some 1,500 stacks a second at 3 GHz.</summary>
    public const ulong DefaultCyclePeriod = 2_000_003;

    /// <summary>Nanoseconds between samples of the CPU clock, 997 a second.</summary>
    public const ulong DefaultClockPeriod = 1_003_009;

    /// <summary>
    /// What to try on a CPU of this vendor (vendor_id of /proc/cpuinfo). AMD's BRS (Zen 3) takes nothing but retired taken branches at
    /// a fixed period; its LbrExtV2 (Zen 4 and later), Intel's LBR and Arm's BRBE take any event.
    /// </summary>
    public static IReadOnlyList<BranchEvent> CandidatesFor(string vendor) => vendor switch
    {
        // Event 0xc4, unit mask 0x20 (Intel SDM volume 3, chapter 20): retired near taken branches.
        "GenuineIntel" => [Raw("BR_INST_RETIRED.NEAR_TAKEN", 0x20c4), Cycles],
        // Event 0xc4 (AMD PPR, PMCx0C4): retired taken branch instructions.
        "AuthenticAMD" or "HygonGenuine" => [Raw("EX_RET_BRN_TKN", 0xc4), Cycles],
        _ => [Cycles],
    };

    /// <summary>The CPU clock, which every machine has but which carries no branch stacks: sampled addresses only.</summary>
    public static BranchEvent CpuClock { get; } = new("cpu-clock", Common with
    {
        Type = PerfEventAttributes.PERF_TYPE_SOFTWARE,
        Config = PerfEventAttributes.PERF_COUNT_SW_CPU_CLOCK,
        SamplePeriod = DefaultClockPeriod,
    });

    private static BranchEvent Cycles { get; } = new("cycles", WithBranchStack with
    {
        Type = PerfEventAttributes.PERF_TYPE_HARDWARE,
        Config = PerfEventAttributes.PERF_COUNT_HW_CPU_CYCLES,
        SamplePeriod = DefaultCyclePeriod,
    });

    private static BranchEvent Raw(string name, ulong config) => new(name, WithBranchStack with
    {
        Type = PerfEventAttributes.PERF_TYPE_RAW,
        Config = config,
        SamplePeriod = DefaultBranchPeriod,
    });

    /// <summary>User mode only; with the records that tell mappings, forks, execs and exits.</summary>
    private static PerfEventAttributes Common => new()
    {
        SampleType = PerfSampleType.PERF_SAMPLE_IP | PerfSampleType.PERF_SAMPLE_TID | PerfSampleType.PERF_SAMPLE_TIME | PerfSampleType.PERF_SAMPLE_CPU,
        Flags = PerfAttributeFlags.Disabled | PerfAttributeFlags.ExcludeKernel | PerfAttributeFlags.ExcludeHypervisor | PerfAttributeFlags.Mmap
            | PerfAttributeFlags.Mmap2 | PerfAttributeFlags.Comm | PerfAttributeFlags.CommExec | PerfAttributeFlags.Task
            | PerfAttributeFlags.SampleIdAll | PerfAttributeFlags.Watermark,
    };

    private static PerfEventAttributes WithBranchStack => Common with
    {
        SampleType = Common.SampleType | PerfSampleType.PERF_SAMPLE_BRANCH_STACK,
        BranchSampleType = PerfBranchSampleType.PERF_SAMPLE_BRANCH_USER | PerfBranchSampleType.PERF_SAMPLE_BRANCH_ANY,
    };
}
