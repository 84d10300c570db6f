using Perforator.Recording;
using Perforator.Recording.Software;
using Perforator.Tests.Recording.PerfEvents;

namespace Perforator.Tests.Recording.Software;

/// <summary>The software recorder's clocks on kernels that do what this machine's would not.</summary>
public sealed class CpuClockTests : IDisposable
{
    private const int First = 2_000_009;
    private const double Interval = 1e6;

    private readonly ScriptedKernel kernel = new(0, 1);
    private readonly Nobody nobody = new();

    public void Dispose() => kernel.Dispose();

    private IEnumerable<(int ThreadId, int Cpu)> Moments(CpuClock clock) => clock.Read(nobody).Select(m => (m.ThreadId, m.Cpu));

    [Fact]
    public void Cpus_that_come_and_go_are_watched_while_they_are_there()
    {
        using (CpuClock clock = new(Interval, kernel))
        {
            Assert.True(clock.SeesAll);
            kernel.Start(First);
            kernel.Sample(First, cpu: 1);
            Assert.Equal([(First, 1)], Moments(clock));
            kernel.Unplug(1);
            clock.Follow(new HashSet<int>());
            Assert.Equal([0], kernel.Open.Select(e => e.Cpu));
            kernel.Online.UnionWith([1, 2]);
            clock.Follow(new HashSet<int>());
            kernel.Sample(First, cpu: 1);
            kernel.Sample(First, cpu: 2);
            Assert.Equal([(First, 1), (First, 2)], Moments(clock).Order());
        }
        Assert.Equal(0, kernel.Descriptors);
    }

    /// <summary>A descriptor of an event that has ended would end every wait at once.</summary>
    [Fact]
    public void A_cpu_that_is_gone_is_not_waited_for()
    {
        using CpuClock clock = new(Interval, kernel);
        kernel.Unplug(1);
        clock.Wait(1);
        clock.Wait(1);
        Assert.Equal([2, 1], kernel.Polled);
    }

    [Fact]
    public void Where_only_own_processes_may_be_seen_threads_beyond_the_limit_of_open_files_are_counted_and_the_others_watched()
    {
        kernel.Refuse = (_, target, _) => target == -1 ? Syscalls.EACCES : kernel.Open.Count < 20 ? 0 : Syscalls.EMFILE;
        kernel.Start(First, [.. Enumerable.Range(First + 1, 999)]);
        using (CpuClock clock = new(Interval, kernel))
        {
            Assert.False(clock.SeesAll);
            Assert.Equal(990UL, clock.Watch(First));
            kernel.Sample(First);
            kernel.Sample(First + 9, cpu: 1);
            kernel.Sample(First + 999);
            Assert.Equal([(First, 0), (First + 9, 1)], Moments(clock));

            // Threads that come are watched by what watches those that make them.
            kernel.Fork(First, First + 2000, asThread: true);
            kernel.Sample(First + 2000);
            Assert.Equal([(First + 2000, 0)], Moments(clock));
        }
        Assert.Equal(0, kernel.Descriptors);
    }

    [Fact]
    public void A_cpu_that_comes_is_watched_for_own_processes_too()
    {
        kernel.Refuse = static (_, target, _) => target == -1 ? Syscalls.EACCES : 0;
        kernel.Start(First);
        using CpuClock clock = new(Interval, kernel);
        Assert.Equal(0UL, clock.Watch(First));
        kernel.Online.Add(2);
        clock.Follow(new HashSet<int>());
        kernel.Sample(First, cpu: 0);
        kernel.Sample(First, cpu: 2);
        Assert.Equal([(First, 0), (First, 2)], Moments(clock).Order());
    }

    /// <summary>Closing an event ends it in every heir: it stays open for a child that runs longer.</summary>
    [Fact]
    public void A_process_that_has_ended_with_all_it_started_takes_no_files_any_more()
    {
        kernel.Refuse = static (_, target, _) => target == -1 ? Syscalls.EACCES : 0;
        kernel.Start(First);
        using CpuClock clock = new(Interval, kernel);
        Assert.Equal(0UL, clock.Watch(First));
        kernel.Fork(First, First + 1);
        _ = clock.Read(nobody);
        kernel.Exit(First);
        clock.Follow(new HashSet<int>());
        kernel.Sample(First + 1, cpu: 1);
        Assert.Equal([(First + 1, 1)], Moments(clock));
        Assert.Equal(2, kernel.Open.Count);
        kernel.Exit(First + 1);
        clock.Follow(new HashSet<int>());
        Assert.Empty(kernel.Open);
    }

    [Fact]
    public void What_fails_on_one_cpu_costs_that_cpu()
    {
        kernel.Refuse = static (_, _, cpu) => cpu == 1 ? Syscalls.EMFILE : 0;
        using CpuClock clock = new(Interval, kernel);
        Assert.True(clock.SeesAll);
        Assert.Equal(1, clock.MissedCpus);
        kernel.Refuse = static (_, _, _) => 0;
        clock.Follow(new HashSet<int>());
        Assert.Equal(0, clock.MissedCpus);
    }

    [Fact]
    public void Closed_perf_events_and_rings_that_cannot_be_had_are_told_with_the_remedy()
    {
        kernel.Refuse = static (_, _, _) => Syscalls.EACCES;
        Assert.Contains(
            "kernel.perf_event_paranoid=2", Assert.Throws<UserErrorException>(() => new CpuClock(Interval, kernel)).Message,
            StringComparison.Ordinal);
        kernel.Refuse = static (_, _, _) => 0;
        kernel.LockablePages = 1;
        Assert.Contains(
            "CAP_IPC_LOCK", Assert.Throws<UserErrorException>(() => new CpuClock(Interval, kernel)).Message, StringComparison.Ordinal);
        Assert.Equal(0, kernel.Descriptors);
    }

    private sealed class Nobody : IProcessWatcher
    {
        public void OnFork(int processId, int parentProcessId)
        {
        }

        public void OnExec(int processId)
        {
        }

        public void OnLeaderExit(int processId)
        {
        }

        public void OnLostRecords()
        {
        }
    }
}
