using System.Text.Json;
using Perforator.Agent;
using Perforator.Branches;

namespace Perforator.Cli.Agent;

/// <summary><c>perforator agent --dry-run</c>: what would be recorded, under which name.</summary>
internal static class DryRun
{
    /// <summary>Prints a line for each service and program, those that are not recorded last.</summary>
    public static void Print(AgentSettings settings, bool json)
    {
        var programs = new ServiceDiscovery(settings.Rules).Explain()
            .GroupBy(static p => (p.Service, p.Process.Executable))
            .Select(static g => (g.Key.Service, g.Key.Executable, Processes: g.Select(static p => p.Process.Identity.Id).ToArray()))
            .OrderBy(static g => g.Service is null).ThenBy(static g => g.Service, StringComparer.Ordinal)
            .ThenBy(static g => g.Executable, StringComparer.Ordinal)
            .ToArray();
        if (json)
        {
            using Stream output = Console.OpenStandardOutput();
            using Utf8JsonWriter writer = new(output, new JsonWriterOptions { Indented = true });
            writer.WriteStartObject();
            writer.WriteStartObject("labels");
            foreach ((string name, string value) in settings.Labels)
                writer.WriteString(name, value);
            writer.WriteEndObject();
            writer.WriteStartArray("programs");
            foreach ((string? service, string executable, int[] processes) in programs)
            {
                writer.WriteStartObject();
                writer.WriteString("service", service);
                writer.WriteString("executable", ProfileLabels.Printable(executable));
                writer.WriteStartArray("processes");
                foreach (int id in processes)
                    writer.WriteNumberValue(id);
                writer.WriteEndArray();
                writer.WriteEndObject();
            }
            writer.WriteEndArray();
            writer.WriteEndObject();
            return;
        }
        TextTable table = new("Service", "Processes", "Path");
        foreach ((string? service, string executable, int[] processes) in programs)
            table.Add(service ?? "(not recorded)", $"{processes.Length}", executable);
        table.Write();
    }
}
