using System.Diagnostics;
using System.Runtime.InteropServices;
using Perforator.Branches;
using Perforator.PerfData;
using Perforator.Tests.Infrastructure;
using Perforator.Tests.PerfData;

namespace Perforator.Tests.EndToEnd;

/// <summary>Recordings that come through pipes into the real CLI.</summary>
public sealed class PipeInputsTests(WalkedProgram program) : IClassFixture<WalkedProgram>, IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    /// <summary>A command line with $perforator, $program and so on, run by bash.</summary>
    private static ToolResult Shell(string commands, params (string Name, string Value)[] variables) =>
        Tool.Run("bash", ["-c", "set -o pipefail; " + commands], environment: variables.Append(("perforator", Tool.Perforator))
            .ToDictionary(v => v.Item1, v => v.Item2));

    /// <summary>The records of a file as <c>perf record -o -</c> sends them, without the build ids that a file's end has.</summary>
    private string Piped(string perfData)
    {
        byte[] file = File.ReadAllBytes(perfData);
        int start = (int)BitConverter.ToInt64(file, 40), length = (int)BitConverter.ToInt64(file, 48);
        string path = folder["piped"];
        File.WriteAllBytes(path, PerfDataBytes.Pipe([(PerfDataWriter.Attributes, [1])], [file[start..(start + length)]]));
        return path;
    }

    [Theory]
    [InlineData("cat $file | $perforator import - --service s --binary $binary --server $server")]
    [InlineData("$perforator import - --service s --binary $binary --server $server <$file")]
    [InlineData("cat $file | $perforator import /dev/stdin --service s --binary $binary --server $server")]
    [InlineData("$perforator import <(cat $file) --service s --binary $binary --server $server")]
    [InlineData("mkfifo $file.fifo; cat $file >$file.fifo & $perforator import $file.fifo --service s --binary $binary --server $server")]
    public void Import_reads_pipes_of_every_kind(string commands)
    {
        using ServerProcess server = ServerProcess.Start(folder["data"]);
        ToolResult result =
            Shell(commands, ("file", Piped(program.PerfData)), ("binary", program.Binary), ("server", server.Address.ToString()))
                .Succeeded();
        Assert.Contains(": 2,000 samples, ", result.Error);
        Assert.Contains($"sent the binary {program.Binary}", result.Error);

        string ours = folder["pgo.txt"], expected = folder["expected.txt"];
        server.Cli("pgo", "s", "--format", "text", "-o", ours).Succeeded();
        Tool.Cli("generate", "--binary", program.Binary, "--perf-data", program.PerfData, "--format", "text", "-o", expected).Succeeded();
        Assert.Equal(File.ReadAllText(expected), File.ReadAllText(ours));
    }

    [Theory]
    [InlineData("--perf-data - <$piped")]
    [InlineData("--perf-data <(cat $piped)")]
    [InlineData("--perf-data - <$file")]
    public void Generate_reads_them_too(string input)
    {
        string expected =
            Tool.Cli("generate", "--binary", program.Binary, "--perf-data", program.PerfData, "--format", "text").Succeeded().Output;
        ToolResult result = Shell($"$perforator generate --binary $binary --format text -o - {input}",
            ("file", program.PerfData), ("piped", Piped(program.PerfData)), ("binary", program.Binary)).Succeeded();
        Assert.Equal(expected, result.Output);
    }

    [SkippableFact]
    public void From_perf_itself()
    {
        Tool.Require("perf");
        using ServerProcess server = ServerProcess.Start(folder["data"]);
        string record = "perf --buildid-dir $debug record -q -e cpu-clock:u -F 2000 -o - -- $binary 8000000 2>/dev/null";
        (string, string)[] variables = [("binary", program.Binary), ("server", server.Address.ToString()), ("debug", folder["debug"])];
        // perf's own abort (see PerfRecord) leaves a pipe that breaks off, which is read as far as it goes: its exit code is not asked for.
        ToolResult result = Shell($"{{ {record}; true; }} | $perforator import - --service s --server $server", variables).Succeeded();
        Assert.Contains("standard input has no branch stacks", result.Error);
        Assert.Contains($"sent the binary {program.Binary}", result.Error);
        result = Shell($"{{ {record}; true; }} | $perforator generate --binary $binary --perf-data - --format text", variables).Succeeded();
        Assert.Contains("fold:", result.Output);
    }

    [Fact]
    public void What_a_pipe_held_is_kept_when_it_cannot_be_sent_and_what_is_then_advised_sends_it_once()
    {
        string work = Directory.CreateDirectory(folder["work"]).FullName;
        ToolResult result = Shell("cd $work; cat $file | $perforator import - --service s --binary $binary --server http://127.0.0.1:9",
            ("file", Piped(program.OneProcess)), ("binary", program.Binary), ("work", work));
        Assert.Equal(1, result.ExitCode);
        string kept = Assert.Single(Directory.GetFiles(work));
        Assert.Equal(program.Elf.BuildId, Assert.Single(BranchProfileCodec.Load(kept).Profiles).Key);
        string advice = result.Error[(result.Error.IndexOf("this sends it: perforator ", StringComparison.Ordinal) + 26)..].TrimEnd();
        Assert.EndsWith($" --binary {program.Binary}", advice, StringComparison.Ordinal);

        using ServerProcess server = ServerProcess.Start(folder["data"]);
        string command =
            "cd $work; $perforator " + advice.Replace("http://127.0.0.1:9/", server.Address.ToString(), StringComparison.Ordinal);
        Assert.Contains("sent the binary", Shell(command, ("work", work)).Succeeded().Error);
        Assert.Contains("the server had it already", Shell(command, ("work", work)).Succeeded().Error);
    }

    /// <summary>Ctrl-C reaches both ends of a pipe: perf sends what it has and ends, and that is to be read.</summary>
    [Fact]
    public async Task Interrupted_it_reads_to_the_end_and_ends_when_interrupted_again()
    {
        byte[] bytes = File.ReadAllBytes(Piped(program.OneProcess));
        foreach (bool isTwice in new[] { false, true })
        {
            // Under nohup, SIGINT is ignored here and in all that this starts.
            using Process process = Process.Start(new ProcessStartInfo("/usr/bin/env", ["--default-signal=INT", Tool.Perforator, "generate", "--binary", program.Binary, "--perf-data", "-", "--format", "text"])
            {
                RedirectStandardInput = true,
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            })!;
            Task<string> output = process.StandardOutput.ReadToEndAsync();
            // More than the pipe holds: when all is written, reading has begun.
            await process.StandardInput.BaseStream.WriteAsync(bytes.AsMemory(0, bytes.Length / 2));
            await process.StandardInput.BaseStream.FlushAsync();
            Assert.Equal(0, Kill(process.Id, SIGINT));
            Assert.Contains("reading the pipe to its end", await process.StandardError.ReadLineAsync());
            Task<string> error = process.StandardError.ReadToEndAsync();
            if (isTwice)
                Assert.Equal(0, Kill(process.Id, SIGINT));
            else
                await process.StandardInput.BaseStream.WriteAsync(bytes.AsMemory(bytes.Length / 2));
            if (!isTwice)
                process.StandardInput.Close();
            Assert.True(process.WaitForExit(TimeSpan.FromSeconds(60)));
            if (isTwice)
                Assert.NotEqual(0, process.ExitCode);
            else
                Assert.True(process.ExitCode == 0, await error);
            Assert.Equal(!isTwice, (await output).Contains("fold:", StringComparison.Ordinal));
        }
    }

    [Fact]
    public void A_file_in_a_pipe_and_an_empty_pipe_are_refused_in_a_line()
    {
        ToolResult result = Shell("cat $file | $perforator import - --service s --server http://127.0.0.1:9", ("file", program.PerfData));
        Assert.Equal(1, result.ExitCode);
        Assert.Contains(
            "perforator: standard input cannot be read as perf.data: a perf.data file cannot be read from a pipe; name the file, or record with perf record -o -\n", result.Error);
        result = Shell("$perforator import - --service s --server http://127.0.0.1:9 </dev/null");
        Assert.Equal(1, result.ExitCode);
        Assert.StartsWith("perforator: standard input is of no known kind", result.Error, StringComparison.Ordinal);
    }

    private const int SIGINT = 2;

    [DllImport("libc", EntryPoint = "kill")]
    private static extern int Kill(int process, int signal);
}
