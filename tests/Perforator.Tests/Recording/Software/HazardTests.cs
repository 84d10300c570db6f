using System.Diagnostics;
using System.Globalization;
using Perforator.Recording.Processes;
using Perforator.Recording.Software;
using Perforator.Tests.Infrastructure;
using static Perforator.Recording.Syscalls;

namespace Perforator.Tests.Recording.Software;

/// <summary>What targets do that recording must not disturb: testdata/recording/hazards.c, under the densest recording there is.</summary>
[Collection(AloneCollection.Name)]
public sealed class HazardTests : IClassFixture<HazardTests.Binary>
{
    private readonly string program;

    public HazardTests(Binary binary) => program = binary.Path;

    /// <summary>The compiled program, shared by all tests.</summary>
    public sealed class Binary : IDisposable
    {
        private readonly TemporaryFolder folder = new();

        public Binary()
        {
            string source = System.IO.Path.Combine(Tool.RepositoryRoot(), "testdata", "recording", "hazards.c");
            Tool.Run("clang-19", ["-O1", "-pthread", "-o", Path, source]).Succeeded();
        }

        public string Path => folder["hazards"];

        public void Dispose() => folder.Dispose();
    }

    /// <summary>
    /// A <c>perforator record</c> of a target, as dense as can be, of which nothing is left at the end of a test, however that ends.
    /// </summary>
    private sealed class Recorder(Target target, string output) : IDisposable
    {
        private readonly LaunchedProcess process = LaunchedProcess.Start(
            ["sh", "-c", "exec \"$@\" >/dev/null 2>&1", "sh", Tool.Perforator, "record", "--source", "software", "--max-overhead", "100%",
                "-p",
                target.Id.ToString(CultureInfo.InvariantCulture), "-o", output]);

        public int Id => process.Id;

        public void Signal(int signal) => process.Signal(signal);

        public int? WaitForExit(int seconds) => process.WaitForExit(TimeSpan.FromSeconds(seconds));

        public void Dispose()
        {
            Signal(SIGKILL);
            _ = WaitForExit(10);
        }
    }

    [Theory]
    [InlineData("threads")]
    [InlineData("forks")]
    [InlineData("exits", 2000)]
    [InlineData("execs")]
    [InlineData("signals")]
    [InlineData("sandbox")]
    [InlineData("jit")]
    [InlineData("locks")]
    [InlineData("pipes")]
    public void The_target_works_rightly_while_it_is_recorded(string mode, int samples = 100)
    {
        using Target target = new(program, mode);
        RecordedBranches recorded = RecordedBranches.Record(target.Id, r => r.Samples >= samples);

        Assert.True(recorded.Branches > 0, "nothing was recorded");
        // Code made at run time is in no file's mapping.
        Assert.True(recorded.UnknownAddresses == 0 || mode == "jit", $"{recorded.UnknownAddresses} addresses without a mapping");
        Assert.Equal(0, target.TracerPid());
        Assert.StartsWith("ok", target.Finish(), StringComparison.Ordinal);
    }

    /// <summary>
    /// Nothing may come back early: what the program counts is what PTRACE_INTERRUPT, SIGSTOP or a stop within a system call leaves.
    /// </summary>
    [Theory]
    [InlineData("sleeps", 100)]
    [InlineData("naps", 30)]
    [InlineData("writes", 1000)]
    public void No_system_call_of_the_target_comes_back_early(string mode, int samples)
    {
        using Target target = new(program, mode);
        RecordedBranches recorded = RecordedBranches.Record(target.Id, r => r.Samples >= samples);

        Assert.True(recorded.Branches > 0, "nothing was recorded");
        Assert.StartsWith("ok, interrupted 0", target.Finish(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Job_control_goes_on_working()
    {
        using Target target = new(program, "plain");
        using CancellationTokenSource stop = new();
        using SoftwareRecorder recorder = new(target, new SoftwareRecorderOptions { MaxOverhead = 1 });
        Task recording = Task.Run(() => recorder.Run(new RecordedBranches(), stop.Token));
        for (int i = 0; i < 10; i++)
        {
            target.Signal(SIGSTOP);
            WaitForState(target, 'T');
            target.Signal(SIGCONT);
            WaitForState(target, 'R');
            Thread.Sleep(20);
        }
        await stop.CancelAsync();
        await recording;

        Assert.StartsWith("ok", target.Finish(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_debugger_attaches_while_the_target_is_recorded_and_keeps_it()
    {
        using Target target = new(program, "plain");
        using CancellationTokenSource stop = new(TimeSpan.FromMinutes(1));
        using SoftwareRecorder recorder = new(target, new SoftwareRecorderOptions { MaxOverhead = 1 });
        TaskCompletionSource sampled = new(), refused = new();
        RecordedBranches? recorded = null;
        recorded = new()
        {
            Sampled = () => sampled.TrySetResult(),
            Happened = () => _ = recorded!.Losses[Sampler.AlreadyTraced] >= 10 && refused.TrySetResult(),
        };
        Task recording = Task.Run(() => recorder.Run(recorded, stop.Token));
        await sampled.Task.WaitAsync(stop.Token);
        string? failure = null;
        // ptrace is per OS thread.
        Thread debugger = new(() =>
        {
            // The recorder has a thread for less than a millisecond in each two.
            bool isSeized = false;
            for (DateTime end = DateTime.UtcNow.AddSeconds(20); !isSeized && DateTime.UtcNow < end; Thread.Sleep(Random.Shared.Next(3)))
                isSeized = ptrace(PTRACE_SEIZE, target.Id, 0, 0) == 0;
            failure = !isSeized
                ? "refused for twenty seconds" : !refused.Task.Wait(TimeSpan.FromSeconds(30)) ? "the recorder has not seen it" : null;
        });
        debugger.Start();
        debugger.Join();
        await stop.CancelAsync();
        await recording;

        Assert.Null(failure);
        Assert.Equal(0, target.TracerPid());
        Assert.StartsWith("ok", target.Finish(), StringComparison.Ordinal);
    }

    /// <summary>
    /// The whole process is killed while one of its threads stands still for a sample, again and again at random moments.
    /// </summary>
    [Fact]
    public async Task A_target_that_ends_during_a_stop_ends_at_once_and_recording_with_it()
    {
        const int Targets = 12;
        Random random = new(11);
        int endedInStop = 0;
        for (int i = 0; i < Targets; i++)
        {
            using Target target = new(program, "plain");
            using SoftwareRecorder recorder = new(target, new SoftwareRecorderOptions { MaxOverhead = 1 });
            using CancellationTokenSource limit = new(TimeSpan.FromSeconds(30));
            int samples = 0;
            RecordedBranches recorded = new() { Sampled = () => Volatile.Write(ref samples, samples + 1) };
            Task recording = Task.Run(() => recorder.Run(recorded, limit.Token));
            while (Volatile.Read(ref samples) < 5 && !limit.IsCancellationRequested)
                Thread.Sleep(1);
            Thread.SpinWait(random.Next(100_000));
            // Traced and stopped: state t.
            for (int look = 0; look < 20_000 && target.State() != 't'; look++)
            {
            }
            endedInStop += target.State() == 't' ? 1 : 0;
            target.Signal(SIGKILL);

            await recording.WaitAsync(TimeSpan.FromSeconds(10));
            Assert.False(limit.IsCancellationRequested);
        }
        Assert.True(endedInStop > 0, "no target was met standing still");
    }

    /// <summary>PERFORATOR_KILLS sets how many recorders are killed.</summary>
    [Fact]
    public void Kill_9_of_the_recorder_at_any_moment_leaves_the_target_running_rightly()
    {
        using Target target = new(program, "plain");
        int kills = int.Parse(Environment.GetEnvironmentVariable("PERFORATOR_KILLS") ?? "15", CultureInfo.InvariantCulture);
        Random random = new(5);
        int caughtRecording = 0;
        using TemporaryFolder folder = new();
        for (int i = 0; i < kills; i++)
        {
            using Recorder recorder = new(target, folder["branches"]);
            // Once it traces, at a random moment.
            int tracer = 0;
            for (long begin = Stopwatch.GetTimestamp(); tracer == 0 && Stopwatch.GetElapsedTime(begin) < TimeSpan.FromSeconds(20);)
                tracer = target.TracerPid();
            caughtRecording += tracer != 0 ? 1 : 0;
            Thread.Sleep(random.Next(0, 20));
            recorder.Signal(SIGKILL);
            Assert.Equal(128 + SIGKILL, recorder.WaitForExit(10));
        }

        Assert.True(caughtRecording > 0, "no recorder was killed at work");
        WaitForState(target, 'R');
        Assert.Equal(0, target.TracerPid());
        Assert.StartsWith("ok", target.Finish(), StringComparison.Ordinal);
    }

    /// <summary>SIGTSTP (Ctrl-Z) waits until the recorder holds nobody; SIGSTOP cannot, but what it holds then goes on with it.</summary>
    [Fact]
    public void A_recorder_that_is_stopped_and_continued_leaves_the_target_running_rightly()
    {
        using Target target = new(program, "plain");
        using TemporaryFolder folder = new();
        using Recorder recorder = new(target, folder["branches"]);
        for (long begin = Stopwatch.GetTimestamp(); target.TracerPid() == 0 && Stopwatch.GetElapsedTime(begin) < TimeSpan.FromSeconds(20);)
        {
        }
        int heldStopped = 0;
        for (int i = 0; i < 40; i++)
        {
            bool waits = i % 2 == 0;
            recorder.Signal(waits ? SIGTSTP : SIGSTOP);
            for (long begin =
                Stopwatch.GetTimestamp(); ProcessIdentity.StateOf(recorder.Id) != 'T'
                    && Stopwatch.GetElapsedTime(begin) < TimeSpan.FromSeconds(20);)
                Thread.Sleep(1);
            Assert.Equal('T', ProcessIdentity.StateOf(recorder.Id));
            if (waits)
                Assert.Equal((0, 'R'), (target.TracerPid(), target.State()));
            else
                heldStopped += target.State() == 't' ? 1 : 0;
            recorder.Signal(SIGCONT);
            Thread.Sleep(10);
        }
        recorder.Signal(SIGTERM);
        Assert.Equal(0, recorder.WaitForExit(20));
        Assert.True(heldStopped < 20, "each stop of the recorder met one of its target");
        Assert.Equal(0, target.TracerPid());
        Assert.StartsWith("ok", target.Finish(), StringComparison.Ordinal);
    }

    private static void WaitForState(Target target, char state)
    {
        char found = target.State();
        for (int i = 0; i < 5000 && found != state; i++)
        {
            Thread.Sleep(1);
            found = target.State();
        }
        Assert.Equal(state, found);
    }
}
