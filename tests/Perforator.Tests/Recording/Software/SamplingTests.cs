using System.Diagnostics;
using Perforator.Branches;
using Perforator.Recording;
using Perforator.Recording.Interpreter;
using Perforator.Recording.Processes;
using Perforator.Recording.Software;

namespace Perforator.Tests.Recording.Software;

/// <summary>When samples are due, where the recorder runs meanwhile, and how much of what it followed counts.</summary>
public sealed class SamplingTests
{
    [Fact]
    public void A_running_threads_time_is_known_between_the_kernels_ticks_and_not_counted_twice()
    {
        LaunchedProcess child = LaunchedProcess.Start(["/bin/sh", "-c", "while :; do :; done"]);
        try
        {
            using TargetProcess process = new(child.Id, new Lowering());
            Assert.True(process.RefreshThreads());
            TargetThread thread = process.Threads.Single();
            Assert.NotNull(thread.TakeTimes());
            long before = thread.Scheduling.Read()!.Value.CpuTime, used = 0;
            int looks = 0, grown = 0;
            for (long begin = Stopwatch.GetTimestamp(); Stopwatch.GetElapsedTime(begin) < TimeSpan.FromMilliseconds(400); looks++)
            {
                long step = thread.TakeTimes()!.Value.Used;
                Assert.True(step >= 0);
                used += step;
                grown += step > 0 ? 1 : 0;
                Thread.Sleep(1);
            }
            long accounted = thread.Scheduling.Read()!.Value.CpuTime - before;
            // The kernel's own figure grows at some 40 to 400 ticks in this time, however often one looks.
            Assert.InRange(used, accounted - 12_000_000, accounted + 24_000_000);
            Assert.True(grown > looks / 3, $"{grown} of {looks}");
        }
        finally
        {
            child.Signal(Syscalls.SIGKILL);
            _ = child.WaitForExit(TimeSpan.FromSeconds(5));
        }
    }

    [Fact]
    public void A_thread_that_sleeps_uses_no_more_than_the_estimate_of_one_tick()
    {
        LaunchedProcess child = LaunchedProcess.Start(["/bin/sleep", "60"]);
        try
        {
            using TargetProcess process = new(child.Id, new Lowering());
            Assert.True(process.RefreshThreads());
            TargetThread thread = process.Threads.Single();
            long used = 0;
            for (int i = 0; i < 30; i++, Thread.Sleep(10))
                used += thread.TakeTimes()!.Value.Used;
            // Starting up, and then at most one estimate that nothing makes up for.
            Assert.InRange(used, 0, 60_000_000);
        }
        finally
        {
            child.Signal(Syscalls.SIGKILL);
            _ = child.WaitForExit(TimeSpan.FromSeconds(5));
        }
    }

    [Fact]
    public void Page_faults_are_told_of_a_thread_that_stands_still()
    {
        LaunchedProcess child = LaunchedProcess.Start(["/bin/sleep", "60"]);
        try
        {
            using TargetProcess process = new(child.Id, new Lowering());
            Assert.True(process.RefreshThreads());
            TargetThread thread = process.Threads.Single();
            // It has started, and sleeps from then on.
            Assert.True(SpinWait.SpinUntil(() => thread.HasFaultedSince(0) && !thread.IsRunning(out _), TimeSpan.FromSeconds(20)));
            Assert.True(thread.HasFaultedSince(0));
            Assert.False(thread.HasFaultedSince(thread.MinorFaults));
        }
        finally
        {
            child.Signal(Syscalls.SIGKILL);
            _ = child.WaitForExit(TimeSpan.FromSeconds(5));
        }
    }

    [SkippableFact]
    public void The_recorder_leaves_the_cpu_of_the_thread_it_is_about_to_stop_and_joins_it_where_all_are_busy()
    {
        Skip.If(Environment.ProcessorCount < 2, "one CPU only");
        string load = Path.GetTempFileName();
        List<bool> left = [], shared = [], leftAgain = [];
        // Affinity and priority stay with a thread: not with one of the test runner's.
        Thread thread = new(() =>
        {
            using Placement placement = new(load);
            placement.Begin();
            for (int i = 0; i < 20; i++)
            {
                int cpu = Syscalls.sched_getcpu();
                File.WriteAllText(load, "0.50 1.25 1.00 2/300 4711\n");
                placement.MoveFor(cpu);
                int other = Syscalls.sched_getcpu();
                left.Add(other != cpu && !placement.SharesCpu);
                File.WriteAllText(load, "0.50 1.25 1.00 2000/3000 4711\n");
                placement.MoveFor(cpu);
                shared.Add(Syscalls.sched_getcpu() == cpu && placement.SharesCpu);
                File.WriteAllText(load, "");
                placement.MoveFor(other);
                leftAgain.Add(Syscalls.sched_getcpu() != other && !placement.SharesCpu);
            }
            placement.MoveFor(-1);
            placement.MoveFor(1 << 20);
        });
        thread.Start();
        thread.Join();
        File.Delete(load);
        Assert.Equal(Enumerable.Repeat(true, 20), left);
        Assert.Equal(Enumerable.Repeat(true, 20), shared);
        Assert.Equal(Enumerable.Repeat(true, 20), leftAgain);
    }

    private static readonly PathShape Usual = new(4000, 28_000, 19);

    [Fact]
    public void Speeds_are_learnt_from_odometers_by_what_paths_are_like()
    {
        PathSpeed speed = new();
        PathShape wide = new(4000, 28_000, 199), dense = new(4000, 56_000, 19);
        // Unlearnt: 1,000 branches a microsecond, fewer where more pages are touched and where branches are rarer.
        Assert.Equal(1000, speed.Estimate(Usual), 0.5);
        Assert.Equal(Math.Pow(2, 0.2), speed.Estimate(Usual) / speed.Estimate(Usual with { Pages = 39 }), 0.001);
        Assert.Equal(Math.Pow(2, 0.3), speed.Estimate(Usual) / speed.Estimate(dense), 0.001);
        // But not by more than a third: what that code has shown is not known yet.
        Assert.Equal(1.3, speed.Estimate(Usual) / speed.Estimate(wide), 0.001);
        // Here a page costs next to nothing, and a branch as much however many instructions it stands for.
        for (int i = 0; i < 300; i++)
            speed.Learn(i % 3 == 0 ? Usual : i % 3 == 1 ? wide : dense, 400);
        foreach (PathShape shape in (PathShape[])[Usual, wide, dense])
            Assert.InRange(speed.Estimate(shape), 360, 440);
    }

    [Theory]
    // What is expected of a path varies by 0.2: at that, odometer and expectation count alike.
    [InlineData(0, 250)]
    [InlineData(0.2, 500)]
    [InlineData(0.6, 707.1)]
    [InlineData(1e9, 1000)]
    public void An_odometer_counts_the_less_the_less_its_words_agree(double variance, double expected)
    {
        Assert.Equal(expected, new PathSpeed().Estimate(Usual, new OdometerReading(250, variance)), 0.5);
        Assert.Equal(1000, new PathSpeed().Estimate(Usual, null), 0.5);
    }

    [Fact]
    public void A_reading_far_off_the_others_counts_little()
    {
        PathSpeed speed = new(), misled = new();
        for (int i = 0; i < 100; i++)
        {
            speed.Learn(Usual, 800 + i);
            misled.Learn(Usual, i % 10 == 5 ? 8 : 800 + i);
        }
        Assert.InRange(misled.Estimate(Usual) / speed.Estimate(Usual), 0.85, 1.1);
    }

    [Fact]
    public void Estimates_are_as_high_as_what_was_measured_on_average()
    {
        PathSpeed speed = new();
        for (int i = 0; i < 1000; i++)
            speed.Learn(Usual, i % 2 == 0 ? 400 : 1000);
        Assert.InRange(speed.Estimate(Usual), 660, 740);
    }

    [Theory]
    [InlineData(19, 500, 7)]
    // Here a thousand branches take twice the pages of a sample as long.
    [InlineData(799, 140.14940254228574, 3)]
    [InlineData(19, 50, 64)]
    [InlineData(19, 5000, 2)]
    public void The_time_a_sample_stands_for_is_set_once_it_is_known_what_makes_3500_branches(int pages, double speed, double expected)
    {
        PathSpeed paths = new();
        Assert.Equal(4, paths.SampleTime);
        // The geometric mean counts.
        for (int i = 0; i < 8; i++)
            paths.Learn(Usual with { Pages = pages }, speed * (i % 2 == 0 ? 2 : 0.5));
        Assert.Equal(expected, paths.SampleTime, 1e-9);
    }

    [Fact]
    public void The_time_a_sample_stands_for_is_set_three_times_more()
    {
        PathSpeed paths = new();
        List<double> times = [];
        for (int i = 1; i <= 500; i++)
        {
            // The second eight are a quarter as quick as the first, the geometric mean of all is half.
            paths.Learn(Usual, i <= 8 ? 1000 : i <= 16 ? 250 : i <= 64 ? 500 : 50);
            times.Add(paths.SampleTime);
        }
        Assert.Equal(3.5, times[7], 1e-9);
        Assert.Equal(3.5, times[14], 1e-9);
        Assert.Equal(7, times[15], 1e-9);
        Assert.All(times[15..], time => Assert.Equal(7, time, 1e-9));
    }

    [Fact]
    public void Odometers_of_a_part_of_the_code_do_not_mislead_about_the_rest()
    {
        PathSpeed speed = new();
        // Where instructions a branch go from 7 to 10, these say, branches become ten times as rare.
        for (int i = 0; i < 200; i++)
            speed.Learn(Usual with { Instructions = i % 2 == 0 ? 28_000 : 40_000 }, i % 2 == 0 ? 1000 : 100);
        Assert.InRange(speed.Estimate(Usual) / speed.Estimate(Usual with { Instructions = 80_000 }), 1, 5);
        // Never less than the average by more than a third.
        Assert.InRange(speed.Estimate(Usual with { Instructions = 4_000_000 }), 400, 470);
    }

    [Fact]
    public void A_path_too_short_to_tell_is_taken_for_a_usual_one()
    {
        PathSpeed speed = new();
        for (int i = 0; i < 100; i++)
            speed.Learn(Usual, 800);
        Assert.Equal(speed.Estimate(Usual), speed.Estimate(new PathShape(150, 150, 100)), 0.5);
        Assert.Equal(speed.Estimate(Usual), speed.Estimate(default), 0.5);
    }

    [Theory]
    // Behind the lead-in as long as there are enough, and otherwise the last there are.
    [InlineData(8000, 3000, "TimeUp", 1000, 3000, 1)]
    [InlineData(3500, 3000, "NotInterpreted", 500, 3000, 1)]
    [InlineData(2000, 3000, "NotInterpreted", 0, 2000, 1)]
    // Where following them was given up, an eighth is the lead-in and the others count for those that are missing too, within bounds.
    [InlineData(3500, 3000, "TimeUp", 500, 3000, 1)]
    [InlineData(3200, 3000, "TimeUp", 400, 2800, 3000.0 / 2800)]
    [InlineData(3200, 3000, "Done", 400, 2800, 3000.0 / 2800)]
    [InlineData(1000, 1750, "TimeUp", 125, 875, 2)]
    [InlineData(80, 2000, "TimeUp", 10, 70, 4)]
    [InlineData(1200, 200, "TimeUp", 1000, 200, 1)]
    [InlineData(600, 100, "TimeUp", 500, 100, 1)]
    [InlineData(8000, 0, "TimeUp", 1000, 0, 1)]
    [InlineData(0, 3000, "TimeUp", 0, 0, 1)]
    public void What_is_counted_of_a_path_begins_behind_the_lead_in(int followed, int wanted, string end, int first, int count, double times)
    {
        BranchEntry[] branches = [.. Enumerable.Range(0, 8000).Select(i => new BranchEntry(new((ulong)i), new((ulong)i + 1)))];
        Burst burst = new(null!, null!, branches) { BranchCount = followed, End = Enum.Parse<StopReason>(end) };
        Span<BranchEntry> counted = burst.Counted(wanted, out double counts);
        Assert.Equal(count, counted.Length);
        Assert.Equal(times, counts, 1e-9);
        if (count > 0)
            Assert.Equal((ulong)first, counted[0].From.Value);
    }

    [Fact]
    public void A_sample_counts_for_more_while_samples_are_rarer_than_usual()
    {
        Pacer pacer = new(0.04, branchesPerSecond: 40_000);
        Assert.Equal(1, pacer.TakeWeight());
        TimeSpan stopped = TimeSpan.Zero;
        double branches = 0;
        List<double> weights = [];
        for (int i = 0; i < 3000; i++)
        {
            pacer.Ran((long)pacer.MeanInterval, 0);
            // 100 µs for some time, and then 8 ms: at most 4 % make intervals of 200 ms of the 75 ms before.
            stopped += TimeSpan.FromMicroseconds(i < 500 ? 100 : 8000);
            pacer.Charge(stopped, stopped, branches += 3000);
            weights.Add(pacer.TakeWeight());
        }
        Assert.InRange(weights[499], 0.9, 1.1);
        Assert.InRange(weights[500..800].Max(), 1.8, 3);
        // What lasts is usual.
        Assert.InRange(weights[^1], 0.95, 1.05);
    }

    [Fact]
    public void A_cheap_beginning_does_not_bring_samples_close_together()
    {
        Pacer pacer = new(0.02);
        double first = pacer.MeanInterval;
        TimeSpan stopped = TimeSpan.Zero;
        for (int i = 0; i < 10; i++)
        {
            pacer.Ran((long)pacer.MeanInterval, 0);
            stopped += TimeSpan.FromMicroseconds(100);
            pacer.Charge(stopped, stopped, 0);
        }
        Assert.InRange(pacer.MeanInterval, 0.6 * first, first);
        for (int i = 0; i < 1000; i++)
        {
            pacer.Ran((long)pacer.MeanInterval, 0);
            stopped += TimeSpan.FromMicroseconds(100);
            pacer.Charge(stopped, stopped, 0);
        }
        // 100 µs are 2 % of 5 ms.
        Assert.InRange(pacer.MeanInterval, 4.9e6, 5.1e6);
    }

    [Theory]
    // 2,000 branches a sample are 40,000 a second at intervals of 50 ms, of which 100 µs are 0.2 %; 5 ms would be 10 %.
    [InlineData(100, 50)]
    [InlineData(5000, 125)]
    public void Samples_are_no_closer_than_the_branches_wanted_ask_for_and_the_overhead_allows(int microseconds, double interval)
    {
        Pacer pacer = new(0.04, branchesPerSecond: 40_000);
        TimeSpan stopped = TimeSpan.Zero;
        for (uint i = 1; i <= 1000; i++)
        {
            pacer.Ran((long)pacer.MeanInterval, 0);
            stopped += TimeSpan.FromMicroseconds(microseconds);
            pacer.Charge(stopped, stopped, i * 2000);
        }
        Assert.InRange(pacer.MeanInterval / 1e6, 0.97 * interval, 1.03 * interval);
    }
}
