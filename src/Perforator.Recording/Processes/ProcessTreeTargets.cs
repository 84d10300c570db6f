namespace Perforator.Recording.Processes;

/// <summary>Given processes and all they start: what <c>record -- CMD</c> and <c>record -p PID</c> watch.</summary>
public sealed class ProcessTreeTargets : IRecordingTargets
{
    private readonly HashSet<ProcessIdentity> known;

    /// <summary>Processes that are none of the given ones' descendants.</summary>
    private readonly HashSet<int> others = [];

    /// <param name="roots">Process ids; those that do not run are ignored.</param>
    public ProcessTreeTargets(IEnumerable<int> roots) => known = [.. roots.Select(ProcessIdentity.Of).OfType<ProcessIdentity>()];

    /// <inheritdoc/>
    public IReadOnlySet<int>? Refresh()
    {
        known.RemoveWhere(p => ProcessIdentity.Of(p.Id) != p);
        HashSet<int> ids = [.. known.Select(p => p.Id)];
        AddChildren(ids);
        return ids.Count == 0 ? null : ids;
    }

    /// <inheritdoc/>
    public bool Wants(int processId, bool isChildOfWanted)
    {
        // From child to parent, up to one that is known; init has none.
        List<ProcessIdentity> line = [];
        for (int id = processId; id > 1 && ProcessIdentity.WithParent(id) is (ProcessIdentity identity, int parent); id = parent)
        {
            line.Add(identity);
            if (isChildOfWanted || known.Contains(identity))
            {
                known.UnionWith(line);
                return true;
            }
        }
        return false;
    }

    /// <summary>Looks at each process once: whose it is does not change, but for those that lose their parents.</summary>
    private void AddChildren(HashSet<int> ids)
    {
        HashSet<int> present = [.. ProcessIdentity.AllIds()];
        others.IntersectWith(present);
        List<(ProcessIdentity Identity, int Parent)> fresh =
            [.. present.Where(id => !ids.Contains(id) && !others.Contains(id)).Select(ProcessIdentity.WithParent)
                .OfType<(ProcessIdentity, int)>()];
        // Parents may come behind their children in /proc's order, so go over the list until nothing is added. One whose parent was not
        // seen is looked at again.
        for (bool grown = true; grown;)
        {
            grown = false;
            foreach ((ProcessIdentity identity, int parent) in fresh)
            {
                if (ids.Contains(parent) && known.Add(identity))
                    grown |= ids.Add(identity.Id);
                else if (parent == 0 || others.Contains(parent))
                    grown |= others.Add(identity.Id);
            }
        }
    }
}
