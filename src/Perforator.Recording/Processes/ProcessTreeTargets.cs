using System.Diagnostics;

namespace Perforator.Recording.Processes;

/// <summary>Given processes and all they start: what <c>record -- CMD</c> and <c>record -p PID</c> watch.</summary>
public sealed class ProcessTreeTargets : IRecordingTargets
{
    /// <summary>How much longer the pause between two looks for new processes is than a look, so that looking takes little of a CPU.</summary>
    private const int PauseFactor = 20;

    private static readonly TimeSpan MaxPause = TimeSpan.FromSeconds(1);

    private readonly HashSet<ProcessIdentity> known;
    private TimeSpan lookTook;
    private long lookedAt;

    /// <param name="roots">Process ids; those that do not run are ignored.</param>
    public ProcessTreeTargets(IEnumerable<int> roots) => known = [.. roots.Select(ProcessIdentity.Of).OfType<ProcessIdentity>()];

    /// <inheritdoc/>
    public IReadOnlySet<int>? Refresh()
    {
        known.RemoveWhere(p => ProcessIdentity.Of(p.Id) != p);
        HashSet<int> ids = [.. known.Select(p => p.Id)];
        TimeSpan pause = Stopwatch.GetElapsedTime(lookedAt);
        if (lookedAt == 0 || pause >= lookTook * PauseFactor || pause >= MaxPause)
        {
            long begin = Stopwatch.GetTimestamp();
            AddChildren(ids);
            lookedAt = Stopwatch.GetTimestamp();
            lookTook = Stopwatch.GetElapsedTime(begin, lookedAt);
        }
        return ids.Count == 0 ? null : ids;
    }

    private void AddChildren(HashSet<int> ids)
    {
        List<(ProcessIdentity Identity, int Parent)> all = [.. ProcessIdentity.AllWithParents()];
        // Children follow their parents in start time but not in /proc's order, so go over the list until nothing is added.
        for (bool grown = true; grown;)
        {
            grown = false;
            foreach ((ProcessIdentity identity, int parent) in all)
                if (ids.Contains(parent) && known.Add(identity))
                    grown = ids.Add(identity.Id);
        }
    }
}
