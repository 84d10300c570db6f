namespace Perforator.Recording.Software;

/// <summary>
/// The pages a thread touched in its latest samples, which it mostly touches in the next as well: read all at once they cost a fraction
/// of what they cost one by one.
/// </summary>
internal sealed class WorkingSet
{
    /// <summary>More pages than this are not worth reading on suspicion.</summary>
    private const int MaxPages = 192;

    /// <summary>By page number, one bit for each of the last eight samples, the latest the highest.</summary>
    private readonly Dictionary<ulong, byte> touches = [];
    private readonly List<ulong> likely = [];
    private readonly List<ulong> known = [];

    /// <summary>Page numbers in ascending order.</summary>
    public IReadOnlyList<ulong> Likely => likely;

    /// <summary>Notes what a sample has touched.</summary>
    public void Learn(IEnumerable<ulong> touched)
    {
        known.Clear();
        known.AddRange(touches.Keys);
        foreach (ulong page in known)
        {
            int history = touches[page] >> 1;
            if (history == 0)
                touches.Remove(page);
            else
                touches[page] = (byte)history;
        }
        foreach (ulong page in touched)
            touches[page] = (byte)(touches.GetValueOrDefault(page) | 0x80);
        likely.Clear();
        foreach ((ulong page, byte history) in touches)
            if (likely.Count < MaxPages && (history >= 0xC0 || byte.PopCount(history) >= 3))
                likely.Add(page);
        likely.Sort();
    }
}
