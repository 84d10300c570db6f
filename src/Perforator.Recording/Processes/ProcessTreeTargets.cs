namespace Perforator.Recording.Processes;

/// <summary>Given processes and all they start: what <c>record -- CMD</c> and <c>record -p PID</c> watch.</summary>
public sealed class ProcessTreeTargets : IRecordingTargets
{
    private readonly HashSet<ProcessIdentity> known;

    /// <param name="roots">Process ids; those that do not run are ignored.</param>
    public ProcessTreeTargets(IEnumerable<int> roots) => known = [.. roots.Select(ProcessIdentity.Of).OfType<ProcessIdentity>()];

    /// <inheritdoc/>
    public IReadOnlySet<int>? Refresh()
    {
        List<(ProcessIdentity Identity, int Parent)> all = [.. ProcessIdentity.AllWithParents()];
        known.IntersectWith(all.Select(p => p.Identity));
        HashSet<int> ids = [.. known.Select(p => p.Id)];
        // Children follow their parents in start time but not in /proc's order, so go over the list until nothing is added.
        for (bool grown = true; grown;)
        {
            grown = false;
            foreach ((ProcessIdentity identity, int parent) in all)
                if (ids.Contains(parent) && known.Add(identity))
                    grown = ids.Add(identity.Id);
        }
        return ids.Count == 0 ? null : ids;
    }
}
