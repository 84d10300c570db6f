using Perforator.PerfData;
using Perforator.Recording;
using Perforator.Recording.PerfEvents;

namespace Perforator.Tests.Recording.PerfEvents;

/// <summary>What is opened on CPUs and hypervisors that this machine is not, by what their kernels are documented to answer.</summary>
public sealed class BranchStackProbeTests : IDisposable
{
    private readonly ScriptedKernel kernel = new(0, 1, 2, 3);

    public void Dispose() => kernel.Dispose();

    private void Pmu(string name, uint type, string? cpus = null)
    {
        kernel.Files[$"{CpuPmu.Devices}/{name}/type"] = $"{type}";
        if (cpus is not null)
            kernel.Files[$"{CpuPmu.Devices}/{name}/cpus"] = cpus;
    }

    private static bool HasStack(PerfEventAttributes attributes) => attributes.Has(PerfSampleType.PERF_SAMPLE_BRANCH_STACK);

    private BranchStackSupport Probe()
    {
        BranchStackSupport support = BranchStackSupport.Probe(kernel);
        Assert.Equal(0, kernel.Descriptors);
        return support;
    }

    /// <summary>x86_pmu_event_init: a PMU's raw events are not open to the other kind's CPUs, and no other type knows them.</summary>
    [Fact]
    public void Hybrid_Intel_has_an_event_for_each_kind_of_cores()
    {
        Pmu("cpu_core", 4, "0-1");
        Pmu("cpu_atom", 10, "2-3");
        Pmu("uncore_imc_0", 20);
        kernel.Refuse = (a, _, cpu) => (a.Type, a.Config) switch
        {
            (4, 0x20c4) => cpu is -1 or 0 or 1 ? 0 : Syscalls.ENOENT,
            (10, 0xc0c4) => cpu is -1 or 2 or 3 ? 0 : Syscalls.ENOENT,
            _ => Syscalls.ENOENT,
        };
        BranchStackSupport support = Probe();
        Assert.Equal([("cpu_core", 0x20c4UL), ("cpu_atom", 0xc0c4UL)], support.Events.Select(e => (e.Pmu!.Name, e.Attributes.Config)));
        Assert.Equal("BR_INST_RETIRED.NEAR_TAKEN on cpu_core gives branch stacks of up to 2 entries, "
            + "BR_INST_RETIRED.NEAR_TAKEN on cpu_atom gives branch stacks of up to 2 entries, for all processes", support.Explanation);
        Assert.Equal(2, kernel.Pinned);
    }

    [Fact]
    public void Where_one_kind_of_cores_gives_nothing_the_other_is_recorded_and_that_is_told()
    {
        Pmu("cpu_core", 4, "0-1");
        Pmu("cpu_atom", 10, "2-3");
        kernel.StackOfLoop = static a => a.Type == 10 || a.Config >> 32 == 10 ? [] : [0x1040, 0x1010, 0];
        BranchStackSupport support = Probe();
        Assert.Equal(["cpu_core"], support.Events.Select(e => e.Pmu!.Name));
        Assert.Contains(
            "; none on cpu_atom (BR_INST_RETIRED.NEAR_TAKEN opens, but 39 of 39 branch stacks of a loop came empty)", support.Explanation,
            StringComparison.Ordinal);
        using PerfEventRings rings = new(kernel, support.Events, RecordingScope.AllProcesses);
        Assert.Equal([0, 1], rings.Cpus);
        Assert.StartsWith("CPU 2,3 is not recorded: its kind of cores", rings.DescribeFailures(), StringComparison.Ordinal);
    }

    /// <summary>Sierra Forest: one kind of cores, named cpu, that counts as E-cores do.</summary>
    [Fact]
    public void The_encoding_that_counts_a_loops_branches_is_taken()
    {
        Pmu("cpu", 4);
        kernel.CountOfLoop = static a => a.Config == 0x20c4 ? 7 : BranchTrial.LoopBranches;
        BranchStackSupport support = Probe();
        Assert.Equal(0xc0c4UL, Assert.Single(support.Events).Attributes.Config);
        Assert.Equal("opens, but counts 7 where a loop takes 2,000,000 branches", support.Trials[0].Refusal);
    }

    /// <summary>
    /// A hypervisor that shows counters and no LBR: the kernel of the guest may open the event, and the MSRs read as zero.
    /// </summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_guest_whose_stacks_stay_empty_falls_back_and_says_why(bool withEntries)
    {
        kernel.Files["/proc/cpuinfo"] = "vendor_id\t: GenuineIntel\nflags\t\t: fpu hypervisor";
        Pmu("cpu", 4);
        kernel.StackOfLoop = _ => withEntries ? [0, 0, 0, 0, 0, 0] : [];
        BranchStackSupport support = Probe();
        Assert.False(support.IsAvailable);
        Assert.StartsWith(
            "the hypervisor shows this guest no branch records (BR_INST_RETIRED.NEAR_TAKEN opens, but 39 of 39 branch stacks",
            support.Explanation, StringComparison.Ordinal);
        Assert.Equal("run on bare metal, or on an instance type that shows its guests the PMU", support.Remedy);
    }

    [Fact]
    public void An_event_without_samples_or_counts_is_not_taken()
    {
        kernel.StackOfLoop = static _ => null;
        Assert.Contains("opens and counts, but no sample comes", Probe().Explanation, StringComparison.Ordinal);
        kernel.CountOfLoop = static _ => 0;
        Assert.Contains("opens, but counts nothing", Probe().Explanation, StringComparison.Ordinal);
    }

    /// <summary>
    /// amd_brs_hw_config: a fixed period above the depth, retired taken branches, and all branches without further wishes.
    /// </summary>
    [Fact]
    public void Zen_3_is_asked_for_what_its_BRS_can_do()
    {
        kernel.Files["/proc/cpuinfo"] = "vendor_id\t: AuthenticAMD\nflags\t\t: fpu brs";
        const PerfBranchSampleType Levels =
            PerfBranchSampleType.PERF_SAMPLE_BRANCH_USER | PerfBranchSampleType.PERF_SAMPLE_BRANCH_KERNEL
                | PerfBranchSampleType.PERF_SAMPLE_BRANCH_HV;
        kernel.Refuse = static (a, _, _) => !HasStack(a) ? 0
            : a.Config != 0xc4 || a.Type != PerfEventAttributes.PERF_TYPE_RAW || (a.Flags & PerfAttributeFlags.Frequency) != 0
                || a.SamplePeriod <= 16
                || (a.BranchSampleType & ~Levels) != PerfBranchSampleType.PERF_SAMPLE_BRANCH_ANY
            ? Syscalls.EINVAL : 0;
        Assert.Equal("EX_RET_BRN_TKN", Assert.Single(Probe().Events).Name);
    }

    /// <summary>brbe_branch_attr_valid; cycles by the PMU's own number, as PERF_TYPE_HARDWARE means the first kind of cores.</summary>
    [Fact]
    public void Each_kind_of_Arm_cores_is_asked_with_the_types_of_branches()
    {
        kernel.Files["/proc/cpuinfo"] = "CPU implementer\t: 0x41\nCPU part\t: 0xd4f";
        Pmu("armv8_pmuv3_0", 8, "0-1");
        Pmu("armv8_pmuv3_1", 9, "2-3");
        kernel.CountOfLoop = static _ => 3_000_000;
        BranchStackSupport support = Probe();
        Assert.Equal([(8U, 0x11UL), (9U, 0x11UL)], support.Events.Select(e => (e.Attributes.Type, e.Attributes.Config)));
        Assert.All(support.Events, e =>
            Assert.NotEqual(default, e.Attributes.BranchSampleType & PerfBranchSampleType.PERF_SAMPLE_BRANCH_TYPE_SAVE));
    }

    [Fact]
    public void Guests_are_left_out_where_the_kernel_knows_how()
    {
        Assert.NotEqual(default, Assert.Single(Probe().Events).Attributes.Flags & PerfAttributeFlags.ExcludeGuest);
        kernel.Refuse = static (a, _, _) =>
            (a.Flags & (PerfAttributeFlags.ExcludeGuest | PerfAttributeFlags.BuildId)) != 0 ? Syscalls.EINVAL : 0;
        Assert.Equal(default, Assert.Single(Probe().Events).Attributes.Flags & PerfAttributeFlags.ExcludeGuest);
    }

    [Fact]
    public void With_the_kernels_branches_nothing_of_the_kernel_is_left_out()
    {
        PerfEventAttributes attributes = Assert.Single(BranchStackSupport.Probe(kernel, withKernel: true).Events).Attributes;
        Assert.Equal(default, attributes.Flags & PerfAttributeFlags.ExcludeKernel);
        Assert.NotEqual(default, attributes.BranchSampleType & PerfBranchSampleType.PERF_SAMPLE_BRANCH_KERNEL);
    }

    /// <summary>perf_event_open: perf_allow_kernel, perf_allow_cpu.</summary>
    [Fact]
    public void A_refusal_names_what_the_kernel_checks()
    {
        kernel.Files["/proc/sys/kernel/perf_event_paranoid"] = "3";
        kernel.Refuse = static (_, _, _) => Syscalls.EACCES;
        BranchStackSupport support = Probe();
        Assert.Contains("kernel.perf_event_paranoid is 3", support.Explanation, StringComparison.Ordinal);
        Assert.StartsWith("sudo sysctl kernel.perf_event_paranoid=2, or run with CAP_PERFMON", support.Remedy, StringComparison.Ordinal);

        kernel.Refuse = static (_, target, _) => target == -1 ? Syscalls.EACCES : 0;
        support = Probe();
        Assert.True(support.IsAvailable);
        Assert.False(support.IsSystemWide);
        Assert.EndsWith("for processes of this user only", support.Explanation, StringComparison.Ordinal);
        UserErrorException e =
            Assert.Throws<UserErrorException>(() => new PerfEventRings(kernel, support.Events, RecordingScope.AllProcesses));
        Assert.Contains("kernel.perf_event_paranoid is 3, CAP_PERFMON is missing", e.Message, StringComparison.Ordinal);
    }

    /// <summary>perf_mmap: pages of kernel.perf_event_mlock_kb for each CPU, then RLIMIT_MEMLOCK, unless CAP_IPC_LOCK.</summary>
    [Fact]
    public void Where_little_memory_may_be_locked_rings_are_smaller_and_where_none_may_the_message_says_what_lets_it()
    {
        BranchStackSupport support = Probe();
        kernel.LockablePages = 4 * 33;
        using (PerfEventRings rings = new(kernel, support.Events, RecordingScope.AllProcesses))
            Assert.Equal([0, 1, 2, 3], rings.Cpus);
        kernel.LockablePages = 1;
        UserErrorException e =
            Assert.Throws<UserErrorException>(() => new PerfEventRings(kernel, support.Events, RecordingScope.AllProcesses));
        Assert.Contains(
            "kernel.perf_event_mlock_kb = 516 KiB for each CPU, and RLIMIT_MEMLOCK = 64 KiB beyond, and CAP_IPC_LOCK is missing", e.Message,
            StringComparison.Ordinal);
        Assert.Equal(0, kernel.Descriptors);
        Assert.Contains("no ring buffer can be mapped", Probe().Explanation, StringComparison.Ordinal);
    }

    /// <summary>With pages of 64 KiB, kernel.perf_event_mlock_kb is 576: nine pages for each CPU.</summary>
    [Fact]
    public void Large_pages_fit_what_may_be_locked()
    {
        kernel.PageSize = 65536;
        kernel.LockablePages = 9 * 4;
        BranchStackSupport support = Probe();
        using PerfEventRings rings = new(kernel, support.Events, RecordingScope.AllProcesses);
        Assert.Equal([0, 1, 2, 3], rings.Cpus);
        Assert.Equal(PerfEventRings.RingBytes, 8 * kernel.PageSize);
    }
}
