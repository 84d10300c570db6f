using System.Diagnostics;
using Perforator.Branches;
using Perforator.PerfData;
using Perforator.Recording;
using Perforator.Recording.PerfEvents;
using Perforator.Recording.Processes;

namespace Perforator.Tests.Recording.PerfEvents;

/// <summary>Rings, records and their order for real, with the CPU clock in place of branch records.</summary>
public class PerfEventRecorderTests
{
    private sealed class Log : IBranchSink
    {
        public List<Mapping> Mappings { get; } = [];
        public List<(int Child, int Parent)> Forks { get; } = [];
        public List<int> Execs { get; } = [];
        public List<int> Exits { get; } = [];
        public Dictionary<int, int> Samples { get; } = [];
        public List<ulong> Times { get; } = [];
        public long Weight { get; private set; }
        public LossCounts Losses { get; } = new();

        public void OnMapping(Mapping mapping) => Mappings.Add(mapping);

        public void OnFork(int processId, int parentProcessId) => Forks.Add((processId, parentProcessId));

        public void OnExec(int processId) => Execs.Add(processId);

        public void OnExit(int processId) => Exits.Add(processId);

        public void OnSample(in BranchSample sample)
        {
            Samples[sample.ProcessId] = Samples.GetValueOrDefault(sample.ProcessId) + 1;
            Times.Add(sample.Time);
            Weight += (long)sample.Weight;
        }

        public void OnLost(string reason, ulong count) => Losses.Add(reason, count);
    }

    private static BranchEvent Clock()
    {
        BranchEvent? clock = BranchStackSupport.TryOpen(LinuxKernel.Instance, BranchEvent.CpuClock, 0, -1, out int error);
        Skip.If(clock is null, $"perf_event_open is not permitted here (error {error})");
        return clock;
    }

    [SkippableTheory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_process_its_children_and_what_they_exec_are_recorded_until_all_have_ended(bool systemWide)
    {
        BranchEvent clock = Clock();
        Skip.If(systemWide
            && BranchStackSupport.TryOpen(LinuxKernel.Instance, clock, PerfEvent.AllProcesses, 0, out _) is null,
            "not permitted for all processes");
        // The shell burns time itself, then a child of it does as another program.
        const string Script =
            "read go; i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; awk 'BEGIN { for (i = 0; i < 3000000; i++) x += i }' & wait";
        using Process root = Process.Start(new ProcessStartInfo("sh", ["-c", Script]) { RedirectStandardInput = true })!;
        Log log = new();
        using PerfEventRecorder recorder = new(new ProcessTreeTargets([root.Id]), LinuxKernel.Instance, [clock], systemWide);
        using Timer go = new(_ => root.StandardInput.WriteLine("go"), null, 300, Timeout.Infinite);
        recorder.Run(log, new CancellationTokenSource(TimeSpan.FromSeconds(30)).Token);

        Assert.True(root.HasExited);
        Assert.Equal(0UL, log.Losses[PerfEventRecorder.DamagedRing]);
        Assert.Contains(log.Mappings, m => m.ProcessId == root.Id && m.Time == 0);
        (int child, _) = Assert.Single(log.Forks, f => f.Parent == root.Id);
        Assert.Contains(child, log.Execs);
        Assert.Contains(log.Mappings, m => m.ProcessId == child && m.Time != 0 && m.Path.EndsWith("awk", StringComparison.Ordinal));
        Assert.Contains(child, log.Exits);
        Assert.Contains(root.Id, log.Exits);
        Assert.True(log.Samples.GetValueOrDefault(root.Id) > 10, $"{log.Samples.GetValueOrDefault(root.Id)} samples of the shell");
        Assert.True(log.Samples.GetValueOrDefault(child) > 10, $"{log.Samples.GetValueOrDefault(child)} samples of its child");
        Assert.Equal([root.Id, child], log.Samples.Keys.Order());
        Assert.Equal(log.Times.Order(), log.Times);
        Assert.Equal((ulong)log.Samples.Values.Sum(), recorder.Statistics.Samples);
    }

    /// <summary>
    /// Two shells are as busy; only the one in the group is ever interrupted, so that no sample of the other has to be left out.
    /// </summary>
    [SkippableFact]
    public void A_control_group_is_recorded_for_itself()
    {
        BranchEvent clock = Clock();
        string? mount =
            File.ReadLines("/proc/self/mountinfo").FirstOrDefault(l => l.Contains(" - cgroup2 ", StringComparison.Ordinal))?.Split(' ')[4];
        Skip.If(mount is null, "no cgroup2 is mounted");
        string group = Path.Combine(mount, $"perforator-test-{Environment.ProcessId}");
        try
        {
            Directory.CreateDirectory(group);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Skip.If(true, $"no control group can be made: {e.Message}");
        }
        const string Busy = "while :; do :; done";
        using Process inside = Process.Start("sh", ["-c", Busy]), outside = Process.Start("sh", ["-c", Busy]);
        try
        {
            File.WriteAllText(Path.Combine(group, "cgroup.procs"), $"{inside.Id}");
            using PerfEventRings rings = new(LinuxKernel.Instance, [clock], RecordingScope.ControlGroups);
            rings.SetPeriodFactor(2);
            Skip.IfNot(rings.KeepOnlyGroups(new HashSet<string> { group }), "this kernel has no events for control groups");
            PerfRecordQueue queue = new();
            Log log = new();
            PerfRecordReader reader = new(log);
            for (int i = 0; i < 100 && log.Samples.GetValueOrDefault(inside.Id) < 50; i++)
            {
                rings.Wait(100);
                Assert.Equal(0UL, rings.Read(queue));
                queue.FinishRound(reader.Read);
            }
            Assert.True(log.Samples.GetValueOrDefault(inside.Id) >= 50);
            Assert.Equal([inside.Id], log.Samples.Keys);

            // Twice the period, counted twice.
            Assert.Equal(2 * log.Samples[inside.Id], log.Weight);
        }
        finally
        {
            inside.Kill();
            outside.Kill();
            inside.WaitForExit();
            for (int i = 0; i < 100 && !TryRemove(group); i++)
                Thread.Sleep(20);
        }
        Assert.False(Directory.Exists(group));
    }

    [SkippableFact]
    public void The_period_of_an_open_event_can_be_set_anew()
    {
        BranchEvent clock = Clock();
        using PerfEvent? opened = PerfEvent.TryOpen(LinuxKernel.Instance, clock.Attributes, 0, -1, out _);
        Assert.Equal(0, LinuxKernel.Instance.SetPeriod(opened!.Fd, 2_000_003));
        Assert.Equal(-Syscalls.EINVAL, LinuxKernel.Instance.SetPeriod(opened.Fd, 0));
        Assert.True(LinuxKernel.Instance.ReadCount(opened.Fd) >= 0);
    }

    private static bool TryRemove(string group)
    {
        try
        {
            Directory.Delete(group);
            return true;
        }
        catch (IOException)
        {
            return false;
        }
    }

    [SkippableFact]
    public void Recording_stops_when_told_and_the_target_runs_on()
    {
        BranchEvent clock = Clock();
        using Process target = Process.Start("sleep", "60");
        try
        {
            using PerfEventRecorder recorder = new(new ProcessTreeTargets([target.Id]), LinuxKernel.Instance, [clock], isSystemWide: false);
            recorder.Run(new Log(), new CancellationTokenSource(TimeSpan.FromMilliseconds(200)).Token);
            Assert.False(target.HasExited);
        }
        finally
        {
            target.Kill();
        }
    }

    [Fact]
    public void Where_no_event_opens_the_reason_is_told()
    {
        // A PMU number that no machine has.
        BranchEvent impossible =
            BranchEvent.CpuClock with { Name = "impossible", Attributes = BranchEvent.CpuClock.Attributes with { Type = 0x7fff_fff0 } };
        BranchStackSupport support = BranchStackSupport.Probe(LinuxKernel.Instance, isVirtual: false, [[impossible]]);
        Assert.False(support.IsAvailable);
        Assert.Contains("impossible: ", support.Explanation, StringComparison.Ordinal);
        UserErrorException e = Assert.Throws<UserErrorException>(() => new PerfEventRecorder(new ProcessTreeTargets([]), support));
        Assert.Contains(support.Explanation, e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("0", new[] { 0 })]
    [InlineData("0-2,5,7-8", new[] { 0, 1, 2, 5, 7, 8 })]
    public void A_list_of_cpus_is_read(string list, int[] cpus) => Assert.Equal(cpus, Machine.ParseCpuList(list));
}
