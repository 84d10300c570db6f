namespace Perforator.Agent.Services;

/// <summary>Which processes are recorded, and under which names.</summary>
/// <param name="Rules">The first that fits a process and can name it decides.</param>
/// <param name="RecordsOthers">Whether processes that no rule fits are recorded, each under the name it has by default.</param>
/// <param name="Labels">Labels of every profile.</param>
public sealed record ServiceRules(IReadOnlyList<ServiceRule> Rules, bool RecordsOthers, IReadOnlyDictionary<string, string> Labels)
{
    /// <summary>Everything, under the names that processes have by default.</summary>
    public static ServiceRules All { get; } = new([], true, new Dictionary<string, string>());

    /// <summary>The services whose names are known before a process of theirs runs.</summary>
    public IEnumerable<string> FixedNames => Rules.Select(static rule => rule.Name?.Fixed).OfType<string>().Distinct();

    /// <summary>The service of a process; null when it is not to be recorded.</summary>
    public string? ServiceOf(ProcessDescription process)
    {
        foreach (ServiceRule rule in Rules)
        {
            if (!rule.Matches(process))
                continue;
            if (rule.Name is null)
                return null;
            if (rule.Name.For(process) is { } name)
                return name;
        }
        return RecordsOthers ? DefaultName(process) : null;
    }

    /// <summary>
    /// The name of a process's service when no rule gives it one: what it declares, else its Kubernetes namespace, workload and container,
    /// else its container, else its systemd service without its instance, else its executable.
    /// </summary>
    public static string DefaultName(ProcessDescription process) => NameTemplate.Nameable(
        process.DeclaredService is { Length: > 0 } declared ? declared
            : process.Value("k8s.container") is { } container
                ? string.Join('.', new[] { process.Value("k8s.namespace"), process.Value("k8s.workload"), container }.OfType<string>())
            : process.Value("container") ?? process.Value("unit")?.Split('@')[0] ?? process.ExecutableName);
}
