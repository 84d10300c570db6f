using System.Globalization;
using Perforator.Agent;
using Perforator.Agent.Services;
using Perforator.Recording.Prerequisites;

namespace Perforator.Cli.Agent;

/// <summary>What <c>perforator agent</c> would do on this host by default, for <c>doctor</c>.</summary>
internal static class AgentOutlook
{
    private const int MaxNames = 8;

    public static IEnumerable<Prerequisite> Tell()
    {
        string[] services =
            [.. new ServiceDiscovery(ServiceRules.All).Explain().Select(static p => p.Service).OfType<string>().Distinct()
                .Order(StringComparer.Ordinal)];
        string more = services.Length > MaxNames ? $" and {services.Length - MaxNames} more" : "";
        yield return new("Agent: services", null, services.Length == 0 ? "no process may be looked into"
            : $"would record {string.Join(", ", services.Take(MaxNames))}{more}; 'perforator agent --dry-run' lists their programs");
        IEnumerable<string> labels = HostLabels.Of(HostRoots.Default).Select(static label => $"{label.Key}={label.Value}");
        yield return new("Agent: labels", null, string.Join(", ", ["host", "cpu", "source", .. labels]));
        yield return new("Agent: budget", null, string.Create(CultureInfo.InvariantCulture,
            $"{HostBudget.DefaultCpuShare * 100:0.##} % of {Environment.ProcessorCount} CPUs, {HostBudget.DefaultMemoryBytes / 1e6:0} MB (--cpu-budget, --memory-budget)"));
    }
}
