using System.Net.Http.Json;
using System.Text.Json;
using Perforator.Api;
using Perforator.Tests.Infrastructure;
using Perforator.Tests.Server;

namespace Perforator.Tests.EndToEnd;

/// <summary>
/// What people see of a service besides its profile: who asked for it, how its agents do, and where its counts are in source.
/// </summary>
public sealed class WhoAskedTests : IClassFixture<LoopProgram>, IDisposable
{
    private readonly LoopProgram program;
    private readonly TemporaryFolder folder = new();
    private readonly ServerProcess server;

    public WhoAskedTests(LoopProgram program)
    {
        this.program = program;
        server = ServerProcess.Start(
            folder["data"], 0, "--source-root", program.SourceFolder, "--source-url", "https://git.example/{service}/{path}#L{line}");
    }

    private static CancellationToken Stop => CancellationToken.None;

    private ToolResult Cli(params string[] arguments) => Tool.Cli([.. arguments, "--server", server.Address.ToString()]);

    private async Task<string> GenerateAsync()
    {
        await server.UploadAsync(program.Recorded(rounds: 100_000));
        using ServerClient client = new(server.Address);
        await client.UploadBinaryAsync(program.BuildId, program.Binary, Stop);
        return (await client.GetPgoAsync("loop", new PgoRequest(), Stop)).Profile;
    }

    [Fact]
    public async Task The_history_tells_who_asked_and_whether_their_gates_were_met()
    {
        string profile = await GenerateAsync();
        Assert.Empty(Assert.Single(Assert.Single((await HistoryAsync()).Entries).Asked).Gates);
        Assert.Contains("passed", Passed("pgo", "loop", "--min-ratio", "0.5", "--max-age", "9999d"), StringComparison.Ordinal);
        Assert.Equal(3, Cli("pgo", "loop", "--min-ratio", "1e9", "--min-hosts", "2").ExitCode);
        ProfileAsked asked = Assert.Single(Assert.Single((await HistoryAsync()).Entries).Asked);
        Assert.Equal(("anybody", "--min-ratio 1000000000 --min-hosts 2", 2), (asked.Who, asked.Gates, asked.Unmet.Count));
        Assert.Contains("2 not met", Cli("history", "loop").Succeeded().Output, StringComparison.Ordinal);
        // A pinned profile is held to gates as well.
        Assert.Contains("passed", Passed("pgo", "loop", "--at", profile, "--min-coverage", "0"), StringComparison.Ordinal);

        string Passed(params string[] pgo)
        {
            Cli([.. pgo, "-o", folder["out.afdo"]]).Succeeded();
            return Cli("history", "loop").Succeeded().Output;
        }

        async Task<HistoryPage> HistoryAsync()
        {
            using ServerClient client = new(server.Address);
            return await client.GetHistoryAsync("loop", 10, null, Stop);
        }
    }

    [Fact]
    public async Task A_functions_lines_have_their_source()
    {
        string profile = await GenerateAsync();
        Assert.Contains("work", Cli("functions", "loop").Succeeded().Output, StringComparison.Ordinal);
        string text = Cli("functions", "loop", "work", "--at", profile).Succeeded().Output;
        Assert.Contains("for (unsigned i = 0; i < n; i++)", text, StringComparison.Ordinal);
        FunctionDetail detail =
            JsonSerializer.Deserialize(Cli("functions", "loop", "work", "--json").Succeeded().Output, ApiJson.Default.FunctionDetail)!;
        Assert.Equal(Path.Combine(program.SourceFolder, "loop.c"), detail.Source!.File);
        Assert.Contains("unsigned work(unsigned n)", detail.Source.Text, StringComparison.Ordinal);
        FunctionLine body = detail.Lines.MaxBy(static line => line.Samples)!;
        Assert.Equal(detail.Source.Line + body.Line, body.Source!.Line);
        Assert.EndsWith($"/loop.c#L{body.Source.Line}", body.Source.Url, StringComparison.Ordinal);
        Assert.StartsWith("https://git.example/loop/", body.Source.Url, StringComparison.Ordinal);
        ProfileTree tree =
            JsonSerializer.Deserialize(Cli("functions", "loop", "--tree", "--json").Succeeded().Output, ApiJson.Default.ProfileTree)!;
        Assert.Contains("work", tree.Names);
        Assert.Matches(" %  +work", Cli("functions", "loop", "--tree").Succeeded().Output);
        Assert.Contains("has no function", Cli("functions", "loop", "nobody").Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_agents_say_of_themselves_is_listed_and_counted()
    {
        await SaysAsync(new PlanRequest("calm", [new("loop", [], 1, 0, 60)]) { Agent = Report() });
        await SaysAsync(new PlanRequest("idle", []) { Agent = Report() with { Version = "0.9+abc" } });
        await SaysAsync(
            new PlanRequest("lossy", [new("loop", [], 1, 0, 60)]) { Agent = Report() with { DroppedProfiles = 3, Notice = "CPU 3 is not recorded" } });
        await SaysAsync(new PlanRequest("greedy", [new("loop", [], 1, 0, 60)]) { Agent = Report() with { MemoryBytes = 200_000_000 } });
        IReadOnlyList<AgentSummary> agents =
            JsonSerializer.Deserialize(Cli("agents", "--json").Succeeded().Output, ApiJson.Default.IReadOnlyListAgentSummary)!;
        Assert.Equal(
            ["calm ok loop", "greedy over budget loop", "idle ok ", "lossy dropping loop"],
            agents.OrderBy(static agent => agent.Host, StringComparer.Ordinal)
                .Select(static agent => $"{agent.Host} {agent.State} {string.Join(' ', agent.Services)}"));
        Assert.Contains("CPU 3 is not recorded", Cli("agents").Succeeded().Output, StringComparison.Ordinal);
        string metrics = await server.Http.GetStringAsync("metrics");
        Assert.Matches("perforator_agents\\{[^}]*state=\"ok\"[^}]*\\} 2", metrics);
        Assert.Matches("perforator_agents\\{[^}]*state=\"over_budget\"[^}]*\\} 1", metrics);
        Assert.Matches("perforator_agents\\{[^}]*state=\"dropping\"[^}]*\\} 1", metrics);
        Assert.Matches("perforator_agents_version\\{[^}]*version=\"0.9\\+abc\"[^}]*\\} 1", metrics);
        // What an agent said outlives the server, killed right after it was listed.
        server.Kill();
        using ServerProcess again = ServerProcess.Start(folder["data"]);
        using ServerClient client = new(again.Address);
        Assert.Equal(4, (await client.ListAgentsAsync(Stop)).Count);

        static AgentReport Report() => new("1.0", "software", 0.005, 0.01, 100_000_000, 150_000_000, 1, 0, 0, 0, 0, null);

        async Task SaysAsync(PlanRequest request)
        {
            using HttpResponseMessage response = await server.Http.PostAsJsonAsync("api/v1/plan", request, ApiJson.Default.PlanRequest);
            Assert.True(response.IsSuccessStatusCode, await response.Content.ReadAsStringAsync());
        }
    }

    public void Dispose()
    {
        server.Dispose();
        folder.Dispose();
    }
}
