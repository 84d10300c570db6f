using Perforator.Branches;
using Perforator.PerfData;
using Perforator.Recording;
using Perforator.Recording.PerfEvents;
using Perforator.Tests.PerfData;

namespace Perforator.Tests.Recording.PerfEvents;

/// <summary>The recorder on kernels that do what this machine's would not.</summary>
public sealed class ScriptedRecordingTests : IDisposable
{
    private const int First = 2_000_009, Second = 2_000_019;

    private sealed class Wanted(params int[] ids) : IRecordingTargets
    {
        public HashSet<int> Ids { get; } = [.. ids];

        public bool IsSelective { get; init; }

        public double HighestShare { get; set; } = 1;

        public double? ShareOf(int processId) => HighestShare;

        public bool Wants(int processId, bool isChildOfWanted) => Ids.Contains(processId);

        public IReadOnlySet<int>? Refresh() => Ids.Count == 0 ? null : new HashSet<int>(Ids);
    }

    private static readonly CpuPmu Cores = new("cpu", PerfEventAttributes.PERF_TYPE_RAW, null);
    private static readonly BranchEvent Branches = BranchEvent.CandidatesFor("GenuineIntel", Cores)[0];

    private readonly ScriptedKernel kernel = new(0, 1);
    private readonly SinkLog log = new();

    public void Dispose() => kernel.Dispose();

    /// <summary>Records until the script has ended, and checks that nothing stays open.</summary>
    private PerfEventRecorder Record(Wanted wanted, bool isSystemWide, params BranchEvent[] events)
    {
        PerfEventRecorder recorder = new(wanted, kernel, events.Length == 0 ? [Branches] : events, isSystemWide);
        using CancellationTokenSource stop = new();
        kernel.Then(() => { });
        kernel.Then(stop.Cancel);
        recorder.Run(log, stop.Token);
        Assert.Equal(0, kernel.Descriptors);
        return recorder;
    }

    private IEnumerable<string> Samples(int processId) =>
        log.Lines.Where(l => l.StartsWith($"sample {processId}/", StringComparison.Ordinal));

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_program_whose_threads_end_is_not_forgotten_and_then_counted_twice(bool isSystemWide)
    {
        kernel.Start(First, First + 1, First + 2);
        kernel.Then(() => kernel.Fork(First, First + 3, asThread: true));
        kernel.Then(() => kernel.Exit(First + 3));
        kernel.Then(() => kernel.Exit(First + 1));
        kernel.Then(() => { }, after: 2);
        int before = 0;
        kernel.Then(() => before = kernel.Descriptors, after: 2);
        kernel.Then(() => kernel.Sample(First), after: 2);
        kernel.Then(() => kernel.Sample(First + 2), after: 2);
        kernel.Then(() => Assert.Equal(before, kernel.Descriptors), after: 2);
        PerfEventRecorder recorder = Record(new Wanted(First), isSystemWide);

        Assert.Single(Samples(First), s => s.StartsWith($"sample {First}/{First} ", StringComparison.Ordinal));
        Assert.Single(Samples(First), s => s.StartsWith($"sample {First}/{First + 2} ", StringComparison.Ordinal));
        Assert.DoesNotContain(log.Lines, l => l.StartsWith("exit", StringComparison.Ordinal));
        Assert.Equal(2UL, recorder.Statistics.Samples);
    }

    [Fact]
    public void Children_of_a_process_recorded_thread_by_thread_go_on_after_its_end_and_are_let_go_of_after_theirs()
    {
        kernel.Start(First);
        Wanted wanted = new(First);
        kernel.Then(() => kernel.Fork(First, First + 1, cpu: 1));
        kernel.Then(() => kernel.Fork(First + 1, First + 2));
        kernel.Then(() =>
        {
            kernel.Exit(First);
            wanted.Ids.Remove(First);
            wanted.Ids.UnionWith([First + 1, First + 2]);
        });
        kernel.Then(() => { }, after: 2);
        kernel.Then(() => { }, after: 2);
        kernel.Then(() => kernel.Sample(First + 2, cpu: 1), after: 2);
        kernel.Then(() => kernel.Sample(First + 1));
        kernel.Then(() =>
        {
            kernel.Exit(First + 1);
            kernel.Exit(First + 2);
            wanted.Ids.Clear();
            wanted.Ids.Add(Second);
            kernel.Start(Second);
        });
        kernel.Then(() => { }, after: 2);
        kernel.Then(() => { }, after: 2);
        kernel.Then(() => Assert.Equal([Second, Second], kernel.Open.Select(e => e.Target)), after: 2);
        Record(wanted, isSystemWide: false);
        Assert.Single(Samples(First + 2));
        Assert.Single(Samples(First + 1));
    }

    /// <summary>The look into /proc may find a child before its parent's ring was read.</summary>
    [Fact]
    public void A_child_that_is_found_before_its_fork_is_read_is_not_counted_twice()
    {
        kernel.Start(First);
        Wanted wanted = new(First);
        kernel.Then(() => { });
        kernel.Then(
            () =>
            {
                kernel.Fork(First, First + 1);
                kernel.Fork(First + 1, First + 2, cpu: 1);
                wanted.Ids.UnionWith([First + 1, First + 2]);
            }, after: 2);
        kernel.Then(() => kernel.Sample(First + 1), after: 2);
        kernel.Then(() => kernel.Sample(First + 2), after: 2);
        Record(wanted, isSystemWide: false);
        Assert.Single(Samples(First + 1));
        Assert.Single(Samples(First + 2));
    }

    [Fact]
    public void Cpus_that_come_and_go_are_recorded_while_they_are_there()
    {
        kernel.Start(First);
        kernel.Then(() => kernel.Sample(First, cpu: 1));
        kernel.Then(() => kernel.Unplug(1));
        kernel.Then(() => { }, after: 2);
        kernel.Then(() => Assert.Equal([0], kernel.Open.Select(e => e.Cpu)));
        kernel.Then(() => kernel.Online.UnionWith([1, 2]));
        kernel.Then(() => { }, after: 2);
        kernel.Then(() => Assert.Equal([0, 1, 2], kernel.Open.Select(e => e.Cpu).Order()));
        kernel.Then(() => kernel.Sample(First, cpu: 1));
        kernel.Then(() => kernel.Sample(First, cpu: 2));
        Record(new Wanted(First), isSystemWide: true);
        Assert.Equal(3, Samples(First).Count());
        Assert.Equal(0UL, log.Losses.Total);
    }

    [Fact]
    public void A_cpu_that_comes_is_recorded_thread_by_thread_too()
    {
        kernel.Start(First, First + 1);
        kernel.Then(() => kernel.Fork(First, Second));
        kernel.Then(() => kernel.Online.Add(2));
        kernel.Then(() => { }, after: 2);
        foreach (int thread in (int[])[First, First + 1, Second])
            kernel.Then(() => kernel.Sample(thread, cpu: 2));
        Record(new Wanted(First, Second), isSystemWide: false);
        Assert.Equal(2, Samples(First).Count());
        Assert.Single(Samples(Second));
    }

    [Fact]
    public void What_fails_on_one_cpu_costs_that_cpu_and_is_told()
    {
        kernel.Refuse = (_, _, cpu) => cpu == 1 ? Syscalls.EBUSY : 0;
        kernel.Start(First);
        kernel.Then(() => kernel.Sample(First, cpu: 0));
        kernel.Then(() => kernel.Sample(First, cpu: 1));
        kernel.Then(() => { }, after: 2);
        PerfEventRecorder recorder = Record(new Wanted(First), isSystemWide: true);
        Assert.Single(Samples(First));
        Assert.Equal(1UL, log.Losses[PerfEventRings.CpuNotRecorded]);
        Assert.Contains(
            "CPU 1 is not recorded: cannot open BR_INST_RETIRED.NEAR_TAKEN", recorder.Statistics.Notice, StringComparison.Ordinal);
        Assert.Contains("another profiler has the CPU's branch records", recorder.Statistics.Notice, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_process_id_that_is_given_out_again_is_another_process(bool isSystemWide)
    {
        kernel.Files[$"/proc/{First}/maps"] = "2000-3000 r-xp 00000000 08:01 7 /first";
        kernel.Start(First, First + 1);
        kernel.Then(() => kernel.Sample(First));
        kernel.Then(() =>
        {
            kernel.Exit(First);
            kernel.Exit(First + 1);
            kernel.Start(First);
            kernel.Files[$"/proc/{First}/maps"] = "4000-5000 r-xp 00000000 08:01 8 /second";
        });
        kernel.Then(() => { }, after: 2);
        kernel.Then(() => { }, after: 2);
        kernel.Then(() => kernel.Sample(First), after: 2);
        Record(new Wanted(First), isSystemWide);
        Assert.Equal(
            [$"map {First} 0x2000-0x3000 +0x0 /first", "sample", $"exit {First}", $"map {First} 0x4000-0x5000 +0x0 /second", "sample"],
            log.Lines.Select(l => l.StartsWith("sample", StringComparison.Ordinal) ? "sample" : l));
    }

    /// <summary>
    /// A thousand threads under a low ulimit -n: those that there is room for are recorded, and how many are not is told.
    /// </summary>
    [Fact]
    public void Threads_beyond_the_limit_of_open_files_are_counted_and_the_others_recorded()
    {
        kernel.Refuse = (a, _, _) => kernel.Open.Count < 20 ? 0 : Syscalls.EMFILE;
        kernel.Start(First, [.. Enumerable.Range(First + 1, 999)]);
        kernel.Then(() => kernel.Sample(First));
        kernel.Then(() => kernel.Sample(First + 999));
        Record(new Wanted(First), isSystemWide: false);
        Assert.Single(Samples(First));
        Assert.Equal(990UL, log.Losses[PerfEventRings.ThreadNotRecorded]);
    }

    [Fact]
    public void Where_no_cpu_can_be_recorded_the_reason_is_told()
    {
        kernel.Refuse = static (_, _, _) => Syscalls.EBUSY;
        UserErrorException e = Assert.Throws<UserErrorException>(() => Record(new Wanted(First), isSystemWide: true));
        Assert.Contains("another profiler has the CPU's branch records", e.Message, StringComparison.Ordinal);
        Assert.Equal(0, kernel.Descriptors);
    }

    [Fact]
    public void Lost_records_are_made_up_for_by_what_is_mapped_now()
    {
        kernel.Start(First);
        kernel.Then(() => kernel.Map(First, 0x1000, "/old"));
        kernel.Then(
            () => kernel.Files[$"/proc/{First}/maps"] = "2000-3000 r-xp 00000000 08:01 7 /new\n3000-4000 r--p 00000000 08:01 7 /new");
        kernel.Then(() => kernel.Report(0, new RecordBytes(PerfRecordType.PERF_RECORD_LOST).U64(0, 12)));
        kernel.Then(() => { });
        kernel.Then(() => { }, after: 2);
        kernel.Then(() => kernel.Sample(First));
        Record(new Wanted(First), isSystemWide: true);
        string[] about = [.. log.Lines.Where(l => !l.StartsWith("sample", StringComparison.Ordinal))];
        Assert.Equal(12UL, log.Losses[PerfRecordReader.RingFull]);
        Assert.Equal([$"map {First} 0x1000-0x2000 +0x0 /old", $"exec {First}", $"map {First} 0x2000-0x3000 +0x0 /new"], about);
    }

    [Fact]
    public void Each_kind_of_cores_of_a_hybrid_cpu_has_its_own_event()
    {
        CpuPmu big = new("cpu_core", 4, [0]), small = new("cpu_atom", 10, [1]);
        kernel.Start(First);
        kernel.Then(() =>
        {
            Assert.Equal((4U, 0x20c4UL), kernel.Open.Where(e => e.Cpu == 0).Select(e => (e.Attributes.Type, e.Attributes.Config)).Single());
            Assert.Equal(
                (10U, 0xc0c4UL), kernel.Open.Where(e => e.Cpu == 1).Select(e => (e.Attributes.Type, e.Attributes.Config)).Single());
        });
        kernel.Then(() => kernel.Sample(First, cpu: 0));
        kernel.Then(() => kernel.Sample(First, cpu: 1));
        Record(new Wanted(First), isSystemWide: true, BranchEvent.CandidatesFor("GenuineIntel", big)[0], BranchEvent.CandidatesFor("GenuineIntel", small)[0]);
        Assert.Equal(2, Samples(First).Count());
    }

    [Fact]
    public void Where_services_are_named_only_their_control_groups_are_interrupted()
    {
        kernel.Files[$"/proc/{First}/cgroup"] = "0::/system.slice/search.service";
        kernel.Files[$"/proc/{First + 1}/cgroup"] = "0::/system.slice/search.service/worker";
        kernel.Files[$"/proc/{Second}/cgroup"] = "0::/system.slice/other.service";
        kernel.Start(First);
        kernel.Start(First + 1);
        kernel.Start(Second);
        Wanted wanted = new(First, First + 1) { IsSelective = true };
        kernel.Then(() => Assert.All(kernel.Open, e => Assert.Equal(Syscalls.PERF_FLAG_PID_CGROUP, e.Flags)));
        kernel.Then(() => Assert.Equal(2, kernel.Open.Count));
        foreach (int process in (int[])[First, First + 1, Second])
            kernel.Then(() => kernel.Sample(process));
        kernel.Then(() => kernel.Online.Add(2));
        kernel.Then(() => { }, after: 2);
        kernel.Then(() => kernel.Sample(First, cpu: 2));

        // In the root group nothing tells it from everybody else.
        kernel.Then(() =>
        {
            kernel.Start(Second + 1);
            kernel.Files[$"/proc/{Second + 1}/cgroup"] = "0::/";
            wanted.Ids.Add(Second + 1);
        });
        kernel.Then(() => { }, after: 2);
        kernel.Then(() => Assert.All(kernel.Open, e => Assert.Equal(-1, e.Target)));
        kernel.Then(() => kernel.Sample(Second + 1));
        kernel.Then(() => kernel.Sample(First));
        Record(wanted, isSystemWide: true);
        Assert.Equal(3, Samples(First).Count());
        Assert.Single(Samples(First + 1));
        Assert.Single(Samples(Second + 1));
        Assert.Empty(Samples(Second));
    }

    [Fact]
    public void Where_the_kernel_pauses_sampling_the_period_is_lengthened_and_stacks_count_as_often()
    {
        List<ulong> weights = [];
        WeightLog weighed = new(weights);
        kernel.Start(First);
        kernel.Then(() => kernel.Sample(First));
        kernel.Then(() => kernel.Report(0, new RecordBytes(PerfRecordType.PERF_RECORD_THROTTLE).U64(0, 0, 0)));
        kernel.Then(() => { });
        kernel.Then(() => { }, after: 2);
        kernel.Then(() => kernel.Sample(First));
        using CancellationTokenSource stop = new();
        kernel.Then(() => { });
        kernel.Then(stop.Cancel);
        PerfEventRecorder recorder = new(new Wanted(First), kernel, [Branches], isSystemWide: true);
        recorder.Run(weighed, stop.Token);
        Assert.Equal([1UL, 2], weights);
        Assert.Equal(
            "sampling 2 times as rarely as by default, as the kernel paused sampling 1 times in the last second",
            recorder.Statistics.Notice);
    }

    [Fact]
    public void Where_the_whole_agent_takes_too_much_stacks_are_rarer_and_count_as_often()
    {
        List<ulong> weights = [];
        RecordingBudget granted = new();
        kernel.Start(First);
        kernel.Then(() => kernel.Sample(First));
        kernel.Then(() => granted.Share = 0.2);
        kernel.Then(() => { }, after: 2);
        kernel.Then(() => kernel.Sample(First));
        kernel.Then(() => granted.Share = 1);
        kernel.Then(() => { }, after: 2);
        kernel.Then(() => kernel.Sample(First));
        using CancellationTokenSource stop = new();
        kernel.Then(() => { });
        kernel.Then(stop.Cancel);
        PerfEventRecorder recorder = new(new Wanted(First), kernel, [Branches], isSystemWide: true, granted);
        recorder.Run(new WeightLog(weights), stop.Token);
        Assert.Equal([1UL, 8, 1], weights);
        Assert.Null(recorder.Statistics.Notice);
    }

    [Fact]
    public void Where_little_is_wanted_events_strike_as_rarely_and_stacks_count_as_before()
    {
        List<ulong> weights = [];
        List<ulong> periods = [];
        Wanted wanted = new(First);
        void Sample()
        {
            kernel.Then(() =>
            {
                periods.Add(Assert.Single(kernel.Open.Select(static e => e.Period).Distinct()));
                kernel.Sample(First);
            });
            // Records are held back for a round.
            kernel.Then(() => { });
            kernel.Then(() => { });
        }
        kernel.Start(First);
        Sample();
        foreach (double share in (double[])[0.25, 0, 1])
        {
            kernel.Then(() => wanted.HighestShare = share);
            kernel.Then(() => { }, after: 2);
            Sample();
        }
        using CancellationTokenSource stop = new();
        kernel.Then(() => { });
        kernel.Then(stop.Cancel);
        PerfEventRecorder recorder = new(wanted, kernel, [Branches], isSystemWide: true);
        recorder.Run(new WeightLog(weights), stop.Token);
        // At 0 not one is taken, and the kernel is asked for few.
        Assert.Equal([1UL, 1, 1], weights);
        Assert.Equal([1, 4, 64, 1], periods.Select(period => (int)Math.Round(period / (double)periods[0])));
        Assert.Null(recorder.Statistics.Notice);
    }

    private sealed class WeightLog(List<ulong> weights) : IBranchSink
    {
        public void OnMapping(Mapping mapping) { }

        public void OnFork(int processId, int parentProcessId) { }

        public void OnExec(int processId) { }

        public void OnExit(int processId) { }

        public void OnSample(in BranchSample sample) => weights.Add(sample.Weight);

        public void OnLost(string reason, ulong count) { }
    }

    /// <summary>No event tells where the kernel and its modules lie; build ids stand in /sys.</summary>
    [Fact]
    public void With_the_kernel_its_image_and_modules_are_mapped_under_their_names()
    {
        kernel.Files["/proc/kallsyms"] = "0000000000000000 A fixed_percpu_data\nffffffff9a000000 T startup_64\nffffffff9a000000 T _text\nffffffff9b200000 T _etext\n";
        kernel.Files["/proc/modules"] = "nf_tables 331776 123 - Live 0xffffffffc0a00000 (E)\next4 8192 0 - Live 0xffffffffc0200000";
        kernel.Binaries["/sys/kernel/notes"] = Note(0x11);
        kernel.Binaries["/sys/module/nf_tables/notes/.note.gnu.build-id"] = Note(0x22);
        kernel.Start(First);
        kernel.Then(() => kernel.Files["/proc/modules"] += "\nveth 4096 0 - Live 0xffffffffc0300000", after: 2);
        kernel.Then(() => { }, after: 2);
        PerfEventRecorder recorder = Record(new Wanted(First), isSystemWide: true, Branches.WithKernel());

        string[] image = ["map -1 0xffffffff9a000000-0xffffffff9b200000 +0xffffffff9a000000 [kernel.kallsyms]_text " + Id(0x11)];
        string[] modules =
        [
            "map -1 0xffffffffc0200000-0xffffffffc0202000 +0x0 [ext4]", "map -1 0xffffffffc0300000-0xffffffffc0301000 +0x0 [veth]",
            "map -1 0xffffffffc0a00000-0xffffffffc0a51000 +0x0 [nf_tables] " + Id(0x22),
        ];
        Assert.Equal(
            [.. image, modules[0], modules[2], .. modules], log.Lines.Where(l => l.StartsWith("map -1 ", StringComparison.Ordinal)));
        Assert.Null(recorder.Statistics.Notice);

        static byte[] Note(byte of) =>
            [4, 0, 0, 0, 20, 0, 0, 0, 3, 0, 0, 0, (byte)'G', (byte)'N', (byte)'U', 0, .. Enumerable.Repeat(of, 20)];
        static string Id(byte of) => string.Concat(Enumerable.Repeat($"{of:x2}", 20));
    }

    [Fact]
    public void Hidden_addresses_of_the_kernel_are_told()
    {
        kernel.Files["/proc/kallsyms"] = "0000000000000000 T _text\n0000000000000000 T _etext\n";
        kernel.Start(First);
        kernel.Then(() => { }, after: 2);
        Assert.Contains("kernel.kptr_restrict", Record(new Wanted(First), isSystemWide: true, Branches.WithKernel()).Statistics.Notice);
        Assert.DoesNotContain(log.Lines, l => l.StartsWith("map -1 ", StringComparison.Ordinal));
    }

    /// <summary>Counts are by the addresses that the kernel was linked to, whatever KASLR added.</summary>
    [Theory]
    [InlineData("", true, 0xffff_ffff_8100_0000)]
    [InlineData("OSRELEASE=6.12.9\nKERNELOFFSET=19000000\nNUMBER(X)=1\n", true, 0xffff_ffff_8100_0000)]
    [InlineData("KERNELOFFSET=18e00000\n", true, 0xffff_ffff_8120_0000)]
    [InlineData("KERNELOFFSET=0", false, 0xffff_ffff_9a00_0000)]
    [InlineData("", false, 0)]
    public void The_kernel_s_linked_address_is_told_by_its_core_file(string notes, bool isX64, ulong linked)
    {
        kernel.Binaries["/proc/kcore"] = [0x7f, .. new byte[100], .. System.Text.Encoding.ASCII.GetBytes(notes)];
        Assert.Equal(linked, KernelMappings.LinkedText(kernel, new(0xffff_ffff_9a00_0000), isX64)?.Value ?? 0);
    }
}
