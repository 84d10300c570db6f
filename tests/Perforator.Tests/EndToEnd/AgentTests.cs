using System.Diagnostics;
using Perforator.Tests.Infrastructure;
using Perforator.Tests.Recording;

namespace Perforator.Tests.EndToEnd;

public class AgentTests(TargetProgram program) : IClassFixture<TargetProgram>
{
    [Fact]
    public void A_service_is_found_when_it_starts_and_its_branches_and_binary_reach_the_server()
    {
        using TemporaryFolder folder = new();
        using ServerProcess server = ServerProcess.Start(folder["server"], 0, ServerProcess.WantsAll(folder));
        using AgentProcess agent =
            new("--server", server.Address.ToString(), "--service", $"target={program.Path}", "--service", "nothing", "--label", "region=eu-1");
        agent.WaitFor("target: no process");
        using RunningTarget target = program.Start();
        AgentProcess.WaitFor(() => AgentProcess.MainBuild(server, "target") is { HasBinary: true, Branches: > 0 }, () => agent.Error);
        agent.WaitFor("target: 1 process");
        ulong before = AgentProcess.MainBuild(server, "target")!.Branches;
        target.EndAndCheck();

        // Another process of the same binary adds up, wherever it is loaded.
        using RunningTarget next = program.Start();
        AgentProcess.WaitFor(() => AgentProcess.MainBuild(server, "target")!.Branches > before, () => agent.Error);
        agent.End();
        next.EndAndCheck();
        Assert.Equal(program.Path, AgentProcess.MainBuild(server, "target")!.Path);
        Assert.Contains("nothing: no process", agent.Error, StringComparison.Ordinal);
        Assert.Matches(@"ended: [\d,]+ branch stacks recorded, \d+ profiles and [1-9]\d* binaries sent", agent.Error);
    }

    [Fact]
    public void Without_named_services_every_process_is_recorded_under_what_it_declares_or_is()
    {
        using TemporaryFolder folder = new();
        using ServerProcess server = ServerProcess.Start(folder["server"], 0, ServerProcess.WantsAll(folder));
        using RunningTarget nameless = program.Start();
        ProcessStartInfo start = new(program.Path) { RedirectStandardInput = true, RedirectStandardOutput = true };
        start.Environment["PERFORATOR_SERVICE"] = "checkout";
        using RunningTarget declared = new(Process.Start(start)!);
        using AgentProcess agent = new("--server", server.Address.ToString());
        string executable = Path.GetFileName(program.Path);
        AgentProcess.WaitFor(
            () => AgentProcess.MainBuild(server, "checkout") is { Branches: > 0 }
                && AgentProcess.MainBuild(server, executable) is { Branches: > 0 }, () => agent.Error);
        agent.End();
        nameless.EndAndCheck();
        declared.EndAndCheck();
    }
}
