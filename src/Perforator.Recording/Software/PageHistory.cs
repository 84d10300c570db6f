using System.Runtime.InteropServices;

namespace Perforator.Recording.Software;

/// <summary>Which pages a process's latest paths have touched: what they have not is cold to a CPU's caches, too.</summary>
internal sealed class PageHistory
{
    /// <summary>Paths.</summary>
    private const int Length = 8;

    private readonly Dictionary<ulong, int> lastPaths = [];
    private int path;

    /// <summary>A path begins.</summary>
    public void Begin()
    {
        if (++path % (8 * Length) != 0)
            return;
        foreach ((ulong page, int last) in lastPaths)
            if (path - last > Length)
                lastPaths.Remove(page);
    }

    /// <summary>Notes that the path has touched a page.</summary>
    /// <returns>Whether it is cold.</returns>
    public bool Touch(ulong page)
    {
        ref int last = ref CollectionsMarshal.GetValueRefOrAddDefault(lastPaths, page, out bool isKnown);
        bool isCold = !isKnown || path - last > Length;
        last = path;
        return isCold;
    }
}
