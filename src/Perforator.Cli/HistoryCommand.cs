using System.CommandLine;
using System.Text.Json;
using Perforator.Api;

namespace Perforator.Cli;

/// <summary><c>perforator history SERVICE</c>: the profiles that were generated of a service.</summary>
internal static class HistoryCommand
{
    public static Command Create()
    {
        Argument<string> service = new("service") { Description = "The service." };
        Option<string?> server = ServerOption.Create();
        Option<int?> limit = new("--limit") { Description = "How many, the latest first. Default: 20.", HelpName = "N" };
        Option<string?> before =
            new("--before") { Description = "Go on behind this: a page's last line, or \"before\" in JSON, names it.", HelpName = "MARK" };
        Option<bool> json = new("--json") { Description = "Print JSON as the API gives it." };
        Command command = new("history",
            """
            Lists the profiles that were generated of a service, the latest first: the hash that --at and 'perforator promote' take, when, of what, how good, the names that stand for it, who asked for it and whether it met their gates.

            Example: perforator history search --limit 5
            """)
        { service, server, limit, before, json };
        command.Check(result =>
        {
            if (result.GetValue(limit) is < 1 or > 1000)
                result.AddError("--limit is 1 to 1000.");
        });
        command.SetAction((parsed, stop) => RunAsync(
            parsed.GetValue(service)!, ServerOption.Resolve(parsed.GetValue(server)), parsed.GetValue(limit) ?? 20, parsed.GetValue(before),
            parsed.GetValue(json), stop));
        return command;
    }

    private static async Task<int> RunAsync(string service, Uri server, int limit, string? before, bool json, CancellationToken stop)
    {
        using ServerClient client = new(server);
        HistoryPage page = await client.GetHistoryAsync(service, limit, before, stop);
        if (json)
        {
            Console.Out.WriteLine(JsonSerializer.Serialize(page, ApiJson.Default.HistoryPage));
            return ExitCodes.Ok;
        }
        TextTable table =
            new("Profile", "Generated (UTC)", "Ratio", "Uploads", "Builds", "Names", "Asked by", "Gates", "Selector", "Version");
        foreach (HistoryEntry entry in page.Entries)
        {
            ProfileAsked? asked = entry.Asked is [var latest, ..]
                ? latest : null, gated = entry.Asked.FirstOrDefault(static one => one.Gates.Length > 0);
            table.Add(
                entry.Profile[..16], TextTable.Time(entry.Generated), $"{entry.Ratio:0.00}", $"{entry.Uploads}", $"{entry.Builds.Count}",
                string.Join(' ', entry.Names),
                asked is null ? "" : entry.Asked.Count == 1 ? asked.Who : $"{asked.Who} and {entry.Asked.Count - 1} more",
                gated is null ? "" : gated.Unmet.Count == 0 ? "passed" : $"{gated.Unmet.Count} not met", entry.Selector, entry.Tool);
        }
        table.Write();
        if (page.Before is not null)
            Console.Out.WriteLine($"older ones: --before {Branches.ProfileLabels.Printable(page.Before)}");
        return ExitCodes.Ok;
    }
}
