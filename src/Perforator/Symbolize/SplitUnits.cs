using Perforator.Bytes;
using Perforator.Dwarf;
using Perforator.Elf;

namespace Perforator.Symbolize;

/// <summary>Finds the split units (-gsplit-dwarf) that skeleton units refer to: in a package file (.dwp) or in .dwo files.</summary>
internal sealed class SplitUnits : IDisposable
{
    public const string Missing = "compile unit whose split debug info (.dwo or .dwp file) was not found: its inlined calls are unknown";

    private readonly ElfFile binary;
    private readonly IDebugFiles debugFiles;
    private readonly LossCounts losses;
    private readonly Dictionary<(string Folder, string Name), List<DwarfUnits>> files = [];
    private readonly ElfFile? package;
    private readonly PackageIndex? packageIndex;

    /// <param name="binary">The binary.</param>
    /// <param name="source">The file with its debug info: itself, or a separate one.</param>
    /// <param name="debugFiles">Where split units and packages of them are looked for.</param>
    /// <param name="losses">Where missing and damaged files are counted.</param>
    public SplitUnits(ElfFile binary, ElfFile source, IDebugFiles debugFiles, LossCounts losses)
    {
        (this.binary, this.debugFiles, this.losses) = (binary, debugFiles, losses);
        package = debugFiles.FindPackage(binary, losses) ?? (source != binary ? debugFiles.FindPackage(source, losses) : null);
        if (package is null)
            return;
        try
        {
            packageIndex = PackageIndex.Parse(package.SectionData(".debug_cu_index"));
        }
        catch (MalformedInputException e)
        {
            losses.Add($"damaged package file {package.Path}: {e.Message}");
        }
    }

    /// <summary>The split unit of a skeleton, joined to it; null, and counted, when it is not found.</summary>
    /// <exception cref="MalformedInputException">The skeleton or the split unit is damaged.</exception>
    public DwarfUnit? Find(DwarfUnit skeleton)
    {
        ulong id = skeleton.DwoId;
        foreach (DwarfUnits units in Candidates(skeleton))
        {
            foreach (DwarfUnit unit in units.All)
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

    private IEnumerable<DwarfUnits> Candidates(DwarfUnit skeleton)
    {
        if (packageIndex?.Find(skeleton.DwoId, ".debug_info") is not null)
            yield return DwarfUnits.Read(new DwarfSections(name => Packaged(skeleton.DwoId, name)));
        foreach (DwarfUnits units in Load(skeleton.Attributes.CompilationFolder, skeleton.Attributes.DwoName))
            yield return units;
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

    private List<DwarfUnits> Load(string compilationFolder, string name)
    {
        if (files.TryGetValue((compilationFolder, name), out List<DwarfUnits>? known))
            return known;
        List<DwarfUnits> units = [];
        foreach (ElfFile file in debugFiles.FindSplitUnits(binary, compilationFolder, name, losses))
        {
            try
            {
                units.Add(DwarfUnits.Read(new DwarfSections(section => file.SectionData(section + ".dwo"))));
            }
            catch (MalformedInputException e)
            {
                losses.Add($"damaged or unreadable split debug info {file.Path}: {e.Message}");
            }
        }
        files.Add((compilationFolder, name), units);
        return units;
    }
}
