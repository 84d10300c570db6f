using System.Diagnostics;
using Perforator.Recording.Services;

namespace Perforator.Recording.Processes;

/// <summary>
/// Finds the processes of services, again and again: of those that rules name, or, without rules, of all there are, each named by
/// what it declares (PERFORATOR_SERVICE), else by its systemd service, else by its executable. Safe for use by several threads.
/// </summary>
public sealed class ServiceDiscovery : IRecordingTargets
{
    /// <summary>How long what was found is taken for true, since looking at every process of a large machine takes its time.</summary>
    private static readonly TimeSpan MaxAge = TimeSpan.FromSeconds(1);

    /// <summary>How much longer the pause between two looks is than a look, so that looking takes little of a CPU on any machine.</summary>
    private const int PauseFactor = 100;

    private static readonly TimeSpan MaxPause = TimeSpan.FromSeconds(20);

    private readonly ServiceRules rules;
    private readonly HostRoots host = HostRoots.Default;
    private readonly ContainerNames containers = new(HostRoots.Default);
    private readonly Lock gate = new();
    private Dictionary<ProcessIdentity, (string Executable, string? Service)> known = [];
    private Dictionary<int, string> services = [];
    private long lookedAt;
    private TimeSpan lookTook;

    /// <param name="rules">The services wanted; none for all.</param>
    public ServiceDiscovery(IReadOnlyList<ServiceRule> rules)
        : this(ServiceRules.All with { Rules = rules, RecordsOthers = rules.Count == 0 })
    {
    }

    /// <param name="rules">Which processes are wanted, and under which names.</param>
    public ServiceDiscovery(ServiceRules rules) => this.rules = rules;

    /// <summary>The share of a service's samples that are to be taken, from 0 to 1; all unless told otherwise. Asked from any thread, of each sample.</summary>
    public Func<string, double> Shares { get; set; } = static _ => 1;

    /// <inheritdoc/>
    public double? ShareOf(int processId) => ServiceOf(processId) is { } service ? Shares(service) : null;

    /// <inheritdoc/>
    public double HighestShare
    {
        get
        {
            lock (gate)
                return services.Values.Distinct().Select(Shares).DefaultIfEmpty(1).Max();
        }
    }

    /// <summary>The processes that run now, each with its service.</summary>
    public IReadOnlyDictionary<int, string> Processes
    {
        get
        {
            lock (gate)
                return new Dictionary<int, string>(Look());
        }
    }

    /// <inheritdoc/>
    public IReadOnlySet<int>? Refresh()
    {
        lock (gate)
            return Look().Keys.ToHashSet();
    }

    /// <inheritdoc/>
    public bool IsSelective => !rules.RecordsOthers;

    /// <inheritdoc/>
    public bool Wants(int processId, bool isChildOfWanted) => LookAgain(processId) is not null;

    /// <summary>The service a process belongs to; null when it belongs to none that is wanted, or was not there yet.</summary>
    public string? ServiceOf(int processId)
    {
        lock (gate)
            return services.GetValueOrDefault(processId);
    }

    /// <summary>The service of a process that has just executed another program; null when it has ended or belongs to none that is wanted.</summary>
    public string? LookAgain(int processId)
    {
        string? service;
        if (processId == Environment.ProcessId || ProcessIdentity.Of(processId) is not { } identity)
            return null;
        lock (gate)
        {
            if (ProcessDescription.Of(identity, host, containers) is not { } description)
                return null;
            service = rules.ServiceOf(description);
            known[identity] = (description.Executable, service);
            if (service is null)
                services.Remove(processId);
            else
                services[processId] = service;
        }
        return service;
    }

    /// <summary>The services that run now, each with how many processes it has.</summary>
    public IReadOnlyDictionary<string, int> Running
    {
        get
        {
            lock (gate)
                return new SortedDictionary<string, int>(Look().Values.CountBy(s => s).ToDictionary(), StringComparer.Ordinal);
        }
    }

    /// <summary>Every process that may be looked into, with the service it is recorded under; null for those that are not.</summary>
    public IReadOnlyList<(ProcessDescription Process, string? Service)> Explain()
    {
        lock (gate)
            return [.. ProcessIdentity.AllIds().Order().Where(static id => id != Environment.ProcessId).Select(ProcessIdentity.Of).OfType<ProcessIdentity>()
                .Select(process => ProcessDescription.Of(process, host, containers)).OfType<ProcessDescription>().Select(process => (process, rules.ServiceOf(process)))];
    }

    private Dictionary<int, string> Look()
    {
        if (lookedAt != 0 && Stopwatch.GetElapsedTime(lookedAt) is { } age && (age < MaxAge || (age < lookTook * PauseFactor && age < MaxPause)))
            return services;
        long begin = Stopwatch.GetTimestamp();
        Dictionary<ProcessIdentity, (string Executable, string? Service)> now = [];
        foreach (int id in ProcessIdentity.AllIds())
        {
            if (id == Environment.ProcessId || ProcessIdentity.Of(id) is not { } process || ProcessDescription.ExecutableOf(process.Id) is not { } executable)
                continue;

            // The service of a process changes only when it executes another program.
            if (!known.TryGetValue(process, out (string Executable, string? Service) before) || before.Executable != executable)
                before = (executable, ProcessDescription.Of(process, host, containers) is { } description ? rules.ServiceOf(description) : null);
            now.Add(process, before);
        }
        known = now;
        services = now.Where(p => p.Value.Service is not null).ToDictionary(p => p.Key.Id, p => p.Value.Service!);
        lookedAt = Stopwatch.GetTimestamp();
        lookTook = Stopwatch.GetElapsedTime(begin, lookedAt);
        return services;
    }
}
