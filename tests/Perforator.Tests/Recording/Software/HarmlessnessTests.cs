using System.Diagnostics;
using System.Globalization;
using Perforator.Recording.Software;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Recording.Software;

/// <summary>
/// What recording does to targets as seen from outside: how long their threads stand still, what sleeping threads and short processes cost
/// and give, what instructions cannot do to the recorder.
/// </summary>
[Collection(AloneCollection.Name)]
public sealed class HarmlessnessTests : IClassFixture<HarmlessnessTests.Binary>
{
    private readonly string program;

    public HarmlessnessTests(Binary binary) => program = binary.Path;

    /// <summary>The compiled program, shared by all tests.</summary>
    public sealed class Binary : IDisposable
    {
        private readonly TemporaryFolder folder = new();

        public Binary() =>
            Tool.Run("clang-19", ["-O1", "-pthread", "-o", Path, System.IO.Path.Combine(
                Tool.RepositoryRoot(), "testdata", "recording", "oddities.c")]).Succeeded();

        public string Path => folder["oddities"];

        public void Dispose() => folder.Dispose();
    }

    /// <summary>
    /// A thread stands in state t, with no time slice in between, for as long as a stop lasts. The sink is slower than any stop may be, and
    /// memory is collected all the time.
    /// </summary>
    [Fact]
    public async Task No_stop_lasts_for_a_slow_sink_or_a_collection_of_garbage()
    {
        const int SlowSink = 400;
        using Target target = new(program, "work");
        using CancellationTokenSource stop = new();
        int samples = 0;
        RecordedBranches recorded = new()
        {
            Sampled = () =>
            {
                if (Interlocked.Increment(ref samples) % 16 == 0)
                    Thread.Sleep(SlowSink);
            },
        };
        using SoftwareRecorder recorder = new(target, new SoftwareRecorderOptions { MaxOverhead = 1 });
        Task recording = Task.Run(() => recorder.Run(recorded, stop.Token));
        object?[] kept = new object?[20_000];
        Task collecting = Task.Run(() =>
        {
            for (int i = 0; !stop.IsCancellationRequested; i++)
            {
                kept[i % kept.Length] = new byte[500];
                if (i % 2000 == 0)
                    GC.Collect();
            }
        });
        TimeSpan longest = TimeSpan.Zero;
        int stops = 0;
        long since = 0, slices = -1;
        for (long begin =
            Stopwatch.GetTimestamp(); (stops < 3 && Stopwatch.GetElapsedTime(begin) < TimeSpan.FromSeconds(120))
                || Stopwatch.GetElapsedTime(begin) < TimeSpan.FromSeconds(3);)
        {
            long before = Slices(target.Id);
            bool stands = target.State() == 't';
            long now = Stopwatch.GetTimestamp();
            if (!stands || before != slices)
                since = 0;
            if (stands && since == 0 && before == Slices(target.Id))
            {
                (since, slices) = (now, before);
                stops++;
            }
            else if (stands && since != 0 && Stopwatch.GetElapsedTime(since, now) is var lasted && lasted > longest)
            {
                longest = lasted;
            }
        }
        await stop.CancelAsync();
        await recording;
        await collecting;

        Assert.True(stops >= 3, $"{stops} stops seen, {recorded.Samples} samples");
        Assert.True(longest < TimeSpan.FromMilliseconds(SlowSink / 2), $"a thread stood still for {longest.TotalMilliseconds:F1} ms");
        Assert.StartsWith("ok", target.Finish(), StringComparison.Ordinal);
    }

    /// <summary>
    /// Floating-point exceptions unmasked, a REP of 8 MiB, a wait for another thread by PAUSE: none ends the recorder or keeps a thread
    /// standing.
    /// </summary>
    [Theory]
    [InlineData("control")]
    [InlineData("repeat")]
    [InlineData("spins")]
    public void The_recorder_copes_with_what_a_target_executes(string mode)
    {
        using Target target = new(program, mode);
        RecordedBranches recorded = RecordedBranches.Record(target.Id, r => r.Samples >= 300);

        Assert.True(recorded.Samples >= 300, $"{recorded.Samples} samples");
        Assert.Equal(0, recorded.UnknownAddresses);
        Assert.StartsWith("ok", target.Finish(), StringComparison.Ordinal);
    }

    /// <summary>The same work, some 0.6 s of it, in sixty processes one after another and in one.</summary>
    [Fact]
    public void Equal_user_time_counts_equally_in_one_process_and_in_many()
    {
        const int Processes = 60, Rounds = 700;
        using Target many =
            new(program, "many", Processes.ToString(CultureInfo.InvariantCulture), Rounds.ToString(CultureInfo.InvariantCulture));
        RecordedBranches inMany = RecordedBranches.Record(many.Id, _ => false, many.CloseInput);
        using Target one = new(program, "many", "1", (Processes * Rounds).ToString(CultureInfo.InvariantCulture));
        RecordedBranches inOne = RecordedBranches.Record(one.Id, _ => false, one.CloseInput);

        Assert.True(inMany.Processes.Count > Processes / 3, $"{inMany.Processes.Count} processes of {Processes}: {string.Join(", ", inMany.Losses.ByReason)}");
        // Chance alone, of some hundred moments each on a busy machine, makes a fifth of difference.
        Assert.InRange(inMany.Branches / (double)inOne.Branches, 0.5, 2);
    }

    [Fact]
    public void Children_that_lost_their_parents_are_recorded()
    {
        using Target target = new(program, "daemon");
        RecordedBranches recorded = RecordedBranches.Record(target.Id, r => r.Processes.Count >= 3);

        Assert.True(recorded.Processes.Count >= 3, $"{recorded.Processes.Count} processes");
        Assert.StartsWith("ok", target.Finish(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Two_thousand_sleeping_threads_cost_next_to_nothing()
    {
        using Target target = new(program, "idle", "2000");
        using CancellationTokenSource stop = new();
        using SoftwareRecorder recorder = new(target);
        Task recording = Task.Run(() => recorder.Run(new RecordedBranches(), stop.Token));
        await Task.Delay(TimeSpan.FromSeconds(1.5));
        TimeSpan before = Process.GetCurrentProcess().TotalProcessorTime;
        await Task.Delay(TimeSpan.FromSeconds(2));
        TimeSpan used = Process.GetCurrentProcess().TotalProcessorTime - before;
        await stop.CancelAsync();
        await recording;

        // Looking at each of them takes a fifth of a CPU, ten times as much.
        Assert.True(used < TimeSpan.FromSeconds(0.2), $"{used.TotalSeconds:F2} s of CPU time in 2 s");
        Assert.StartsWith("ok", target.Finish(), StringComparison.Ordinal);
    }

    private static long Slices(int processId) =>
        long.Parse(File.ReadAllText($"/proc/{processId}/schedstat").Split(' ')[2], CultureInfo.InvariantCulture);
}
