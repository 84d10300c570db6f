using Perforator.Recording.Software;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Recording.Software;

[Collection(AloneCollection.Name)]
public sealed class SoftwareRecorderTests
{
    /// <summary>Works until its input ends, then prints a sum that any disturbance would change.</summary>
    private const string Program = """
        #include <poll.h>
        #include <stdio.h>
        #include <unistd.h>
        __attribute__((noinline)) static unsigned collatz(unsigned n) { unsigned steps = 0; for (; n != 1; steps++) n = n & 1 ? 3 * n + 1 : n / 2; return steps; }
        int main(void) {
            struct pollfd end = { 0, POLLIN, 0 };
            unsigned long wrong = 0;
            while (poll(&end, 1, 0) == 0) {
                unsigned long sum = 0;
                for (unsigned n = 1; n <= 1000; n++) sum += collatz(n);
                wrong += sum != 59542;
            }
            printf("wrong %lu\n", wrong);
        }
        """;

    private static string Compile(TemporaryFolder folder)
    {
        Tool.Run("clang-19", ["-O2", "-g", "-o", folder["target"], folder.Write("target.c", Program)]).Succeeded();
        return folder["target"];
    }

    [Fact]
    public void Follows_the_branches_a_running_thread_takes()
    {
        using TemporaryFolder folder = new();
        using Target target = new(Compile(folder));
        using CancellationTokenSource stop = new(TimeSpan.FromSeconds(20));
        int samples = 0;
        RecordedBranches recorded = new()
        {
            Sampled = () =>
            {
                if (++samples == 20)
                    stop.Cancel();
            },
        };
        using SoftwareRecorder recorder = new(target, new SoftwareRecorderOptions { MaxOverhead = 1 });

        recorder.Run(recorded, stop.Token);

        Assert.True(recorded.Samples >= 20, $"{recorded.Samples} samples");
        Assert.Equal((ulong)recorded.Branches, recorder.Statistics.Branches);
        Assert.Equal(0, recorded.UnknownAddresses);
        long inProgram =
            recorded.Counts.Where(c => recorded.MappingOf(target.Id, new(c.Key.To))?.Path == folder["target"]).Sum(c => c.Value);
        Assert.True(inProgram > recorded.Branches * 8 / 10, $"{inProgram} of {recorded.Branches} branches in the program");
        Assert.Equal(0, target.TracerPid());
        Assert.Equal("wrong 0\n", target.Finish());
    }

    [Fact]
    public void A_sink_that_fails_ends_recording_and_the_target_runs_on()
    {
        using TemporaryFolder folder = new();
        using Target target = new(Compile(folder));
        using SoftwareRecorder recorder = new(target);
        RecordedBranches failing = new() { Sampled = () => throw new InvalidOperationException("the disk is full") };

        InvalidOperationException thrown = Assert.Throws<InvalidOperationException>(() => recorder.Run(failing, CancellationToken.None));

        Assert.Equal("the disk is full", thrown.Message);
        Assert.Equal(0, target.TracerPid());
        Assert.Equal("wrong 0\n", target.Finish());
    }

    [Fact]
    public void Recording_ends_when_its_targets_have()
    {
        using TemporaryFolder folder = new();
        using Target target = new(Compile(folder));
        using SoftwareRecorder recorder = new(target);
        using CancellationTokenSource limit = new(TimeSpan.FromSeconds(30));
        bool closed = false;
        RecordedBranches recorded = new()
        {
            Sampled = () =>
            {
                if (!closed)
                    target.CloseInput();
                closed = true;
            },
        };

        recorder.Run(recorded, limit.Token);

        Assert.False(limit.IsCancellationRequested);
        Assert.Equal("wrong 0\n", target.Finish());
    }
}
