using System.Diagnostics;
using System.Globalization;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Recording;

/// <summary>
/// A small program to be recorded, compiled once per test class: it computes the same hash again and again, compares, and writes a line
/// every few milliseconds until its input ends. Its last line tells the rounds and how many of them came out wrong.
/// </summary>
public sealed class TargetProgram : IDisposable
{
    private const string Source = """
        #include <poll.h>
        #include <stdint.h>
        #include <stdio.h>
        #include <string.h>
        #include <unistd.h>

        static uint64_t mix(uint64_t h, uint64_t v)
        {
            if (v & 1) h ^= v * 0x9E3779B97F4A7C15ull;
            else if (v % 3 == 0) h += v << 7;
            else h = (h << 13) | (h >> 51);
            return h;
        }

        __attribute__((noinline)) static uint64_t work(void)
        {
            static char text[256];
            uint64_t h = 1;
            for (uint64_t i = 0; i < 60000; i++) {
                h = mix(h, i ^ (h >> 3));
                if ((i & 1023) == 0) {
                    memset(text, (int)(h & 127) + 1, sizeof text - 1);
                    h += strlen(text);
                }
            }
            return h;
        }

        int main(void)
        {
            uint64_t expected = work(), rounds = 0, wrong = 0;
            struct pollfd input = { 0, POLLIN, 0 };
            printf("ready\n");
            for (;;) {
                if (work() != expected) wrong++;
                if (++rounds % 16 == 0) {
                    printf("%llu\n", (unsigned long long)rounds);
                    fflush(stdout);
                }
                char c;
                if (poll(&input, 1, 0) > 0 && read(0, &c, 1) == 0) break;
            }
            printf("rounds %llu wrong %llu\n", (unsigned long long)rounds, (unsigned long long)wrong);
            return wrong != 0;
        }
        """;

    private readonly TemporaryFolder folder = new();

    public TargetProgram()
    {
        string source = folder.Write("target.c", Source);
        Tool.Run("clang-19", ["-O2", "-g", "-fdebug-info-for-profiling", "-Wl,--build-id=sha1", "-fuse-ld=lld", source, "-o", Path])
            .Succeeded();
    }

    /// <summary>The executable.</summary>
    public string Path => folder["perforator-target"];

    /// <summary>Starts it and waits until it runs.</summary>
    public RunningTarget Start(string? path = null) => new(Process.Start(new ProcessStartInfo(path ?? Path)
    {
        RedirectStandardInput = true,
        RedirectStandardOutput = true,
    })!);

    public void Dispose() => folder.Dispose();
}

/// <summary>A running <see cref="TargetProgram"/>; killed at the latest when disposed.</summary>
public sealed class RunningTarget : IDisposable
{
    private readonly Process process;
    private readonly Task<string> rest;

    public RunningTarget(Process process)
    {
        this.process = process;
        Assert.Equal("ready", process.StandardOutput.ReadLine());
        rest = process.StandardOutput.ReadToEndAsync();
    }

    public int Id => process.Id;

    public bool HasExited => process.HasExited;

    /// <summary>Ends the program by closing its input and checks that all it ever computed and wrote was right.</summary>
    public void EndAndCheck()
    {
        Assert.False(process.HasExited, "the target ended by itself");
        process.StandardInput.Close();
        Assert.True(process.WaitForExit(TimeSpan.FromSeconds(20)), "the target does not end: it hangs or is stopped");
        CheckOutput(rest.GetAwaiter().GetResult(), process.ExitCode);
    }

    /// <summary>Checks everything the program wrote after "ready".</summary>
    public static void CheckOutput(string output, int exitCode)
    {
        string[] lines = output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(0, exitCode);
        Assert.Matches(@"^rounds \d+ wrong 0$", lines[^1]);
        Assert.Equal(Enumerable.Range(1, lines.Length - 1).Select(i => (i * 16).ToString(CultureInfo.InvariantCulture)), lines[..^1]);
    }

    public void Dispose()
    {
        process.Kill();
        process.Dispose();
    }
}
