using Perforator.Branches;
using Perforator.Recording.Processes;

namespace Perforator.Agent;

/// <summary>
/// Counts one recorder's samples by service: an aggregator each, fed from the recorder's thread while another takes away what has
/// been counted.
/// </summary>
public sealed class ServiceProfiles : IBranchSink
{
    public const string EndedUnknown = "samples of processes that ended before it was known which service they are";

    /// <summary>A program that has mapped as much without a sample is looked at all the same.</summary>
    private const int MaxMapped = 4096;

    private readonly ServiceDiscovery discovery;
    private readonly IModuleResolver modules;
    private readonly Lock gate = new();
    private readonly Dictionary<int, BranchAggregator> byProcess = [];
    private readonly Dictionary<string, BranchAggregator> byService = new(StringComparer.Ordinal);
    private readonly LossCounts losses = new();

    /// <summary>
    /// Processes that have executed another program, with what it has mapped: what it is, and what is in its files, is looked at once it
    /// gives a sample, as most of a host's short-lived processes never do.
    /// </summary>
    private readonly Dictionary<int, List<Mapping>> executed = [];

    // The kernel's image and modules, by where they begin: they are every service's.
    private readonly SortedDictionary<ulong, Mapping> kernel = [];

    /// <param name="discovery">Says which service a process belongs to.</param>
    /// <param name="modules">Finds the binaries.</param>
    public ServiceProfiles(ServiceDiscovery discovery, IModuleResolver modules)
    {
        this.discovery = discovery;
        this.modules = modules;
    }

    /// <summary>
    /// Hands over what was counted of each service since the last call, in order of their names; services without a sample are left
    /// out. Losses that no process could be blamed for are in each: they say how much of the host's samples is missing.
    /// </summary>
    public IReadOnlyList<(string Service, BranchAggregator Counted)> Take()
    {
        lock (gate)
        {
            List<(string, BranchAggregator)> taken = [];
            foreach ((string service, BranchAggregator aggregator) in byService.OrderBy(s => s.Key, StringComparer.Ordinal))
                if (aggregator.Samples != 0)
                {
                    BranchAggregator counted = aggregator.Take();
                    counted.Losses.Merge(losses);
                    taken.Add((service, counted));
                }
            if (taken.Count != 0)
                losses.Clear();
            HashSet<BranchAggregator> running = [.. byProcess.Values];
            foreach ((string service, BranchAggregator aggregator) in byService)
                if (aggregator.Samples == 0 && !running.Contains(aggregator))
                    byService.Remove(service);
            return taken;
        }
    }

    /// <inheritdoc/>
    public void OnMapping(Mapping mapping)
    {
        lock (gate)
        {
            if (mapping.ProcessId != Mapping.KernelProcess)
            {
                if (executed.TryGetValue(mapping.ProcessId, out List<Mapping>? mapped) && mapped.Count == MaxMapped)
                    Begin(mapping.ProcessId, mapped);
                if (executed.ContainsKey(mapping.ProcessId))
                    mapped!.Add(mapping);
                else
                    Find(mapping.ProcessId)?.OnMapping(mapping);
                return;
            }
            kernel[mapping.Start.Value] = mapping;
            foreach (BranchAggregator aggregator in byService.Values)
                aggregator.OnMapping(mapping);
        }
    }

    /// <inheritdoc/>
    public void OnFork(int processId, int parentProcessId)
    {
        lock (gate)
        {
            Forget(processId);
            if (executed.TryGetValue(parentProcessId, out List<Mapping>? mapped))
            {
                executed[processId] = [.. mapped.Select(mapping => mapping with { ProcessId = processId })];
            }
            else if (Find(parentProcessId) is { } aggregator)
            {
                byProcess[processId] = aggregator;
                aggregator.OnFork(processId, parentProcessId);
            }
        }
    }

    /// <inheritdoc/>
    public void OnExec(int processId)
    {
        lock (gate)
        {
            Forget(processId);
            executed[processId] = [];
        }
    }

    /// <inheritdoc/>
    public void OnExit(int processId)
    {
        lock (gate)
            Forget(processId);
    }

    /// <inheritdoc/>
    public void OnSample(in BranchSample sample)
    {
        lock (gate)
        {
            if (executed.TryGetValue(sample.ProcessId, out List<Mapping>? mapped))
                Begin(sample.ProcessId, mapped);
            if (byProcess.TryGetValue(sample.ProcessId, out BranchAggregator? aggregator))
                aggregator.OnSample(sample);
        }
    }

    /// <inheritdoc/>
    public void OnLost(string reason, ulong count)
    {
        lock (gate)
            losses.Add(reason, count);
    }

    /// <summary>Another program may be another service, or none.</summary>
    private void Begin(int processId, List<Mapping> mapped)
    {
        string? found = discovery.LookAgain(processId);
        if (found is null && ProcessIdentity.InodeOf(processId) == 0)
        {
            losses.Add(EndedUnknown, 1);
            return;
        }
        executed.Remove(processId);
        if (found is not { } service)
            return;
        byProcess[processId] = Of(service);
        foreach (Mapping mapping in mapped)
            byProcess[processId].OnMapping(mapping);
    }

    private void Forget(int processId)
    {
        executed.Remove(processId);
        if (byProcess.Remove(processId, out BranchAggregator? aggregator))
            aggregator.OnExit(processId);
    }

    private BranchAggregator? Find(int processId)
    {
        if (byProcess.TryGetValue(processId, out BranchAggregator? aggregator))
            return aggregator;
        return discovery.ServiceOf(processId) is { } service ? byProcess[processId] = Of(service) : null;
    }

    private BranchAggregator Of(string service)
    {
        if (!byService.TryGetValue(service, out BranchAggregator? aggregator))
        {
            byService.Add(service, aggregator = new BranchAggregator(modules));
            foreach (Mapping mapping in kernel.Values)
                aggregator.OnMapping(mapping);
        }
        return aggregator;
    }
}
