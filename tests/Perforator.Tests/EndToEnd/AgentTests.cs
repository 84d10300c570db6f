using System.Diagnostics;
using System.Text;
using System.Text.Json;
using Perforator.Api;
using Perforator.Recording;
using Perforator.Tests.Infrastructure;
using Perforator.Tests.Recording;

namespace Perforator.Tests.EndToEnd;

public class AgentTests(TargetProgram program) : IClassFixture<TargetProgram>
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    /// <summary>An agent that is ended by SIGTERM.</summary>
    private sealed class RunningAgent : IDisposable
    {
        private readonly Process process;
        private readonly StringBuilder error = new();

        public RunningAgent(params string[] arguments)
        {
            process = Process.Start(new ProcessStartInfo(Tool.Perforator,
                ["agent", "--source", "software", "--max-overhead", "100%", "--interval", "0.5s", .. arguments])
            { RedirectStandardError = true })!;
            process.ErrorDataReceived += (_, e) =>
            {
                lock (error)
                    error.AppendLine(e.Data);
            };
            process.BeginErrorReadLine();
        }

        public string Error
        {
            get
            {
                lock (error)
                    return error.ToString();
            }
        }

        public void WaitFor(string text) => AgentTests.WaitFor(() => Error.Contains(text, StringComparison.Ordinal), () => $"no '{text}' in\n{Error}");

        public void End()
        {
            _ = Syscalls.kill(process.Id, Syscalls.SIGTERM);
            Assert.True(process.WaitForExit(Patience), "the agent does not end");
            process.WaitForExit();
            Assert.True(process.ExitCode == 0, $"exit code {process.ExitCode}\n{Error}");
        }

        public void Dispose()
        {
            if (!process.HasExited)
                End();
            process.Dispose();
        }
    }

    private static void WaitFor(Func<bool> condition, Func<string> otherwise)
    {
        long begin = Stopwatch.GetTimestamp();
        while (!condition())
        {
            if (Stopwatch.GetElapsedTime(begin) > Patience)
                Assert.Fail(otherwise());
            Thread.Sleep(50);
        }
    }

    private static BuildSummary? MainBuild(ServerProcess server, string service)
    {
        ToolResult listed = server.Cli("services", service, "--json");
        return listed.ExitCode == 0 ? JsonSerializer.Deserialize(listed.Output, ApiJson.Default.ServiceDetail)!.Builds[0] : null;
    }

    [Fact]
    public void A_service_is_found_when_it_starts_and_its_branches_and_binary_reach_the_server()
    {
        using TemporaryFolder folder = new();
        using ServerProcess server = ServerProcess.Start(folder["server"]);
        using RunningAgent agent = new("--server", server.Address.ToString(), "--service", $"target={program.Path}", "--service", "nothing", "--label", "region=eu-1");
        agent.WaitFor("target: no process");
        using RunningTarget target = program.Start();
        WaitFor(() => MainBuild(server, "target") is { HasBinary: true, Branches: > 0 }, () => agent.Error);
        agent.WaitFor("target: 1 process");
        ulong before = MainBuild(server, "target")!.Branches;
        target.EndAndCheck();

        // Another process of the same binary adds up, wherever it is loaded.
        using RunningTarget next = program.Start();
        WaitFor(() => MainBuild(server, "target")!.Branches > before, () => agent.Error);
        agent.End();
        next.EndAndCheck();
        Assert.Equal(program.Path, MainBuild(server, "target")!.Path);
        Assert.Contains("nothing: no process", agent.Error, StringComparison.Ordinal);
        Assert.Matches(@"ended: [\d,]+ branch stacks recorded, \d+ profiles and [1-9]\d* binaries sent", agent.Error);
    }

    [Fact]
    public void While_the_server_is_away_profiles_add_up_and_are_sent_when_it_is_back()
    {
        using TemporaryFolder folder = new();
        Uri address;
        using (ServerProcess first = ServerProcess.Start(folder["server"]))
            address = first.Address;
        using RunningTarget target = program.Start();
        using RunningAgent agent = new("--server", address.ToString(), "--service", $"target={program.Path}");
        agent.WaitFor("cannot reach the server");
        using ServerProcess server = ServerProcess.Start(folder["server"], address.Port);
        WaitFor(() => MainBuild(server, "target") is { HasBinary: true, Branches: > 0 }, () => agent.Error);
        agent.End();
        target.EndAndCheck();
        Assert.DoesNotContain("dropped", agent.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void What_could_not_be_sent_is_kept_for_the_next_agent()
    {
        using TemporaryFolder folder = new();
        using RunningTarget target = program.Start();
        string[] service = ["--service", $"target={program.Path}", "--spool", folder["spool"]];
        using (RunningAgent agent = new(["--server", "http://127.0.0.1:9", .. service]))
        {
            agent.WaitFor("cannot reach the server");
            agent.End();
            Assert.Contains("branch stacks that could not be sent in", agent.Error, StringComparison.Ordinal);
        }
        target.EndAndCheck();
        Assert.NotEmpty(Directory.GetFiles(folder["spool"]));

        using ServerProcess server = ServerProcess.Start(folder["server"]);
        using RunningAgent next = new(["--server", server.Address.ToString(), .. service]);
        WaitFor(() => MainBuild(server, "target") is { Branches: > 0 }, () => next.Error);
        next.End();
        Assert.Empty(Directory.GetFiles(folder["spool"]));
    }

    [Fact]
    public void Without_named_services_every_process_is_recorded_under_what_it_declares_or_is()
    {
        using TemporaryFolder folder = new();
        using ServerProcess server = ServerProcess.Start(folder["server"]);
        using RunningTarget nameless = program.Start();
        ProcessStartInfo start = new(program.Path) { RedirectStandardInput = true, RedirectStandardOutput = true };
        start.Environment["PERFORATOR_SERVICE"] = "checkout";
        using RunningTarget declared = new(Process.Start(start)!);
        using RunningAgent agent = new("--server", server.Address.ToString());
        string executable = Path.GetFileName(program.Path);
        WaitFor(() => MainBuild(server, "checkout") is { Branches: > 0 } && MainBuild(server, executable) is { Branches: > 0 }, () => agent.Error);
        agent.End();
        nameless.EndAndCheck();
        declared.EndAndCheck();
    }
}
