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
    /// The ELF virtual address of a file offset: p_vaddr + (offset - p_offset) of the segment that holds it, executable
    /// segments first, since the page granularity of mmap lets neighbours share file pages. Null when no segment does.
    /// </summary>
    public BinaryAddress? ToBinaryAddress(FileOffset offset)
    {
        BinaryAddress? other = null;
        foreach (LoadSegment segment in Segments)
        {
            if (offset.Value < segment.Offset.Value || offset.Value - segment.Offset.Value >= segment.FileSize)
                continue;
            BinaryAddress address = new(segment.Address.Value + (offset.Value - segment.Offset.Value));
            if (segment.IsExecutable)
                return address;
            other ??= address;
        }
        return other;
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
