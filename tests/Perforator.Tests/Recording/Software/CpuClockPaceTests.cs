using Perforator.Recording;
using Perforator.Recording.PerfEvents;
using Perforator.Recording.Software;

namespace Perforator.Tests.Recording.Software;

/// <summary>The clock of this machine's CPUs, over a process that is busy for a known time.</summary>
public sealed class CpuClockPaceTests
{
    private const double Interval = 5e6;

    private sealed class Nobody : IProcessWatcher
    {
        public void OnFork(int processId, int parentProcessId) { }

        public void OnExec(int processId) { }

        public void OnLeaderExit(int processId) { }

        public void OnLostRecords() { }
    }

    /// <summary>Moments of this thread in a second of its CPU time.</summary>
    private static List<Moment> Moments(CpuClock clock)
    {
        List<Moment> moments = [];
        TimeSpan begin = Syscalls.ThreadCpuTime();
        ulong hash = 1;
        while (Syscalls.ThreadCpuTime() - begin < TimeSpan.FromSeconds(1))
        {
            for (int i = 0; i < 200_000; i++)
                hash = (hash * 0x9E3779B97F4A7C15) ^ (hash >> 7);
            moments.AddRange(clock.Read(new Nobody()).Where(static moment => moment.ThreadId == Syscalls.gettid()));
        }
        Assert.NotEqual(0UL, hash);
        return moments;
    }

    [SkippableFact]
    public void Where_less_is_wanted_moments_are_that_much_further_apart_and_stand_for_no_more()
    {
        Skip.IfNot(Capabilities.Has(Capabilities.CAP_PERFMON)
            || Capabilities.Has(Capabilities.CAP_SYS_ADMIN), "clocks of all processes take CAP_PERFMON");
        using CpuClock clock = new(Interval, LinuxKernel.Instance);
        clock.SetPace(Interval, 1);
        _ = Moments(clock);
        List<Moment> all = Moments(clock);
        Assert.InRange(all.Count, 50, 300);
        Assert.All(all, static moment => Assert.Equal((Interval, 1), (moment.Interval, moment.Thinned)));

        clock.SetPace(Interval, 16);
        List<Moment> thinned =
            [.. Moments(clock).Concat(Moments(clock)).Concat(Moments(clock)).Where(static moment => moment.Thinned == 16)];
        Assert.InRange(thinned.Count, 3, 3 * all.Count / 5);
        Assert.All(thinned, static moment => Assert.Equal(Interval, moment.Interval));

        // A clock that was to strike in many seconds strikes at once when more is wanted.
        clock.SetPace(Interval, 64_000);
        _ = Moments(clock);
        clock.SetPace(Interval, 1);
        Assert.InRange(Moments(clock).Count, 50, 300);
    }
}
