namespace Perforator.Recording.PerfEvents;

/// <summary>
/// Which processes the events of which others go on in. An event that is inherited ends, in every heir, once its descriptor is closed:
/// the descriptors opened for one process stay until the last of its family has ended, long after itself perhaps.
/// </summary>
internal sealed class EventFamilies
{
    private readonly Dictionary<int, int> rootOf = [];
    private List<(int Child, int Parent)> orphans = [];

    /// <summary>Whether events count what a process does.</summary>
    public bool Has(int processId) => rootOf.ContainsKey(processId);

    /// <summary>The processes that events count.</summary>
    public IReadOnlyCollection<int> Processes => rootOf.Keys;

    /// <summary>The process that the events of another were opened for.</summary>
    public int RootOf(int processId) => rootOf[processId];

    /// <summary>Events are opened for a process.</summary>
    public void Begin(int processId) => rootOf[processId] = processId;

    /// <summary>
    /// A process was forked, of which every event of the forking thread tells. To be called as soon as the record is read, in whatever
    /// order: what a ring holds of a grandchild may be read before what another holds of the child.
    /// </summary>
    public void OnFork(int child, int parent)
    {
        if (child != parent)
            orphans.Add((child, parent));
    }

    /// <summary>All rings have been read once more: finds each forked process's place, if its parent has one.</summary>
    public void Settle()
    {
        for (bool grown = true; grown;)
        {
            grown = false;
            foreach ((int child, int parent) in orphans)
                if (!rootOf.ContainsKey(child) && rootOf.TryGetValue(parent, out int root))
                {
                    rootOf[child] = root;
                    grown = true;
                }
        }
        orphans = [.. orphans.Where(o => !rootOf.ContainsKey(o.Child)).TakeLast(MaxOrphans)];
    }

    /// <summary>A process has ended.</summary>
    /// <returns>The process whose events nobody needs any more; null while another of the family runs.</returns>
    public int? End(int processId) => rootOf.Remove(processId, out int root) && !rootOf.ContainsValue(root) ? root : null;

    /// <summary>Forks whose parent's own fork is still to be read: of the last instant only.</summary>
    private const int MaxOrphans = 1000;
}
