using Perforator.Bytes;
using Perforator.Dwarf;
using Perforator.Elf;

namespace Perforator.Symbolize;

/// <summary>Finds the split units (-gsplit-dwarf) that skeleton units refer to: in a package file (.dwp) or in .dwo files.</summary>
internal sealed class SplitUnits : IDisposable
{
    public const string Missing = "compile unit whose split debug info (.dwo or .dwp file) was not found: its inlined calls are unknown";

    private readonly string folder;
    private readonly LossCounts losses;
    private readonly Dictionary<string, DwarfUnits?> files = new(StringComparer.Ordinal);
    private readonly ElfFile? package;
    private readonly PackageIndex? packageIndex;

    /// <param name="linked">Paths of the linked files; a package is looked for as each with ".dwp" appended.</param>
    /// <param name="losses">Where missing and damaged files are counted.</param>
    public SplitUnits(IReadOnlyList<string> linked, LossCounts losses)
    {
        this.losses = losses;
        folder = Path.GetDirectoryName(Path.GetFullPath(linked[0]))!;
        foreach (string path in linked)
        {
            if (package is not null || !DebugFiles.IsRegularFile(path + ".dwp"))
                continue;
            try
            {
                package = ElfFile.Load(path + ".dwp");
                packageIndex = PackageIndex.Parse(package.SectionData(".debug_cu_index"));
            }
            catch (Exception e) when (e is MalformedInputException or UserErrorException)
            {
                losses.Add($"damaged package file {path}.dwp: {e.Message}");
            }
        }
    }

    /// <summary>The split unit of a skeleton, joined to it; null, and counted, when it is not found.</summary>
    /// <exception cref="MalformedInputException">The skeleton or the split unit is damaged.</exception>
    public DwarfUnit? Find(DwarfUnit skeleton)
    {
        ulong id = skeleton.DwoId;
        foreach (DwarfUnits? units in Candidates(skeleton))
        {
            foreach (DwarfUnit unit in units?.All ?? [])
            {
                if (unit.DwoId != id)
                    continue;
                unit.Skeleton = skeleton;
                return unit;
            }
        }
        losses.Add(Missing);
        return null;
    }

    public void Dispose() => package?.Dispose();

    private IEnumerable<DwarfUnits?> Candidates(DwarfUnit skeleton)
    {
        if (packageIndex?.Find(skeleton.DwoId, ".debug_info") is not null)
            yield return DwarfUnits.Read(new DwarfSections(name => Packaged(skeleton.DwoId, name)));
        string name = skeleton.Attributes.DwoName;
        // In the order of likelihood: where the compiler wrote it, then beside the binary, where builds are often copied to.
        yield return Load(Path.Combine(skeleton.Attributes.CompilationFolder, name));
        yield return Load(Path.Combine(folder, name));
        yield return Load(Path.Combine(folder, Path.GetFileName(name)));
    }

    private ReadOnlyMemory<byte> Packaged(ulong id, string name)
    {
        ReadOnlyMemory<byte> whole = package!.SectionData(name + ".dwo");
        // Strings are shared by all units of a package.
        if (name == ".debug_str")
            return whole;
        if (packageIndex!.Find(id, name) is not { } piece)
            return default;
        if ((ulong)piece.Offset + piece.Length > (ulong)whole.Length)
            throw new MalformedInputException("a unit's piece is beyond the end", name + ".dwo", piece.Offset);
        return whole.Slice((int)piece.Offset, (int)piece.Length);
    }

    private DwarfUnits? Load(string path)
    {
        if (files.TryGetValue(path, out DwarfUnits? known))
            return known;
        DwarfUnits? units = null;
        try
        {
            if (DebugFiles.IsRegularFile(path))
            {
                // Read whole: they are many and small, and open files are few.
                ElfFile file = ElfFile.Parse(File.ReadAllBytes(path), path);
                units = DwarfUnits.Read(new DwarfSections(name => file.SectionData(name + ".dwo")));
            }
        }
        catch (Exception e) when (e is MalformedInputException or IOException or UnauthorizedAccessException)
        {
            losses.Add($"damaged or unreadable split debug info {path}: {e.Message}");
        }
        files.Add(path, units);
        return units;
    }
}
