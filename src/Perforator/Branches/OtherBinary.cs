namespace Perforator.Branches;

/// <summary>A file that was mapped executable and is of no interest, with how much ran in it.</summary>
/// <param name="path">As the mapping has it.</param>
/// <param name="buildId">Empty when the recording does not say.</param>
public sealed class OtherBinary(string path, BuildId buildId)
{
    /// <summary>The path as the mapping has it.</summary>
    public string Path { get; } = path;

    /// <summary>Its build id; empty when the recording does not say.</summary>
    public BuildId BuildId { get; } = buildId;

    /// <summary>
    /// Branch stack entries with an end in it and none in a binary of interest; of samples without a stack, their addresses in it.
    /// </summary>
    public ulong Entries { get; private set; }

    internal void Count(ulong entries) => Entries = PairCounts.Saturating(Entries, entries);
}

/// <summary>The files that were mapped and are of no interest, one of each path and build id.</summary>
internal sealed class OtherBinaries
{
    /// <summary>More than this are not told apart: a recorder that runs for weeks meets files under ever new names.</summary>
    private const int MaxBinaries = 4096;

    private readonly Dictionary<(string Path, string BuildId), OtherBinary> binaries = [];
    private readonly List<OtherBinary> inOrder = [];

    public IReadOnlyCollection<OtherBinary> All => inOrder;

    /// <summary>The one that a mapping is of; null when it has no file or there are too many.</summary>
    public OtherBinary? Of(Mapping mapping) => mapping.Path.Length == 0 ? null : Of(mapping.FilePath, mapping.BuildId);

    public void Merge(OtherBinaries others)
    {
        foreach (OtherBinary other in others.inOrder)
            Of(other.Path, other.BuildId)?.Count(other.Entries);
    }

    private OtherBinary? Of(string path, BuildId buildId)
    {
        if (binaries.TryGetValue((path, buildId.ToString()), out OtherBinary? known) || inOrder.Count == MaxBinaries)
            return known;
        binaries.Add((path, buildId.ToString()), known = new OtherBinary(path, buildId));
        inOrder.Add(known);
        return known;
    }
}
