using Perforator.Agent;

namespace Perforator.Tests.Agent;

/// <summary>A budget by a clock that is set, over a process whose recorder costs what it is allowed to.</summary>
public class HostBudgetTests
{
    private const int Cpus = 4;
    private const double Share = 0.01;
    private const long Memory = 150_000_000;

    private sealed class Host : TimeProvider
    {
        private long now = 1;

        public Host(double cpuShare = Share) => Budget = new HostBudget(
            cpuShare, Memory,
            new OwnUse(Cpus, () =>
                CpuTime, () => MemoryBytes, () => { Collections++; MemoryBytes = Math.Min(MemoryBytes, AfterCollection); }), this);

        public HostBudget Budget { get; }

        public TimeSpan CpuTime { get; private set; }

        public long MemoryBytes { get; set; } = 80_000_000;

        public long AfterCollection { get; set; } = long.MaxValue;

        public int Collections { get; private set; }

        /// <summary>What the recorder would take of all CPUs' time at the rate 1, and what the process takes besides.</summary>
        public double Recorder { get; set; }

        public double Fixed { get; set; }

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp() => now;

        /// <returns>The share of all CPUs' time that was taken meanwhile.</returns>
        public double Pass(int seconds)
        {
            TimeSpan before = CpuTime;
            for (int i = 0; i < seconds; i++)
            {
                now += TimeSpan.TicksPerSecond;
                CpuTime += TimeSpan.FromSeconds(Cpus * (Fixed + (Recorder * Budget.Recording.Share)));
                Budget.Account();
                Budget.WatchMemory();
            }
            return (CpuTime - before) / TimeSpan.FromSeconds(seconds * Cpus);
        }
    }

    [Theory]
    [InlineData(0.012, 0)]
    [InlineData(0.05, 0.004)]
    [InlineData(0.9, 0)]
    [InlineData(0.9, 0.009)]
    public void A_recorder_that_would_take_more_gets_what_is_granted_and_no_more(double recorder, double besides)
    {
        Host host = new() { Recorder = recorder, Fixed = besides };
        // What it took before the budget could answer is paid back, up to what a minute brings.
        host.Pass(120);
        Assert.InRange(host.Pass(600), Share * 0.85, Share * 1.02);
        Assert.InRange(host.Budget.Taken.CpuShare, Share * 0.5, Share * 1.5);
        Assert.Equal(Share, host.Budget.Allowed.CpuShare);
    }

    [Fact]
    public void A_recorder_that_takes_less_is_left_alone_and_one_that_was_held_back_comes_back()
    {
        Host host = new() { Recorder = Share * 0.8 };
        host.Pass(100);
        Assert.Equal(1, host.Budget.Recording.Share);
        host.Recorder = 1;
        host.Pass(100);
        Assert.InRange(host.Budget.Recording.Share, HostBudget.LeastShare, 0.05);
        host.Recorder = Share * 0.5;
        host.Pass(100);
        Assert.Equal(1, host.Budget.Recording.Share);
        Assert.DoesNotContain("as rare", host.Budget.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void What_was_not_used_may_be_used_within_a_minute_and_is_not_saved_for_longer()
    {
        Host host = new();
        host.Pass(3600);
        host.Recorder = 0.03;
        double minute = host.Pass(60);
        Assert.InRange(minute, Share * 1.2, Share * 2.2);
        Assert.InRange(host.Pass(60), Share * 0.7, Share * 1.1);
    }

    [Fact]
    public void What_cannot_be_turned_down_is_told_and_recording_goes_on_next_to_nothing()
    {
        Host host = new() { Recorder = 0.5, Fixed = 0.015 };
        host.Pass(300);
        Assert.Equal(HostBudget.LeastShare, host.Budget.Recording.Share);
        Assert.InRange(host.Budget.Taken.CpuShare, 0.015, 0.017);
        Assert.StartsWith(
            "1.55 % of the host's CPU time of 1 %, 80 MB of 150 MB; to stay within, sampling is 1000.0 times as rare",
            host.Budget.ToString(), StringComparison.Ordinal);
    }

    /// <summary>Of a recorder that would take 10 % of the host while all code is new to it.</summary>
    [Fact]
    public void A_start_takes_little_more_than_is_granted_and_leaves_no_debt_of_minutes()
    {
        Host host = new() { Recorder = 0.1, Fixed = 0.003 };
        Assert.InRange(host.Pass(30), Share, Share * 1.7);
        Assert.InRange(host.Pass(30), Share * 0.5, Share * 1.1);
        Assert.InRange(host.Budget.Recording.Share, 0.03, 0.2);
    }

    [Fact]
    public void A_clock_that_stands_still_changes_nothing()
    {
        Host host = new() { Recorder = 1 };
        host.Budget.Account();
        Assert.Equal((HostBudget.FirstShare, 0), (host.Budget.Recording.Share, host.Budget.Taken.CpuShare));
    }

    [Fact]
    public void Short_of_memory_it_collects_garbage_at_once_and_has_room_made_ever_more_rarely_while_that_does_not_help()
    {
        Host host = new();
        int asked = 0;
        host.Budget.MakeRoom = () => asked++;
        host.MemoryBytes = (long)(Memory * HostBudget.ShortOfMemory);
        host.Pass(100);
        Assert.Equal((0, 0), (asked, host.Collections));

        host.MemoryBytes = 140_000_000;
        host.AfterCollection = 90_000_000;
        host.Pass(1);
        Assert.Equal((0, 1, 90_000_000), (asked, host.Collections, host.Budget.Taken.MemoryBytes));
        host.MemoryBytes = 140_000_000;
        host.Pass((int)HostBudget.RoomInterval.TotalSeconds - 1);
        Assert.Equal(1, host.Collections);
        host.Pass(1);
        Assert.Equal((0, 2), (asked, host.Collections));

        // It does not help from here on: after 10, 20, 40 … seconds, and no more rarely than every ten minutes.
        host.AfterCollection = long.MaxValue;
        host.MemoryBytes = 140_000_000;
        host.Pass(10 + 20 + 40 + 80);
        Assert.Equal(4, asked);
        host.Pass(160 + 320 + 600);
        Assert.Equal(7, asked);
        host.Pass(6000);
        Assert.Equal((17, 19, 17), (asked, host.Collections, host.Budget.Shortages));
        Assert.EndsWith("; 17 times memory ran short and profiles were made early", host.Budget.ToString(), StringComparison.Ordinal);
        Assert.Equal(140_000_000, host.Budget.Taken.MemoryBytes);
    }

    [Fact]
    public void The_recorder_gets_the_most_of_it()
    {
        HostBudget budget = new Host().Budget;
        Assert.Equal((Share * 0.8, Memory / 5), (budget.Recording.CpuShare, budget.Recording.CodeBytes));
    }

    [Fact]
    public async Task This_process_is_measured_by_what_it_takes()
    {
        await using HostBudget budget = new(0.02, Memory);
        Assert.InRange(budget.Taken.MemoryBytes, 10_000_000, 100_000_000_000);
        Assert.Equal((0.02, Memory), (budget.Allowed.CpuShare, budget.Allowed.MemoryBytes));
        TimeSpan before = OwnUse.OfThisProcess.CpuTime();
        System.Diagnostics.Stopwatch busy = System.Diagnostics.Stopwatch.StartNew();
        while (OwnUse.OfThisProcess.CpuTime() == before)
            Assert.InRange(busy.Elapsed, TimeSpan.Zero, TimeSpan.FromMinutes(1));
        Assert.InRange(HostUse.SinceStart().CpuShare, double.Epsilon, 1);
    }
}
