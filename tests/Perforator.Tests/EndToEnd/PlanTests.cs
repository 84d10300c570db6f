using System.Diagnostics;
using System.Text.Json;
using Perforator.Api;
using Perforator.Tests.Infrastructure;
using Perforator.Tests.Recording;

namespace Perforator.Tests.EndToEnd;

/// <summary>A real server tells a real agent what to record of real programs; its times are set by <c>serve --enrol</c>.</summary>
public sealed class PlanTests(TargetProgram program) : IClassFixture<TargetProgram>, IDisposable
{
    private const string Quick = "plan: {update: 0.5s, cover-within: 3s, trickle-window: 5s, hold: 3s, fallback-rate: 1}\n";

    private readonly TemporaryFolder folder = new();

    private static ServicePlan Plan(ServerProcess server, string service)
    {
        string answer =
            server.Http.GetStringAsync($"api/v1/plan?host={Environment.MachineName}&service={service}").GetAwaiter().GetResult();
        return Assert.Single(JsonSerializer.Deserialize(answer, ApiJson.Default.PlanAnswer)!.Services);
    }

    private static void WaitForState(ServerProcess server, AgentProcess agent, string state, double least, double most) => AgentProcess.WaitFor(
        () => Plan(server, "turner") is { } plan && plan.State == state && plan.Rate >= least && plan.Rate <= most,
        () => $"{Plan(server, "turner")} is not {state}\n{agent.Error}");

    /// <summary>A program that does one of two things, the other after SIGUSR1.</summary>
    private string Turner(int constant)
    {
        string source = folder.Write($"turner{constant}.c", $$"""
            #include <signal.h>
            #include <stdint.h>
            #include <unistd.h>
            static volatile sig_atomic_t turned;
            static void turn(int signal) { turned = 1; }
            __attribute__((noinline)) static uint64_t one(uint64_t h) {
                for (int i = 0; i < 5000; i++) { if (h % 3 == 0) h ^= h << 7; else if (h & 8) h += {{constant}}; else h = h * 5 + i; }
                return h;
            }
            __attribute__((noinline)) static uint64_t other(uint64_t h) {
                for (int i = 0; i < 5000; i++) { if (h % 5 == 0) h ^= h >> 9; else if (h & 4) h -= {{constant}}; else h = h * 7 + i; }
                return h;
            }
            int main(void) {
                signal(SIGUSR1, turn);
                for (uint64_t h = 1;; ) h = turned ? other(h) : one(h);
            }
            """);
        string built = folder[$"turner{constant}/turner"];
        Directory.CreateDirectory(Path.GetDirectoryName(built)!);
        Tool.Run("clang-19", ["-O1", "-g", "-Wl,--build-id=sha1", "-fuse-ld=lld", source, "-o", built]).Succeeded();
        return built;
    }

    [Fact]
    public void A_new_build_has_a_high_rate_then_a_trickle_until_it_behaves_in_another_way_or_another_build_comes()
    {
        using ServerProcess server = ServerProcess.Start(folder["server"], 0, "--enrol", folder.Write("enrol.yaml", Quick));
        using BackgroundProgram turner = BackgroundProgram.Start(Turner(17));
        using AgentProcess agent = new("--server", server.Address.ToString(), "--service", "turner");
        WaitForState(server, agent, "new", 0.2, 1);
        WaitForState(server, agent, "sufficient", 0, 0.1);
        agent.WaitFor("wanted rate 0.0");
        // The trickle does not stop, and finds nothing new.
        ulong known = AgentProcess.MainBuild(server, "turner")!.Branches;
        AgentProcess.WaitFor(() => AgentProcess.MainBuild(server, "turner")!.Branches > known, () => agent.Error);
        Assert.Equal("sufficient", Plan(server, "turner").State);

        Tool.Run("/bin/kill", ["-USR1", $"{turner.Id}"]).Succeeded();
        WaitForState(server, agent, "changed", 0.2, 1);
        WaitForState(server, agent, "sufficient", 0, 0.1);

        using BackgroundProgram released = BackgroundProgram.Start(Turner(19));
        WaitForState(server, agent, "new", 0.2, 1);
        WaitForState(server, agent, "sufficient", 0, 0.1);
        agent.End();
    }

    [Fact]
    public void A_service_pinned_to_nothing_is_left_alone_until_the_file_changes_and_labels_come_from_the_file()
    {
        string file = folder["enrol.yaml"];
        Mount(Quick + "services:\n- match: quiet\n  rate: 0\n- match: loud\n  rate: 1\n  labels: {team: finders}\n");
        File.CreateSymbolicLink(file, "data/enrol.yaml");
        using ServerProcess server = ServerProcess.Start(folder["server"], 0, "--enrol", file);
        using RunningTarget quiet = Start("quiet"), loud = Start("loud");
        using AgentProcess agent = new("--server", server.Address.ToString());
        AgentProcess.WaitFor(() => AgentProcess.MainBuild(server, "loud") is { Profiles: > 5 }, () => agent.Error);
        // On a busy machine the first plan may come late, and the fallback rate holds until then.
        ulong before = AgentProcess.MainBuild(server, "quiet")?.Branches ?? 0;
        long sent = AgentProcess.MainBuild(server, "loud")!.Profiles;
        AgentProcess.WaitFor(() => AgentProcess.MainBuild(server, "loud")!.Profiles > sent + 5, () => agent.Error);
        Assert.Equal(before, AgentProcess.MainBuild(server, "quiet")?.Branches ?? 0);
        ServiceDetail detail = JsonSerializer.Deserialize(server.Cli("services", "loud", "--json").Output, ApiJson.Default.ServiceDetail)!;
        Assert.Equal(["finders"], detail.Labels.Single(static label => label.Name == "team").Values);

        Mount("services:\n- match: quiet\n  rates: 1\n");
        AgentProcess.WaitFor(
            () => server.Error.Contains("line 3: rates is not known of a service", StringComparison.Ordinal), () => server.Error);
        Assert.Equal((0, "pinned"), (Plan(server, "quiet").Rate, Plan(server, "quiet").State));
        Mount(Quick + "services:\n- match: quiet\n  rate: 1\n");
        Tool.Run("/bin/kill", ["-HUP", $"{server.Id}"]).Succeeded();
        AgentProcess.WaitFor(() => server.Error.Contains("was read again", StringComparison.Ordinal), () => server.Error);
        AgentProcess.WaitFor(() => AgentProcess.MainBuild(server, "quiet") is { } now && now.Branches > before, () => agent.Error);
        agent.End();
        quiet.EndAndCheck();
        loud.EndAndCheck();
        Assert.Equal(0, server.Terminate());

        RunningTarget Start(string service)
        {
            ProcessStartInfo start = new(program.Path) { RedirectStandardInput = true, RedirectStandardOutput = true };
            start.Environment["PERFORATOR_SERVICE"] = service;
            return new RunningTarget(Process.Start(start)!);
        }

        // As Kubernetes mounts a ConfigMap: what changes is a link to a folder.
        void Mount(string content)
        {
            string version = Directory.CreateDirectory(folder[Path.GetRandomFileName()]).FullName;
            File.WriteAllText(Path.Combine(version, "enrol.yaml"), content);
            Tool.Run("ln", ["-sfn", version, folder["data"]]).Succeeded();
        }
    }

    [Fact]
    public void While_the_server_is_away_the_last_plan_holds_over_a_restart_and_then_the_fallback_rate()
    {
        string file = folder.Write("enrol.yaml", "plan: {hold: 20s, fallback-rate: 1}\nservices: [{match: target, rate: 0}]\n");
        string[] arguments;
        using RunningTarget target = program.Start();
        using (ServerProcess server = ServerProcess.Start(folder["server"], 0, "--enrol", file))
        {
            arguments = ["--server", server.Address.ToString(), "--service", $"target={program.Path}", "--spool", folder["spool"]];
            using AgentProcess first = new(arguments);
            first.WaitFor("wanted rate 0");
            first.End();
            Assert.Contains("ended: 0 branch stacks recorded", first.Error, StringComparison.Ordinal);
        }
        long begin = Stopwatch.GetTimestamp();
        using AgentProcess next = new(arguments);
        next.WaitFor("target: 1 process, 0 branch stacks");
        AgentProcess.WaitFor(
            () => next.Error.Split('\n').Last(static line => line.Contains("target: ", StringComparison.Ordinal))
                .Contains(" 0 branch stacks", StringComparison.Ordinal) is false, () => next.Error);
        Assert.True(Stopwatch.GetElapsedTime(begin) > TimeSpan.FromSeconds(5), "it began before the plan had ended");
        next.WaitFor("cannot reach the server");
        next.End();
        target.EndAndCheck();
    }

    [Fact]
    public async Task A_plan_is_had_by_every_host_for_services_it_may_upload_and_a_slip_is_told()
    {
        using ServerProcess server = ServerProcess.Start(folder["server"]);
        HttpResponseMessage refused = await server.Http.GetAsync("api/v1/plan?host=h&service=a%2Fb");
        Assert.Equal(System.Net.HttpStatusCode.BadRequest, refused.StatusCode);
        Assert.Contains("'a/b' cannot name a service", await refused.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        Assert.Equal(System.Net.HttpStatusCode.BadRequest, (await server.Http.GetAsync("api/v1/plan?host=h")).StatusCode);
        UploadReceipt receipt = await server.UploadAsync(Perforator.Tests.Server.Uploads.Set());
        Assert.Equal(("search", "new"), (receipt.Plan!.Service, receipt.Plan.State));
        Assert.InRange(receipt.Plan.Rate, 0.5, 1);
        Assert.Contains(
            $"cannot read {folder["no.yaml"]} (--enrol)",
            Tool.Cli("serve", "--data", folder["d"], "--port", "0", "--enrol", folder["no.yaml"]).Error, StringComparison.Ordinal);
    }

    public void Dispose() => folder.Dispose();
}
