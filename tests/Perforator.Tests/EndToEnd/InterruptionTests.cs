using System.Diagnostics;
using Perforator.Recording;
using Perforator.Tests.Infrastructure;
using Perforator.Tests.Recording;

namespace Perforator.Tests.EndToEnd;

/// <summary>SIGTERM and SIGINT at random moments, 50 of each for the agent and for record: what is recorded runs on, and right.</summary>
[Collection(AloneCollection.Name)]
public class InterruptionTests(TargetProgram program) : IClassFixture<TargetProgram>
{
    private const int Times = 50;

    /// <summary>At once, so that the moments are as varied as a busy machine makes them and the test is short.</summary>
    private const int Lanes = 5;

    /// <summary>The longest wait before the signal, from the moment on at which the recorder says what it will use.</summary>
    private const int MaxDelayMilliseconds = 400;

    /// <summary>Many times what anything here takes on a busy machine.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(120);

    [Theory]
    [InlineData(Syscalls.SIGTERM)]
    [InlineData(Syscalls.SIGINT)]
    public async Task The_agent(int signal)
    {
        using TemporaryFolder folder = new();
        using ServerProcess server = ServerProcess.Start(folder["server"]);
        await InLanes(signal, async (random, times) =>
        {
            using RunningTarget target = program.Start();
            for (int i = 0; i < times; i++)
            {
                using Interruption agent = await Interruption.SendAsync(
                    random, signal, "agent", "--server", server.Address.ToString(), "--service", $"target=pid:{target.Id}", "--source",
                    "software",
                    "--max-overhead", "100%", "--interval", "0.2s");
                (int exitCode, string error) = await agent.EndAsync();
                Assert.False(target.HasExited, error);
                Assert.True(exitCode == 0, $"exit code {exitCode}\n{error}");
                Assert.Contains("perforator: ended: ", error, StringComparison.Ordinal);
            }
            target.EndAndCheck();
        });
    }

    [Theory]
    [InlineData(Syscalls.SIGTERM)]
    [InlineData(Syscalls.SIGINT)]
    public async Task Record_of_a_running_process(int signal)
    {
        using TemporaryFolder folder = new();
        await InLanes(signal, async (random, times) =>
        {
            using RunningTarget target = program.Start();
            for (int i = 0; i < times / 2; i++)
            {
                string output = folder[$"{target.Id}-{i}.branches"];
                using Interruption record = await Interruption.SendAsync(
                    random, signal, "record", "-p", $"{target.Id}", "-o", output, "--source", "software", "--max-overhead", "100%");
                (int exitCode, string error) = await record.EndAsync();
                Assert.False(target.HasExited, error);

                // 1 when the signal came before the first branch stack.
                Assert.True(File.Exists(output) ? exitCode == 0 : exitCode == 1, $"exit code {exitCode}\n{error}");
                Assert.Contains("perforator: recorded ", error, StringComparison.Ordinal);
            }
            target.EndAndCheck();
        });
    }

    [Theory]
    [InlineData(Syscalls.SIGTERM)]
    [InlineData(Syscalls.SIGINT)]
    public async Task Record_of_a_command(int signal)
    {
        using TemporaryFolder folder = new();
        await InLanes(signal, async (random, times) =>
        {
            for (int i = 0; i < (times + 1) / 2; i++)
            {
                string output = folder[$"{random.Next()}.branches"];
                using Interruption record = await Interruption.SendAsync(
                    random, signal, "record", "-o", output, "--source", "software", "--max-overhead", "100%", "--", program.Path);
                await record.WaitForExitAsync();

                // The command has the recorder's standard streams and outlives it: it goes on until its input ends.
                string written = await record.CloseInputAsync();
                (int exitCode, string error) = await record.EndAsync();
                Assert.True(File.Exists(output) ? exitCode == 0 : exitCode == 1, $"exit code {exitCode}\n{error}");
                Assert.Contains("runs on", error, StringComparison.Ordinal);
                Assert.StartsWith("ready\n", written, StringComparison.Ordinal);
                RunningTarget.CheckOutput(written["ready\n".Length..], exitCode: 0);
            }
        });
    }

    private static async Task InLanes(int signal, Func<Random, int, Task> lane) =>
        await Task.WhenAll(Enumerable.Range(0, Lanes).Select(n => Task.Run(() => lane(new Random(100 * signal + n), Times / Lanes))));

    /// <summary>A verb that was sent a signal at a random moment after it had said which source it uses.</summary>
    private sealed class Interruption : IDisposable
    {
        private readonly Process process;
        private readonly Task<string> output;
        private readonly string firstLine;
        private readonly Task<string> otherLines;

        private Interruption(Process process, Task<string> output, string firstLine)
        {
            this.process = process;
            this.output = output;
            this.firstLine = firstLine;
            otherLines = process.StandardError.ReadToEndAsync();
        }

        public static async Task<Interruption> SendAsync(Random random, int signal, params string[] arguments)
        {
            // Whoever starts the tests in the background of a script has them, and all below them, ignore SIGINT.
            Process process = Process.Start(new ProcessStartInfo("/usr/bin/env", ["--default-signal=INT", Tool.Perforator, .. arguments])
            {
                RedirectStandardInput = true,
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            })!;
            Task<string> output = process.StandardOutput.ReadToEndAsync();
            string? line = await process.StandardError.ReadLineAsync();
            Assert.Contains("source: ", line, StringComparison.Ordinal);
            Interruption interruption = new(process, output, line!);
            await Task.Delay(random.Next(MaxDelayMilliseconds));
            _ = Syscalls.kill(process.Id, signal);
            return interruption;
        }

        /// <summary>Waits for the verb's end; what it started may still have its streams.</summary>
        public Task WaitForExitAsync() => process.WaitForExitAsync().WaitAsync(Patience);

        /// <summary>Waits for the end of the verb and of all that has its error stream.</summary>
        public async Task<(int ExitCode, string Error)> EndAsync()
        {
            await WaitForExitAsync();
            return (process.ExitCode, $"{firstLine}\n{await otherLines.WaitAsync(Patience)}");
        }

        /// <summary>Ends the input of what the verb started and returns all that it wrote.</summary>
        public async Task<string> CloseInputAsync()
        {
            Assert.False(output.IsCompleted, "the command has not run on");
            process.StandardInput.Close();
            return await output.WaitAsync(Patience);
        }

        public void Dispose() => process.Dispose();
    }
}
