using Perforator.Branches;

namespace Perforator.Recording.Processes;

/// <summary>
/// Counts one recorder's samples by service: an aggregator each, fed from the recorder's thread while another takes away what has
/// been counted.
/// </summary>
public sealed class ServiceProfiles : IBranchSink
{
    private readonly ServiceDiscovery discovery;
    private readonly IModuleResolver modules;
    private readonly Lock gate = new();
    private readonly Dictionary<int, BranchAggregator> byProcess = [];
    private readonly Dictionary<string, BranchAggregator> byService = new(StringComparer.Ordinal);
    private readonly LossCounts losses = new();

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
            if (Find(parentProcessId) is { } aggregator)
            {
                byProcess[processId] = aggregator;
                aggregator.OnFork(processId, parentProcessId);
            }
    }

    /// <inheritdoc/>
    public void OnExec(int processId)
    {
        lock (gate)
        {
            if (byProcess.Remove(processId, out BranchAggregator? before))
                before.OnExec(processId);

            // Another program may be another service, or none.
            if (discovery.LookAgain(processId) is { } service)
                byProcess[processId] = Of(service);
        }
    }

    /// <inheritdoc/>
    public void OnExit(int processId)
    {
        lock (gate)
            if (byProcess.Remove(processId, out BranchAggregator? aggregator))
                aggregator.OnExit(processId);
    }

    /// <inheritdoc/>
    public void OnSample(in BranchSample sample)
    {
        lock (gate)
            if (byProcess.TryGetValue(sample.ProcessId, out BranchAggregator? aggregator))
                aggregator.OnSample(sample);
    }

    /// <inheritdoc/>
    public void OnLost(string reason, ulong count)
    {
        lock (gate)
            losses.Add(reason, count);
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
