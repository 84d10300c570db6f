using Perforator.Elf;

namespace Perforator.Branches;

/// <summary>A binary as the aggregator needs to know it: identity and load segments.</summary>
public sealed class Module
{
    /// <param name="buildId">Build id or pseudo build id; never empty.</param>
    /// <param name="path">A path for people to read.</param>
    /// <param name="segments">All PT_LOAD segments.</param>
    public Module(BuildId buildId, string path, IReadOnlyList<LoadSegment> segments)
    {
        BuildId = buildId;
        Path = path;
        Segments = segments;
    }

    /// <summary>Identity of the binary.</summary>
    public BuildId BuildId { get; }

    /// <summary>A path for people to read.</summary>
    public string Path { get; }

    /// <summary>All PT_LOAD segments.</summary>
    public IReadOnlyList<LoadSegment> Segments { get; }

    /// <summary>
    /// Whether a mapping is of this binary: the one notion of "the same binary" that all inputs share. Where both build ids are known they
    /// decide; else the file name does, since the path in a recording may be that of another host or container.
    /// </summary>
    public bool Matches(Mapping mapping) => mapping.BuildId.IsEmpty ? HasName(mapping.FilePath) : mapping.BuildId == BuildId;

    /// <summary>Whether a path ends in the binary's file name.</summary>
    public bool HasName(string path) =>
        System.IO.Path.GetFileName(path.AsSpan()).SequenceEqual(System.IO.Path.GetFileName(Path.AsSpan()));

    /// <summary>
    /// The ELF virtual address at which a mapping of the file begins: p_vaddr + (offset - p_offset) of the segment it shows most of,
    /// executable ones first. mmap takes whole pages, so that a mapping may begin before its segment and hold the ends of its
    /// neighbours in the file. Null when it shows no segment.
    /// </summary>
    /// <param name="offset">Where in the file the mapping begins.</param>
    /// <param name="length">Its size in bytes.</param>
    public BinaryAddress? StartOf(FileOffset offset, ulong length)
    {
        LoadSegment best = default;
        ulong shown = 0;
        foreach (LoadSegment segment in Segments)
        {
            ulong start = Math.Max(offset.Value, segment.Offset.Value);
            ulong end = Math.Min(PairCounts.Saturating(offset.Value, length), PairCounts.Saturating(segment.Offset.Value, segment.FileSize));
            if (end <= start || (best.IsExecutable && !segment.IsExecutable))
                continue;
            if (end - start > shown || (segment.IsExecutable && !best.IsExecutable))
                (best, shown) = (segment, end - start);
        }
        return shown == 0 ? null : new(best.Address.Value + (offset.Value - best.Offset.Value));
    }

    /// <summary>
    /// The mappings of a binary that runs where it is linked to run, for every process without mappings of its own: what text
    /// without mappings is read by.
    /// </summary>
    public IEnumerable<Mapping> MappingsAsLinked()
    {
        foreach (LoadSegment segment in Segments)
            if (segment.IsExecutable)
                yield return new Mapping(BranchAggregator.AnyProcess, new(segment.Address.Value), segment.FileSize, segment.Offset, Path, BuildId);
    }

    /// <summary>Whether the address lies in an executable segment.</summary>
    public bool IsCode(BinaryAddress address)
    {
        foreach (LoadSegment segment in Segments)
            if (segment.IsExecutable && address >= segment.Address && address < segment.End)
                return true;
        return false;
    }
}

/// <summary>Finds the binary behind a mapping.</summary>
public interface IModuleResolver
{
    /// <summary>The module, or null when this mapping's branches are not wanted or the file cannot be read.</summary>
    Module? Resolve(Mapping mapping);
}
