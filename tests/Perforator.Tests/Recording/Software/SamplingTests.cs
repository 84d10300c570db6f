using Perforator.Recording;
using Perforator.Recording.Interpreter;
using Perforator.Recording.Processes;
using Perforator.Recording.Software;

namespace Perforator.Tests.Recording.Software;

/// <summary>How far samples are apart, what each counts for, by which signal a thread is met and which pages are cold.</summary>
public sealed class SamplingTests
{
    private static readonly FollowedPath Usual = new(4000, 30_000, 200, 14, 0, StopReason.Done);

    private static double Weigh(in FollowedPath path, double interval = 1e6) => new Estimator(1e6, 4000).Weigh(path, interval);

    [Fact]
    public void A_path_counts_for_the_interval_by_the_time_that_it_takes()
    {
        // 30,000 instructions of 0.2 ns, 200 misses of 20, 14 cold pages of 700 are 19.8 µs, where 4,000 branches of 5 ns are 20.
        Assert.Equal(20 / 19.8, Weigh(Usual), 1e-9);
        Assert.Equal(3 * Weigh(Usual), Weigh(Usual, 3e6), 1e-9);
        // As many branches in twice the time count for half.
        Assert.Equal(Weigh(Usual) / 2, Weigh(Usual with { Instructions = 60_000, Misses = 400, ColdPages = 28 }), 1e-9);
        // An announced page costs a fraction of a cold one.
        Assert.Equal(20 / 20.3, Weigh(Usual with { AnnouncedPages = 20 }), 1e-9);
        Assert.Equal(20 / 33.8, Weigh(Usual with { ColdPages = 34 }), 1e-9);
    }

    [Theory]
    // Half a path in half the time: what was cut short by the recorder stands for the rest as well.
    [InlineData("TimeUp", 2)]
    [InlineData("Done", 2)]
    // What the thread itself ended does not.
    [InlineData("SystemCall", 1)]
    [InlineData("SpinWait", 1)]
    [InlineData("NotInterpreted", 1)]
    [InlineData("UnreadableMemory", 1)]
    public void What_the_recorder_cut_short_counts_for_more(string end, double times)
    {
        FollowedPath half =
            Usual with { Branches = 2000, Instructions = 15_000, Misses = 100, ColdPages = 7, End = Enum.Parse<StopReason>(end) };
        Assert.Equal(times, Weigh(half) / Weigh(Usual), 1e-9);
    }

    [Fact]
    public void No_weight_is_out_of_bounds_and_whole_numbers_add_up_to_it()
    {
        Assert.Equal(16, Weigh(Usual, 1e12));
        Assert.Equal(1 / 16.0, Weigh(Usual, 1));
        Estimator estimator = new(1e6, 4000);
        ulong sum = 0;
        for (int i = 0; i < 1000; i++)
        {
            ulong times = estimator.Times(0.7);
            Assert.InRange(times, 0UL, 1UL);
            sum += times;
        }
        Assert.InRange(sum, 699UL, 700UL);
        Assert.InRange(estimator.Times(3.5), 3UL, 4UL);
    }

    [Theory]
    // 2,000 branches a sample are 40,000 a second at intervals of 50 ms, of which 100 µs are 0.2 %; 5 ms would be 10 %.
    [InlineData(0.04, 40_000, 100, 50)]
    [InlineData(0.04, 40_000, 5000, 125)]
    [InlineData(0.02, double.PositiveInfinity, 100, 5)]
    [InlineData(1, 40_000, 5000, 2)]
    public void Samples_are_no_closer_than_the_branches_wanted_ask_for_and_the_overhead_allows(
        double overhead, double branches, int microseconds, double interval)
    {
        Pacer pacer = new(overhead, branches);
        for (int i = 0; i < 1000; i++)
            pacer.Charge(TimeSpan.FromMicroseconds(microseconds), 2000);
        Assert.InRange(pacer.Interval / 1e6, 0.97 * interval, 1.03 * interval);
    }

    [Fact]
    public void One_dear_sample_does_not_silence_the_recorder()
    {
        Pacer pacer = new(0.035, 40_000);
        for (int i = 0; i < 200; i++)
            pacer.Charge(TimeSpan.FromMicroseconds(200), 3500);
        double before = pacer.Interval;
        pacer.Charge(TimeSpan.FromMilliseconds(100), 3500);
        Assert.InRange(pacer.Interval, before, 60e6 + before);
    }

    private const ulong Urgent = 1UL << (Syscalls.SIGURG - 1), Window = 1UL << (Syscalls.SIGWINCH - 1), Pipe = 1UL << 12, Child = 1UL << 16, Stop = 1UL << 19;

    [Theory]
    [InlineData(0, 0, 0, Syscalls.SIGURG)]
    [InlineData(Urgent, 0, 0, Syscalls.SIGWINCH)]
    [InlineData(0, 0, Urgent, Syscalls.SIGWINCH)]
    // Nothing is ignored but what the program ignores itself, and that is no signal of job control.
    [InlineData(Urgent, Pipe | Child | Stop, Window, 13)]
    [InlineData(Urgent | Pipe, Pipe | Child | Stop, Window, 0)]
    // Go catches all, and expects SIGURG to come astray.
    [InlineData(0, 0, ulong.MaxValue, Syscalls.SIGURG)]
    [InlineData(ulong.MaxValue, 0, 0, 0)]
    public void A_thread_is_met_by_a_signal_that_changes_nothing(ulong blocked, ulong ignored, ulong caught, int signal) =>
        Assert.Equal(signal, QuietSignal.Choose(blocked, ignored, caught));

    [Fact]
    public void This_process_may_signal_itself_and_a_thread_that_is_gone_has_no_signal()
    {
        Assert.NotEqual(0, QuietSignal.Of(File.ReadAllBytes("/proc/self/status")));
        Assert.Equal(0, QuietSignal.Of([]));
    }

    [Fact]
    public void A_page_is_cold_that_the_last_eight_paths_have_not_touched()
    {
        PageHistory pages = new();
        for (int path = 0; path < 200; path++)
        {
            pages.Begin();
            Assert.Equal(path == 0, pages.Touch(1));
            if (path % 8 == 0)
                Assert.Equal(path == 0, pages.Touch(2));
            if (path % 9 == 0)
                Assert.True(pages.Touch(3));
        }
    }

    [Fact]
    public void A_process_is_wanted_for_its_parents_and_for_having_been_forked_by_one_that_was()
    {
        LaunchedProcess parent = LaunchedProcess.Start(["/bin/sh", "-c", "sleep 60 & wait"]);
        try
        {
            ProcessTreeTargets targets = new([parent.Id]);
            int child = 0;
            Assert.True(SpinWait.SpinUntil(
                () => (child = ProcessIdentity.AllIds().FirstOrDefault(id => ProcessIdentity.ParentOf(id) == parent.Id)) != 0,
                TimeSpan.FromSeconds(20)));
            Assert.True(targets.Wants(child, isChildOfWanted: false));
            Assert.True(targets.Wants(parent.Id, isChildOfWanted: false));
            Assert.False(targets.Wants(Environment.ProcessId, isChildOfWanted: false));
            Assert.False(targets.Wants(1, isChildOfWanted: false));
            // An orphan, whoever has taken it in.
            Assert.True(targets.Wants(Environment.ProcessId, isChildOfWanted: true));
            _ = Syscalls.kill(child, Syscalls.SIGKILL);
        }
        finally
        {
            parent.Signal(Syscalls.SIGKILL);
            _ = parent.WaitForExit(TimeSpan.FromSeconds(5));
        }
    }
}
