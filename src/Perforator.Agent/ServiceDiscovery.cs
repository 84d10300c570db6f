using System.Diagnostics;
using Perforator.Agent.Services;
using Perforator.Recording;
using Perforator.Recording.Processes;

namespace Perforator.Agent;

/// <summary>
/// Finds the processes of services, again and again: of those that rules name, or, without rules, of all there are, each named by
/// what it declares (PERFORATOR_SERVICE), else by its systemd service, else by its executable. Safe for use by several threads.
/// </summary>
public sealed class ServiceDiscovery : IRecordingTargets
{
    /// <summary>How long what was found is taken for true, since looking at every process of a large machine takes its time.</summary>
    private static readonly TimeSpan MaxAge = TimeSpan.FromSeconds(1);

    /// <summary>
    /// How much longer the pause between two looks is than a look, so that looking takes next to nothing of a CPU on any machine.
    /// </summary>
    private const int PauseFactor = 300;

    private static readonly TimeSpan MaxPause = TimeSpan.FromSeconds(20);

    /// <summary>
    /// A process that is known is looked into again by the next looks, as what has just been forked executes another program, and by one
    /// look in so many after that. Recorders tell what they see of it themselves.
    /// </summary>
    private const int FirstLooks = 2, LooksBetween = 16;

    /// <summary>
    /// A process that was looked into; neither executable nor service where that may not be done, as with kernel threads.
    /// </summary>
    /// <param name="Inode">Of its folder in /proc; one that gets its id later has another.</param>
    private sealed record Known(ulong Inode, ulong StartTime, string? Executable, string? Service)
    {
        public int Looks { get; set; }

        public long LatestLook { get; set; }
    }

    private readonly ServiceRules rules;
    private readonly HostRoots host = HostRoots.Default;
    private readonly ContainerNames containers = new(HostRoots.Default);
    private readonly Lock gate = new();
    private readonly Dictionary<int, Known> known = [];
    private readonly Dictionary<int, string> services = [];
    private HashSet<int>? wanted;
    private string[]? names;
    private long looks;
    private long lookedAt;
    private TimeSpan lookTook;

    /// <param name="rules">The services wanted; none for all.</param>
    public ServiceDiscovery(IReadOnlyList<ServiceRule> rules)
        : this(ServiceRules.All with { Rules = rules, RecordsOthers = rules.Count == 0 })
    {
    }

    /// <param name="rules">Which processes are wanted, and under which names.</param>
    public ServiceDiscovery(ServiceRules rules) => this.rules = rules;

    /// <summary>
    /// The share of a service's samples that are to be taken, from 0 to 1; all unless told otherwise. Asked from any thread, of each
    /// sample.
    /// </summary>
    public Func<string, double> Shares { get; set; } = static _ => 1;

    /// <inheritdoc/>
    public double? ShareOf(int processId) => ServiceOf(processId) is { } service ? Shares(service) : null;

    /// <inheritdoc/>
    public double HighestShare
    {
        get
        {
            lock (gate)
                return (names ??= [.. services.Values.Distinct()]).Select(Shares).DefaultIfEmpty(1).Max();
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
        {
            Dictionary<int, string> now = Look();
            return wanted ??= [.. now.Keys];
        }
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

    /// <summary>
    /// The service of a process that has just executed another program; null when it has ended or belongs to none that is wanted.
    /// </summary>
    public string? LookAgain(int processId)
    {
        if (processId == Environment.ProcessId)
            return null;
        lock (gate)
        {
            if (ProcessIdentity.InodeOf(processId) is not (not 0 and var inode)
                || LookInto(processId, inode) is not { Executable: not null } found)
                return null;
            Keep(processId, found);
            return found.Service;
        }
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
            return [.. ProcessIdentity.AllIds().Order().Where(static id => id != Environment.ProcessId).Select(ProcessIdentity.Of)
                .OfType<ProcessIdentity>()
                .Select(process => ProcessDescription.Of(process, host, containers)).OfType<ProcessDescription>()
                .Select(process => (process, rules.ServiceOf(process)))];
    }

    private Dictionary<int, string> Look()
    {
        if (lookedAt != 0 && Stopwatch.GetElapsedTime(lookedAt) is { } age
            && (age < MaxAge || (age < lookTook * PauseFactor && age < MaxPause)))
            return services;
        long begin = Stopwatch.GetTimestamp();
        looks++;
        foreach ((int id, ulong inode) in ProcessIdentity.All())
        {
            if (id == Environment.ProcessId)
                continue;
            if (known.TryGetValue(id, out Known? before) && before.Inode == inode && !IsDue(id, before))
            {
                before.LatestLook = looks;
                continue;
            }
            // The service of a process changes only when it executes another program.
            Known? found = before is not null && IsSame(id, before) ? before with { Inode = inode } : LookInto(id, inode);
            if (found is null)
                continue;
            found.LatestLook = looks;
            Keep(id, found);
        }
        foreach ((int id, Known gone) in known)
            if (gone.LatestLook != looks)
                Drop(id);
        lookTook = looks == 1 ? TimeSpan.Zero : Stopwatch.GetElapsedTime(begin);
        lookedAt = Stopwatch.GetTimestamp();
        return services;
    }

    private bool IsDue(int id, Known process) => process.Looks++ < FirstLooks || (id + looks) % LooksBetween == 0;

    private static bool IsSame(int id, Known process) =>
        ProcessIdentity.Of(id) is { } now && now.StartTime == process.StartTime
            && ProcessIdentity.ExecutableOf(id) == process.Executable;

    /// <returns>Null when it has ended.</returns>
    private Known? LookInto(int id, ulong inode)
    {
        if (ProcessIdentity.Of(id) is not { } identity)
            return null;
        ProcessDescription? description = ProcessDescription.Of(identity, host, containers);
        return new(inode, identity.StartTime, description?.Executable, description is null ? null : rules.ServiceOf(description));
    }

    private void Keep(int id, Known process)
    {
        known[id] = process;
        if (process.Service == services.GetValueOrDefault(id))
            return;
        (wanted, names) = (null, null);
        if (process.Service is null)
            services.Remove(id);
        else
            services[id] = process.Service;
    }

    private void Drop(int id)
    {
        known.Remove(id);
        if (services.Remove(id))
            (wanted, names) = (null, null);
    }
}
