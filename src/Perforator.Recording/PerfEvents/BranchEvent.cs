using Perforator.PerfData;

namespace Perforator.Recording.PerfEvents;

/// <summary>
/// An event to sample on, best first: the CPU's own count of taken branches, so that samples fall on branches evenly; else cycles.
/// </summary>
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
    /// Where the kernel takes the PMU's type in the event number of PERF_TYPE_HARDWARE (PERF_PMU_TYPE_SHIFT, Linux 5.13).
    /// </summary>
    private const int PERF_PMU_TYPE_SHIFT = 32;

    /// <summary>The event number of CPU_CYCLES on every PMU of Arm's (Arm ARM, PMU common events).</summary>
    private const ulong ArmCpuCycles = 0x11;

    /// <summary>The kind of cores that count it; null for an event that every CPU has.</summary>
    public CpuPmu? Pmu { get; init; }

    /// <summary>Whether it counts taken branches, which the trial of it checks.</summary>
    public bool CountsTakenBranches { get; init; }

    /// <summary>Whether a CPU counts it.</summary>
    public bool RunsOn(int cpu) => Pmu is null || Pmu.Covers(cpu);

    /// <summary>
    /// What to try on one kind of cores, in this order. AMD's BRS (Zen 3) takes nothing but retired taken branches at a fixed period; its
    /// LbrExtV2 (Zen 4 and later), Intel's LBR and Arm's BRBE take any event.
    /// </summary>
    /// <param name="vendor">vendor_id of /proc/cpuinfo; empty on Arm.</param>
    /// <param name="pmu">The kind of cores.</param>
    public static IReadOnlyList<BranchEvent> CandidatesFor(string vendor, CpuPmu pmu) => (vendor, pmu.Name) switch
    {
        ("GenuineIntel", "cpu_core") => [NearTakenOfCores(pmu), Cycles(pmu)],

        // Gracemont and its successors beside such cores: cpu_atom and, from Arrow Lake H on, cpu_lowpower.
        ("GenuineIntel", not "cpu") => [NearTakenOfAtoms(pmu), Cycles(pmu)],

        // One kind only, of which family is not said: Sierra Forest counts as Atoms do. The trial tells which of the two counts.
        ("GenuineIntel", _) => [NearTakenOfCores(pmu), NearTakenOfAtoms(pmu), Cycles(pmu)],

        // Event 0xc4 (AMD PPR, PMCx0C4): retired taken branch instructions.
        ("AuthenticAMD" or "HygonGenuine", _) => [Raw("EX_RET_BRN_TKN", pmu, 0xc4) with { CountsTakenBranches = true }, Cycles(pmu)],
        ("", _) => [ArmCycles(pmu)],
        _ => [Cycles(pmu)],
    };

    /// <summary>The CPU clock, which every machine has but which carries no branch stacks: sampled addresses only.</summary>
    public static BranchEvent CpuClock { get; } = new("cpu-clock", Common with
    {
        Type = PerfEventAttributes.PERF_TYPE_SOFTWARE,
        Config = PerfEventAttributes.PERF_COUNT_SW_CPU_CLOCK,
        SamplePeriod = DefaultClockPeriod,
    });

    /// <summary>The same event for the kernel's code too, which takes CAP_PERFMON or kernel.perf_event_paranoid below 2.</summary>
    public BranchEvent WithKernel() => this with
    {
        Attributes = Attributes with
        {
            Flags = Attributes.Flags & ~PerfAttributeFlags.ExcludeKernel,
            BranchSampleType = Attributes.BranchSampleType == 0
                ? 0 : Attributes.BranchSampleType | PerfBranchSampleType.PERF_SAMPLE_BRANCH_KERNEL,
        },
    };

    /// <summary>Event 0xc4, unit mask 0x20 (Intel SDM volume 3, chapter 20; perf's tables of every Core since Sandy Bridge).</summary>
    private static BranchEvent NearTakenOfCores(CpuPmu pmu) =>
        Raw("BR_INST_RETIRED.NEAR_TAKEN", pmu, 0x20c4) with { CountsTakenBranches = true };

    /// <summary>Event 0xc4, unit mask 0xc0 (perf's tables of Tremont, Alder Lake's and Lunar Lake's E-cores, Sierra Forest).</summary>
    private static BranchEvent NearTakenOfAtoms(CpuPmu pmu) =>
        Raw("BR_INST_RETIRED.NEAR_TAKEN", pmu, 0xc0c4) with { CountsTakenBranches = true };

    private static BranchEvent Cycles(CpuPmu pmu) => new("cycles", WithBranchStack with
    {
        Type = PerfEventAttributes.PERF_TYPE_HARDWARE,
        Config = PerfEventAttributes.PERF_COUNT_HW_CPU_CYCLES | (pmu.Cpus is null ? 0 : (ulong)pmu.Type << PERF_PMU_TYPE_SHIFT),
        SamplePeriod = DefaultCyclePeriod,
    })
    { Pmu = pmu };

    /// <summary>
    /// With the types of branches, which BRBE keeps and x86 would have to decode the code for: an exception is no branch.
    /// PERF_TYPE_HARDWARE would name the first kind of cores only.
    /// </summary>
    private static BranchEvent ArmCycles(CpuPmu pmu)
    {
        BranchEvent raw = Raw("CPU_CYCLES", pmu, ArmCpuCycles);
        return raw with
        {
            Attributes = raw.Attributes with
            {
                SamplePeriod = DefaultCyclePeriod,
                BranchSampleType = raw.Attributes.BranchSampleType | PerfBranchSampleType.PERF_SAMPLE_BRANCH_TYPE_SAVE,
            },
        };
    }

    private static BranchEvent Raw(string name, CpuPmu pmu, ulong config) => new(name, WithBranchStack with
    {
        Type = pmu.Type,
        Config = config,
        SamplePeriod = DefaultBranchPeriod,
    })
    { Pmu = pmu };

    /// <summary>
    /// User mode only, of this system and not of its guests, whose addresses mean nothing here; with the records that tell mappings, forks,
    /// execs and exits.
    /// </summary>
    private static PerfEventAttributes Common => new()
    {
        SampleType = PerfSampleType.PERF_SAMPLE_IP | PerfSampleType.PERF_SAMPLE_TID | PerfSampleType.PERF_SAMPLE_TIME
            | PerfSampleType.PERF_SAMPLE_CPU | PerfSampleType.PERF_SAMPLE_PERIOD,
        Flags = PerfAttributeFlags.Disabled | PerfAttributeFlags.ExcludeKernel | PerfAttributeFlags.ExcludeHypervisor
            | PerfAttributeFlags.ExcludeGuest | PerfAttributeFlags.Mmap | PerfAttributeFlags.Mmap2 | PerfAttributeFlags.Comm
            | PerfAttributeFlags.CommExec | PerfAttributeFlags.Task | PerfAttributeFlags.SampleIdAll | PerfAttributeFlags.Watermark,
    };

    private static PerfEventAttributes WithBranchStack => Common with
    {
        SampleType = Common.SampleType | PerfSampleType.PERF_SAMPLE_BRANCH_STACK,
        BranchSampleType = PerfBranchSampleType.PERF_SAMPLE_BRANCH_USER | PerfBranchSampleType.PERF_SAMPLE_BRANCH_ANY,
    };
}
