using System.Diagnostics;
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

    [SkippableFact]
    public void The_recorder_leaves_the_cpu_of_the_thread_it_is_about_to_stop()
    {
        Skip.If(Environment.ProcessorCount < 2, "one CPU only");
        // Affinity and priority stay with a thread: not with one of the test runner's.
        int[] seen = [];
        Thread thread = new(() =>
        {
            Placement placement = new();
            placement.Begin();
            List<int> cpus = [];
            for (int i = 0; i < 20; i++)
            {
                int cpu = Syscalls.sched_getcpu();
                placement.LeaveTo(cpu);
                cpus.Add(cpu == Syscalls.sched_getcpu() ? 1 : 0);
            }
            placement.LeaveTo(-1);
            placement.LeaveTo(1 << 20);
            seen = [.. cpus];
        });
        thread.Start();
        thread.Join();
        Assert.Equal(20, seen.Length);
        Assert.Equal(0, seen.Sum());
    }

    [Fact]
    public void A_sample_counts_what_its_thread_takes_undisturbed_in_a_time()
    {
        SampleTime time = new();
        SampleLength quick = new(time), slow = new(time), unknown = new(time);
        Assert.InRange(quick.Counted(3500), 3490, 3520);
        // The first reading is believed, further ones are averaged.
        quick.Learn(1000, 2500);
        slow.Learn(200, 2500);
        Assert.Equal(5, (double)quick.Counted(2500) / slow.Counted(2500), 0.05);
        Assert.Equal(slow.Counted(2500), unknown.Counted(2500));
        slow.Learn(800, 2500);
        Assert.Equal(2.5, (double)quick.Counted(2500) / slow.Counted(2500), 0.05);
        // Windows tell one moment from the next, but not in proportion.
        Assert.InRange((double)quick.Counted(20_000) / quick.Counted(2_000), 1.9, 2.1);
        Assert.True(quick.Counted(0) > 0);
    }

    [Fact]
    public void The_time_a_sample_stands_for_is_fixed_once_it_is_known_what_makes_3500_branches()
    {
        SampleTime time = new();
        SampleLength length = new(time);
        Assert.Equal(3, time.Microseconds);
        // 500 on geometric average.
        for (int i = 0; i < 4; i++)
            length.Learn(i < 2 ? 250 : 1000, 1000);
        Assert.Equal(7, time.Microseconds, 1e-9);
        for (int i = 0; i < 100; i++)
            length.Learn(500, 1000);
        Assert.InRange(length.Counted(1000), 3480, 3520);
        for (int i = 0; i < 100; i++)
            length.Learn(50, 1000);
        Assert.Equal(7, time.Microseconds, 1e-9);
        Assert.InRange(length.Counted(1000), 340, 360);
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

    [Fact]
    public void The_way_followed_ahead_grows_until_it_suffices_two_times_in_three()
    {
        // Threads that get between no and a hundred thousand instructions far.
        Random random = new(1);
        ObservationWindow window = new(16_000);
        int beyond = 0;
        for (int i = 0; i < 20_000; i++)
        {
            bool further = random.Next(100_000) > window.Instructions;
            window.Learn(further);
            beyond += further && i >= 10_000 ? 1 : 0;
        }
        Assert.InRange(beyond / 10_000.0, 0.31, 0.36);
    }
}
