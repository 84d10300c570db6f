using Perforator.Agent.Services;

namespace Perforator.Cli.Agent;

/// <summary>Rules and labels from where they are said: the command line, a file, the host.</summary>
/// <param name="CommandLine">Rules of the command line; they come before the file's.</param>
/// <param name="RulesFile">The file; null for none.</param>
/// <param name="Labels">Labels of the command line; they win over the file's, and these over the host's.</param>
internal sealed record AgentFiles(
    IReadOnlyList<ServiceRule> CommandLine, string? RulesFile, IReadOnlyList<(string Name, string Value)> Labels)
{
    /// <summary>Reads them.</summary>
    /// <exception cref="UserErrorException">The file cannot be read or understood.</exception>
    public (ServiceRules Rules, IReadOnlyList<(string Name, string Value)> Labels) Load()
    {
        ServiceRules rules = RulesFile is null
            ? ServiceRules.All with { RecordsOthers = CommandLine.Count == 0 }
            : ServiceRulesFile.Load(RulesFile, AgentStatus.Say);
        return (
            rules with { Rules = [.. CommandLine, .. rules.Rules] },
            [.. Labels, .. rules.Labels.Concat(HostLabels.Of(HostRoots.Default)).Select(static label => (label.Key, label.Value))
                .ExceptBy(Labels.Select(static l => l.Name), static l => l.Key).DistinctBy(static l => l.Key)]);
    }
}
