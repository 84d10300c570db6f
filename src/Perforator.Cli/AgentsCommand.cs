using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Perforator.Api;

namespace Perforator.Cli;

/// <summary><c>perforator agents</c>: the hosts that record, and how their agents do.</summary>
internal static class AgentsCommand
{
    public static Command Create()
    {
        Option<string?> server = ServerOption.Create();
        Option<bool> json = new("--json") { Description = "Print JSON as the API gives it." };
        Command command = new("agents",
            """
            Lists the hosts that sent profiles or asked what to record in the last 30 days, those heard of last first: how their agents do, what these take of their budgets, and what they dropped.

            Example: perforator agents
            """)
        { server, json };
        command.SetAction((parsed, stop) => RunAsync(ServerOption.Resolve(parsed.GetValue(server)), parsed.GetValue(json), stop));
        return command;
    }

    private static async Task<int> RunAsync(Uri server, bool json, CancellationToken stop)
    {
        using ServerClient client = new(server);
        IReadOnlyList<AgentSummary> agents = await client.ListAgentsAsync(stop);
        if (json)
        {
            Console.Out.WriteLine(JsonSerializer.Serialize(agents, ApiJson.Default.IReadOnlyListAgentSummary));
            return ExitCodes.Ok;
        }
        TextTable table =
            new("Host", "State", "Last seen (UTC)", "Version", "Source", "CPU time", "Memory", "Waiting", "Dropped", "Services", "Notice");
        foreach (AgentSummary agent in agents)
        {
            AgentReport? report = agent.Report;
            table.Add(
                agent.Host, agent.State, TextTable.Time(agent.LastSeen), report?.Version.Split('+')[0] ?? "", agent.Source ?? "",
                report is null
                    ? ""
                    : string.Create(CultureInfo.InvariantCulture, $"{100 * report.CpuShare:0.00} % of {100 * report.CpuBudget:0.##} %"),
                report is null
                    ? ""
                    : string.Create(CultureInfo.InvariantCulture, $"{report.MemoryBytes / 1e6:0} MB of {report.MemoryBudget / 1e6:0} MB"),
                $"{report?.WaitingProfiles}", $"{report?.DroppedProfiles}", $"{agent.Services.Count}", report?.Notice ?? "");
        }
        table.Write();
        return ExitCodes.Ok;
    }
}
