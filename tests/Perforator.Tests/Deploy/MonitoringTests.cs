using System.Net;
using System.Text.Json;
using System.Text.RegularExpressions;
using Perforator.Api;
using Perforator.Branches;
using Perforator.Tests.Infrastructure;
using Perforator.Tests.Server;

namespace Perforator.Tests.Deploy;

public sealed partial class MonitoringTests(LoopProgram program) : IClassFixture<LoopProgram>
{
    private static string Folder { get; } = Path.Combine(Tool.RepositoryRoot(), "deploy");

    /// <summary>The queries of the dashboard's panels, with Grafana's variables put in.</summary>
    private static string[] Queries()
    {
        using JsonDocument dashboard = JsonDocument.Parse(File.ReadAllText(Path.Combine(Folder, "grafana", "perforator.json")));
        return
        [
            .. dashboard.RootElement.GetProperty("panels").EnumerateArray()
                .Where(static panel => panel.TryGetProperty("targets", out _))
                .SelectMany(static panel => panel.GetProperty("targets").EnumerateArray())
                .Select(static target =>
                    target.GetProperty("expr").GetString()!.Replace("$__rate_interval", "5m", StringComparison.Ordinal)),
        ];
    }

    [SkippableFact]
    public void Alerts_fire_when_they_should_and_not_otherwise()
    {
        Tool.Require("promtool");
        string rules = Path.Combine(Folder, "prometheus");
        Tool.Run("promtool", ["check", "rules", "--lint-fatal", "perforator.rules.yml"], folder: rules).Succeeded();
        Tool.Run("promtool", ["test", "rules", "perforator.test.yml"], folder: rules).Succeeded();
        string tests = File.ReadAllText(Path.Combine(rules, "perforator.test.yml"));
        Assert.All(Alert()
            .Matches(File.ReadAllText(Path.Combine(rules, "perforator.rules.yml"))), alert =>
                Assert.Contains($"alertname: {alert.Groups[1].Value}\n", tests, StringComparison.Ordinal));
    }

    [SkippableFact]
    public void Every_query_of_the_dashboard_is_one()
    {
        Tool.Require("promtool");
        using TemporaryFolder folder = new();
        string[] queries = Queries();
        Assert.True(queries.Length > 15);
        string rules = folder.Write("queries.yml", "groups:\n- name: dashboard\n  rules:\n"
            + string.Concat(queries.Select(static (query, i) => $"  - {{ record: 'panel:{i}', expr: '{query}' }}\n")));
        Tool.Run("promtool", ["check", "rules", rules]).Succeeded();
    }

    [Fact]
    public async Task Every_metric_that_alerts_and_dashboard_name_is_one_of_a_real_server()
    {
        using TemporaryFolder folder = new();
        string enrolment = folder.Write("enrol.yaml", "plan: { update: 1s }\n");
        using ServerProcess server = ServerProcess.Start(folder["data"], 0, "--enrol", enrolment);
        using (HttpResponseMessage response =
            await server.PutBinaryAsync(program.BuildId.ToString(), await File.ReadAllBytesAsync(program.Binary)))
            Assert.Equal(HttpStatusCode.Created, response.StatusCode);
        BranchProfileSet recorded = program.Recorded(rounds: 1000);
        recorded.Labels[ProfileLabels.Host] = "node-1";
        await server.UploadAsync(recorded);
        using (HttpResponseMessage response = await server.PostAsync([1, 2, 3]))
            Assert.False(response.IsSuccessStatusCode);
        using ServerClient client = new(server.Address);
        await client.GetPgoAsync("loop", new PgoRequest(), CancellationToken.None);

        string[] named =
            [.. Metric().Matches(string.Join('\n', Queries()) + Expressions(Path.Combine(Folder, "prometheus", "perforator.rules.yml")))
                .Select(static match => match.Value).Distinct()];
        Assert.True(named.Length > 15);
        string[] missing = named;
        using CancellationTokenSource late = new(TimeSpan.FromSeconds(60));
        while (missing.Length > 0 && !late.IsCancellationRequested)
        {
            string metrics = await server.Http.GetStringAsync("metrics");
            missing = [.. named.Where(
                name => !metrics.Contains($"\n{name}{{", StringComparison.Ordinal)
                    && !metrics.Contains($"\n{name} ", StringComparison.Ordinal))];
            await Task.Delay(200);
        }
        Assert.Empty(missing);
    }

    private static string Expressions(string rules) =>
        string.Join('\n', File.ReadLines(rules).Where(static line => line.TrimStart().StartsWith("expr:", StringComparison.Ordinal)));

    [GeneratedRegex("alert: ([A-Za-z]+)")]
    private static partial Regex Alert();

    [GeneratedRegex(@"\b(perforator|dotnet|http_server)_[a-z_]+\b")]
    private static partial Regex Metric();
}
