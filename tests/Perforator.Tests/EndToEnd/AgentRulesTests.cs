using System.Diagnostics;
using System.Text.Json;
using Perforator.Recording;
using Perforator.Tests.Infrastructure;
using Perforator.Tests.Recording;

namespace Perforator.Tests.EndToEnd;

/// <summary>Naming, <c>--dry-run</c>, <c>--once</c> and SIGHUP of a real agent, with processes of this machine.</summary>
public class AgentRulesTests(TargetProgram program) : IClassFixture<TargetProgram>
{
    [Fact]
    public void Rules_are_tried_without_recording_used_for_one_interval_and_read_again_on_SIGHUP()
    {
        using TemporaryFolder folder = new();
        ProcessStartInfo start = new(program.Path) { RedirectStandardInput = true, RedirectStandardOutput = true };
        start.Environment["TEAM"] = "ads";
        using RunningTarget target = new(Process.Start(start)!);
        string rules =
            folder.Write(
                "services.yaml",
                $"others: ignore\nlabels: {{ cluster: eu-1 }}\nservices:\n- name: '{{env.TEAM}}.one'\n  match: {{ exe: {program.Path} }}\n");

        JsonElement dry = JsonDocument.Parse(Tool.Cli("agent", "--services", rules, "--dry-run", "--json").Succeeded().Output).RootElement;
        JsonElement named =
            Assert.Single(
                dry.GetProperty("programs").EnumerateArray(), static p => p.GetProperty("service").ValueKind == JsonValueKind.String);
        Assert.Equal(("ads.one", program.Path, target.Id),
            (named.GetProperty("service")
                .GetString(), named.GetProperty("executable").GetString(), named.GetProperty("processes")[0].GetInt32()));
        Assert.Equal("eu-1", dry.GetProperty("labels").GetProperty("cluster").GetString());
        Assert.Contains("(not recorded)", Tool.Cli("agent", "--services", rules, "--dry-run").Succeeded().Output, StringComparison.Ordinal);

        JsonElement once = JsonDocument.Parse(
            Tool.Cli("agent", "--services", rules, "--source", "software", "--max-overhead", "100%", "--interval", "10s", "--once", "--json").Succeeded().Output).RootElement;
        JsonElement service = Assert.Single(once.GetProperty("services").EnumerateArray());
        Assert.Equal("ads.one", service.GetProperty("service").GetString());
        Assert.True(service.GetProperty("branches").GetInt64() > 0);
        Assert.Equal("eu-1", service.GetProperty("labels").GetProperty("cluster").GetString());

        using ServerProcess server = ServerProcess.Start(folder["server"]);
        using AgentProcess agent = new("--server", server.Address.ToString(), "--services", rules);
        AgentProcess.WaitFor(() => AgentProcess.MainBuild(server, "ads.one") is { Branches: > 0 }, () => agent.Error);
        string good = File.ReadAllText(rules);
        File.WriteAllText(rules, good + "- nam: x\n");
        _ = Syscalls.kill(agent.Id, 1);
        agent.WaitFor($"{rules}, line 6: services: no key 'nam'");
        agent.WaitFor("the rules from before hold");
        File.WriteAllText(rules, good.Replace(".one", ".two", StringComparison.Ordinal));
        _ = Syscalls.kill(agent.Id, 1);
        AgentProcess.WaitFor(() => AgentProcess.MainBuild(server, "ads.two") is { Branches: > 0 }, () => agent.Error);
        agent.End();
        target.EndAndCheck();
        Assert.DoesNotContain("dropped", agent.Error, StringComparison.Ordinal);
    }
}
