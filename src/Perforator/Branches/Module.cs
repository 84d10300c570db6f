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
        Names = [System.IO.Path.GetFileName(path)];
    }

    /// <summary>Identity of the binary.</summary>
    public BuildId BuildId { get; }

    /// <summary>A path for people to read.</summary>
    public string Path { get; }

    /// <summary>All PT_LOAD segments.</summary>
    public IReadOnlyList<LoadSegment> Segments { get; }

    /// <summary>Whether <see cref="BuildId"/> is the file's own; else it is a hash of its content, which no recording knows.</summary>
    public bool HasOwnBuildId { get; init; } = true;

    /// <summary>The file names it goes by: its own, and those of the files that links to it lead over.</summary>
    public IReadOnlyList<string> Names { get; init; }

    /// <summary>
    /// Where a kernel's image has its first symbols, <c>_text</c> and <c>_stext</c>, by name: they say how far it was moved when it was
    /// loaded (KASLR). Null for all that is no kernel.
    /// </summary>
    public IReadOnlyDictionary<string, BinaryAddress>? KernelSymbols { get; init; }

    /// <summary>
    /// A kernel module's name (<c>nf_tables</c>), whose code begins at <see cref="ElfFile.KernelModuleText"/>; null for all else.
    /// </summary>
    public string? KernelModuleName { get; init; }

    /// <summary>What the user says that recordings have it as: a path, a file name or a build id. Null when nothing was said.</summary>
    public string? RecordedAs { get; init; }

    /// <summary>
    /// Whether a mapping is of this binary: the one notion of "the same binary" that all inputs share. Where both build ids are known they
    /// decide; else the file name does, since the path in a recording may be that of another host or container. What the user says of a
    /// file without a build id of its own holds in any case.
    /// </summary>
    public bool Matches(Mapping mapping)
    {
        if (!mapping.BuildId.IsEmpty && BuildId.IsSameAs(mapping.BuildId))
            return true;
        if (RecordedAs is not null && IsRecordedAs(mapping))
            return true;
        return mapping.BuildId.IsEmpty && (HasName(mapping.FilePath) || (mapping.IsKernel && KernelSymbols is not null));
    }

    /// <summary>The ELF virtual address at which a mapping begins; null when it shows none of the binary.</summary>
    public BinaryAddress? StartOf(Mapping mapping)
    {
        // perf maps a module from the beginning of its code on, whatever lies before that in the file.
        if (KernelModuleName is not null && mapping.ProcessId == Mapping.KernelProcess)
            return new(ElfFile.KernelModuleText.Value + mapping.Offset.Value);
        if (!mapping.IsKernel || KernelSymbols is null)
            return StartOf(mapping.Offset, mapping.Length);
        // The offset is where the symbol lay when it was recorded, or a place in a file (/proc/kcore), whose kernel begins with the symbol.
        string symbol = mapping.KernelSymbol.Length > 0 ? mapping.KernelSymbol : "_text";
        if (!KernelSymbols.TryGetValue(symbol, out BinaryAddress linked))
            linked = KernelSymbols["_text"];
        ulong recorded = mapping.Offset.Value >> 63 != 0 ? mapping.Offset.Value : mapping.Start.Value;
        return new(unchecked(mapping.Start.Value - (recorded - linked.Value)));
    }

    /// <summary>Whether a path is one of the binary by its file name.</summary>
    public bool HasName(string path)
    {
        string name = System.IO.Path.GetFileName(path);
        foreach (string known in Names)
            if (name == known)
                return true;
        if (KernelModuleName is not null && Mapping.KernelModuleOf(path) == KernelModuleName)
            return true;
        return RecordedAs is not null && IsNameOf(RecordedAs, path);
    }

    private bool IsRecordedAs(Mapping mapping) =>
        (BuildId.TryParse(RecordedAs, out BuildId id) && id.IsSameAs(mapping.BuildId))
        || ((mapping.BuildId.IsEmpty || !HasOwnBuildId) && (mapping.Path == RecordedAs || IsNameOf(RecordedAs!, mapping.FilePath)));

    private static bool IsNameOf(string said, string path) =>
        said == path || (!said.Contains('/') && said == System.IO.Path.GetFileName(path));

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
            ulong end = Math.Min(
                PairCounts.Saturating(offset.Value, length), PairCounts.Saturating(segment.Offset.Value, segment.FileSize));
            if (end <= start || (best.IsExecutable && !segment.IsExecutable))
                continue;
            if (end - start > shown || (segment.IsExecutable && !best.IsExecutable))
                (best, shown) = (segment, end - start);
        }
        return shown == 0 ? null : new(best.Address.Value + (offset.Value - best.Offset.Value));
    }

    /// <summary>The ELF virtual address of code that lies at a place in the file; null when there is none.</summary>
    public BinaryAddress? CodeAt(FileOffset offset)
    {
        foreach (LoadSegment segment in Segments)
            if (segment.IsExecutable && unchecked(offset.Value - segment.Offset.Value) is var at && at < segment.FileSize)
                return new(segment.Address.Value + at);
        return null;
    }

    /// <summary>Where the binary is linked to begin: the page of its lowest executable segment.</summary>
    public BinaryAddress PreferredBase =>
        new((Segments.Where(static s => s.IsExecutable).Select(static s => s.Address.Value).DefaultIfEmpty(0UL).Min()) & ~0xfffUL);

    /// <summary>
    /// The mappings of a binary that runs where it is linked to run, for every process without mappings of its own: what text
    /// without mappings is read by.
    /// </summary>
    public IEnumerable<Mapping> MappingsAsLinked()
    {
        foreach (LoadSegment segment in Segments)
            if (segment.IsExecutable)
                yield return new Mapping(
                    BranchAggregator.AnyProcess, new(segment.Address.Value), segment.FileSize, segment.Offset, Path, BuildId);
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
