using System.CommandLine;
using System.Text.Json;
using Perforator.Api;
using Perforator.Branches;
using Spectre.Console;

namespace Perforator.Cli;

/// <summary><c>perforator services [service]</c>: what a server has.</summary>
internal static class ServicesCommand
{
    public static Command Create()
    {
        Argument<string?> service = new("service") { Description = "Show this service's builds.", Arity = ArgumentArity.ZeroOrOne };
        Option<string?> server = ServerOption.Create();
        Option<bool> json = new("--json") { Description = "Print JSON as the API gives it." };
        Command command = new("services",
            """
            Lists the services a server has profiles of, or one service's builds with their quality; the first build is what pgo takes by default.

            Example: perforator services search
            """)
        { service, server, json };
        command.SetAction((parsed, stop) => RunAsync(parsed.GetValue(service), ServerOption.Resolve(parsed.GetValue(server)), parsed.GetValue(json), stop));
        return command;
    }

    private static async Task<int> RunAsync(string? service, Uri server, bool json, CancellationToken stop)
    {
        using ServerClient client = new(server);
        if (service is null)
        {
            IReadOnlyList<ServiceSummary> services = await client.ListServicesAsync(stop);
            if (json)
                Console.Out.WriteLine(JsonSerializer.Serialize(services, ApiJson.Default.IReadOnlyListServiceSummary));
            else
                Print(services);
        }
        else
        {
            ServiceDetail detail = await client.GetServiceAsync(service, stop);
            if (json)
                Console.Out.WriteLine(JsonSerializer.Serialize(detail, ApiJson.Default.ServiceDetail));
            else
                Print(detail);
        }
        return ExitCodes.Ok;
    }

    private static void Print(IReadOnlyList<ServiceSummary> services)
    {
        Table table = NewTable("Service", "Builds", "Profiles", "Samples", "Last seen (UTC)");
        foreach (ServiceSummary s in services)
            AddRow(table, s.Service, $"{s.Builds}", $"{s.Profiles}", $"{s.Samples:N0}", Time(s.LastSeen));
        Write(table);
    }

    private static void Print(ServiceDetail detail)
    {
        Table table = NewTable("Build id", "Path", "Profiles", "Samples", "Branches", "Ratio", "Last seen (UTC)");
        foreach (BuildSummary b in detail.Builds)
        {
            string ratio = b.TakenBranchesToExecutableBytesRatio is { } value ? $"{value:0.00}" : "no binary";
            AddRow(table, b.BuildId, b.Path, $"{b.Profiles}", $"{b.Samples:N0}", $"{b.Branches:N0}", ratio, Time(b.LastSeen));
        }
        Write(table);
    }

    /// <summary>In a pipe or a file a line is as long as its content.</summary>
    private static void Write(Table table)
    {
        if (Console.IsOutputRedirected)
            AnsiConsole.Profile.Width = 1000;
        AnsiConsole.Write(table);
    }

    private static Table NewTable(params string[] columns)
    {
        Table table = new() { Border = TableBorder.Simple };
        foreach (string column in columns)
            table.AddColumn(new TableColumn(column)
            {
                Alignment = column is "Service" or "Build id" or "Path" ? Justify.Left : Justify.Right,
                NoWrap = column != "Path",
            });
        return table;
    }

    /// <summary>Texts come from whoever uploads; nothing of them may act on the terminal.</summary>
    private static void AddRow(Table table, params string[] cells) =>
        table.AddRow([.. cells.Select(static cell => new Text(ProfileLabels.Printable(cell)))]);

    private static string Time(DateTimeOffset time) => time.UtcDateTime.ToString("yyyy-MM-dd HH:mm:ss");
}
