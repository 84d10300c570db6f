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
    public void Quick_code_counts_for_more_but_not_in_proportion()
    {
        double close = ObservationWindow.Trust(400_000), sparse = ObservationWindow.Trust(50_000_000);
        Assert.InRange(ObservationWindow.Counted(2500, close), 2500, 2550);
        Assert.InRange(Ratio(close), 3.8, 4.1);
        Assert.InRange(Ratio(sparse), 1.9, 2.1);
        Assert.True(ObservationWindow.Counted(0, sparse) > 0);

        static double Ratio(double trust) => (double)ObservationWindow.Counted(20_000, trust) / ObservationWindow.Counted(2_000, trust);
    }

    [Fact]
    public void The_longer_between_samples_the_less_a_window_is_believed()
    {
        double[] trust = [.. new[] { 0.1e6, 1e6, 2e6, 3e6, 4e6, 100e6 }.Select(ObservationWindow.Trust)];
        Assert.Equal(trust[0], trust[1]);
        Assert.True(trust[1] > trust[2] && trust[2] > trust[3] && trust[3] > trust[4]);
        Assert.Equal(trust[4], trust[5]);
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
