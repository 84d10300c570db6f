using System.Globalization;
using System.Text.RegularExpressions;
using Perforator.Branches;
using Perforator.Elf;
using Perforator.Tests.Infrastructure;
using Perforator.Tests.Recording;

namespace Perforator.Tests.EndToEnd;

public class RecordTests(TargetProgram program) : IClassFixture<TargetProgram>
{
    private static readonly string[] Software = ["--source", "software", "--max-overhead", "100%"];

    private BuildId BuildId
    {
        get
        {
            using ElfFile elf = ElfFile.Load(program.Path);
            return elf.BuildId;
        }
    }

    /// <summary>A shell command line that runs the target for some seconds of wall time.</summary>
    private string RunFor(int seconds) => $"sleep {seconds} | {program.Path}";

    /// <summary>
    /// Runs record on a target that runs longer and longer, until it has caught some of the target's branches: machines may be busy.
    /// </summary>
    private ToolResult RecordEnough(Func<int, string[]> arguments, Func<bool> caught)
    {
        for (int seconds = 2; ; seconds *= 2)
        {
            ToolResult result = Tool.Cli(["record", .. Software, .. arguments(seconds)]);
            if (caught() || seconds > 20)
                return result;
        }
    }

    [Fact]
    public void A_command_is_recorded_into_a_file_and_its_output_and_exit_code_are_its_own()
    {
        using TemporaryFolder folder = new();
        ToolResult result = RecordEnough(
            seconds => ["-o", folder["out.branches"], "--", "sh", "-c", $"{RunFor(seconds)}; exit 3"],
            () => File.Exists(folder["out.branches"]) && BranchProfileCodec.Load(folder["out.branches"]).Profiles[BuildId].Samples > 1);
        Assert.True(result.ExitCode == 3, result.Error);
        Assert.StartsWith("ready\n", result.Output, StringComparison.Ordinal);
        RunningTarget.CheckOutput(result.Output["ready\n".Length..], exitCode: 0);
        Assert.Contains("source: software recorder (asked for with --source)", result.Error, StringComparison.Ordinal);

        BranchProfileSet set = BranchProfileCodec.Load(folder["out.branches"]);
        Assert.Equal("software", set.Labels[ProfileLabels.Source]);
        Assert.True(set.End > set.Start);
        BranchProfile profile = set.Profiles[BuildId];
        Assert.True(profile.Samples > 1 && profile.Branches.Count > 5 && profile.Ranges.Count > 5);
        Assert.Equal(profile.Path, program.Path);
    }

    [Fact]
    public async Task A_process_that_ends_ends_the_recording()
    {
        using TemporaryFolder folder = new();
        using RunningTarget target = program.Start();
        Task end = Task.Run(async () =>
        {
            await Task.Delay(2000);
            target.EndAndCheck();
        });
        ToolResult result = Tool.Cli(["record", "-p", $"{target.Id}", "-o", folder["out.branches"], .. Software]);
        await end;

        // 1 when this machine was too busy to catch it running.
        Assert.Equal(File.Exists(folder["out.branches"]) ? 0 : 1, result.ExitCode);
        Assert.Contains("perforator: recorded ", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void Duration_ends_the_recording_and_not_the_process()
    {
        using TemporaryFolder folder = new();
        using RunningTarget target = program.Start();
        RecordEnough(
            seconds => ["-p", $"{target.Id}", "-o", folder["out.branches"], "--duration", $"{seconds}s"],
            () => File.Exists(folder["out.branches"])).Succeeded();
        target.EndAndCheck();
    }

    [Fact]
    public void A_service_goes_to_the_server_with_its_binary()
    {
        using TemporaryFolder folder = new();
        using ServerProcess server = ServerProcess.Start(folder["server"]);
        string wanted = $"\"buildId\":\"{BuildId}\",[^}}]*\"hasBinary\":true";
        ToolResult result = RecordEnough(
            seconds => ["--service", "target", "--server", server.Address.ToString(), "--", "sh", "-c", RunFor(seconds)],
            () => Regex.IsMatch(server.Cli("services", "target", "--json").Output, wanted));
        Assert.Contains("as service target", result.Error, StringComparison.Ordinal);
        Assert.Matches(wanted, server.Cli("services", "target", "--json").Output);
    }

    [Theory]
    [InlineData("cannot run no-such-program: no such program on PATH", "--", "no-such-program")]
    [InlineData("cannot run /etc/passwd: it is not executable", "--", "/etc/passwd")]
    [InlineData("cannot run ./nothing: there is no such file", "--", "./nothing")]
    [InlineData("cannot run /tmp: it is a folder", "--", "/tmp")]
    [InlineData("/no/such/folder/x.branches cannot be written: there is no folder /no/such/folder", "-o", "/no/such/folder/x.branches", "--", "true")]
    [InlineData("/no/such/folder/x.perf.data cannot be written: there is no folder /no/such/folder", "-o", "/no/such/folder/x.perf.data", "--", "true")]
    [InlineData("/tmp cannot be written: it is a folder", "-o", "/tmp", "--", "true")]
    [InlineData("/proc/x cannot be written: folder /proc: it takes no files", "-o", "/proc/x", "--", "true")]
    [InlineData("no process 2000000000 runs", "-p", "2000000000")]
    [InlineData("process 2 may not be looked into", "-p", "2")]
    public void What_cannot_be_recorded_is_said_in_one_line(string message, params string[] arguments)
    {
        ToolResult result = Tool.Cli(["record", "--source", "software", .. arguments]);
        Assert.Equal(1, result.ExitCode);
        Assert.Contains(
            message, Assert.Single(result.Error.Split('\n'), l => !l.Contains("source: ", StringComparison.Ordinal) && l.Length != 0),
            StringComparison.Ordinal);
        Assert.Equal("", result.Output);
    }

    [SkippableFact]
    public void A_perf_data_file_is_one_that_perf_reads()
    {
        Tool.Require("perf");
        using TemporaryFolder folder = new();
        string file = folder["x.perf.data"];
        string script = "";
        bool HasTarget()
        {
            script = File.Exists(file) ? Tool.Run("perf", ["script", "-F", "comm,ip,brstack", "-i", file]).Succeeded().Output : "";
            return script.Contains("perforator-targ", StringComparison.Ordinal);
        }

        ToolResult recorded = RecordEnough(seconds => ["-o", file, "--", "sh", "-c", RunFor(seconds)], HasTarget).Succeeded();
        Assert.Contains("perforator-targ", script, StringComparison.Ordinal);
        Assert.Matches(@"0x[0-9a-f]+/0x[0-9a-f]+/", script);
        Assert.Contains(
            $"{BuildId} {program.Path}", Tool.Run("perf", ["buildid-list", "-i", file]).Succeeded().Output, StringComparison.Ordinal);
        Assert.Equal([file], Directory.GetFiles(folder.Path));
        Assert.Contains("wrote ", recorded.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void What_a_server_that_is_not_there_should_have_got_is_kept()
    {
        const string Message = "cannot reach the server http://127.0.0.1:9/: nothing listens there";
        using TemporaryFolder folder = new();
        string kept = folder["perforator.branches"];
        using RunningTarget target = program.Start();
        ToolResult? last = null;
        for (int seconds = 2; seconds <= 16 && !File.Exists(kept); seconds *= 2)
            last = Tool.Run(
                Tool.Perforator,
                ["record", "--service", "x", "--server", "http://127.0.0.1:9", "-p", $"{target.Id}", "--duration", $"{seconds}s", .. Software], folder: folder.Path);
        Assert.Equal(1, last!.ExitCode);
        Assert.Contains(Message, last.Error, StringComparison.Ordinal);
        Assert.Contains("perforator import perforator.branches --service x", last.Error, StringComparison.Ordinal);

        using ServerProcess server = ServerProcess.Start(folder["server"]);
        server.Cli("import", kept, "--service", "x").Succeeded();
        Assert.Contains(BuildId.ToString(), server.Cli("services", "x").Succeeded().Output, StringComparison.Ordinal);
    }

    [Fact]
    public void A_program_too_short_to_be_recorded_leaves_no_file()
    {
        using TemporaryFolder folder = new();
        ToolResult result = Tool.Cli("record", "-o", folder["out.branches"], "--source", "software", "--max-overhead", "1%", "--", "true");
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("no branch was recorded", result.Error, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFiles(folder.Path));
    }

    [Theory]
    [InlineData("either a command after -- or processes with --pid", "record")]
    [InlineData("either a command after -- or processes with --pid", "record", "-p", "1", "--", "true")]
    [InlineData("--max-overhead is a percentage", "record", "--max-overhead", "0%", "--", "true")]
    [InlineData("--source is auto, lbr or software", "record", "--source", "x", "--", "true")]
    [InlineData("--duration is a time", "record", "--duration", "soon", "--", "true")]
    [InlineData("--format perf-data needs a file", "record", "--format", "perf-data", "--", "true")]
    [InlineData("--server needs --service", "record", "--server", "http://localhost", "--", "true")]
    [InlineData("cannot name a service", "record", "--service", "../x", "--", "true")]
    [InlineData("cannot name a service", "agent", "--service", "a b")]
    [InlineData("is not a process id", "agent", "--service", "a=pid:x")]
    [InlineData("give NAME=VALUE", "agent", "--label", "x")]
    [InlineData("--interval is a time", "agent", "--interval", "-1")]
    public void Wrong_usage_exits_with_2(string message, params string[] arguments)
    {
        ToolResult result = Tool.Cli(arguments);
        Assert.Equal(2, result.ExitCode);
        Assert.Contains(message, result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void Doctor_says_what_works_and_what_will_be_used()
    {
        ToolResult result = Tool.Cli("doctor", "--json", "--server", "http://127.0.0.1:9");
        using System.Text.Json.JsonDocument json = System.Text.Json.JsonDocument.Parse(result.Output);
        string? source = json.RootElement.GetProperty("source").GetString();
        Assert.Equal(source is null ? 1 : 0, result.ExitCode);
        Dictionary<string, bool?> met = json.RootElement.GetProperty("prerequisites").EnumerateArray().ToDictionary(
            p => p.GetProperty("name").GetString()!,
            p => p.GetProperty("isMet").ValueKind == System.Text.Json.JsonValueKind.Null
                ? (bool?)null : p.GetProperty("isMet").GetBoolean());
        Assert.Equal(source == "lbr", met["Hardware branch stacks"]);
        Assert.True(met["Kernel"]);
        Assert.True(met["clang with sample profiles"]);
        Assert.False(met["Server"]);

        string text = Tool.Cli("doctor").Output;
        Assert.Matches(new Regex($"^{(source == "lbr" ? '✓' : '✗')} Hardware branch stacks: ", RegexOptions.Multiline), text);
        Assert.Contains(
            string.Create(
                CultureInfo.InvariantCulture,
                $"Will be used: {(source == "lbr" ? "hardware" : source is null ? "nothing" : "the software recorder")}"), text,
                StringComparison.Ordinal);
    }
}
