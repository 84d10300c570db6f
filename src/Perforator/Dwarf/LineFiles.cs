using Perforator.Bytes;

namespace Perforator.Dwarf;

/// <summary>
/// The names of a line program's file table (DWARF 5, section 6.2.4.1; DWARF 4, section 6.2.4), which DW_AT_decl_file counts in.
/// </summary>
internal sealed class LineFiles
{
    private readonly DwarfUnit unit;
    private readonly List<string> folders = [];
    private readonly List<(string Name, ulong Folder)> files = [];
    private ushort version;

    private LineFiles(DwarfUnit unit) => this.unit = unit;

    /// <summary>The table of a unit; a split unit counts in that of the linked file's unit, as LLVM does.</summary>
    /// <exception cref="MalformedInputException">The header is damaged.</exception>
    public static LineFiles Of(DwarfUnit unit)
    {
        unit = unit.Skeleton ?? unit;
        LineFiles result = new(unit);
        if (unit.Attributes.LineProgram is not { } at || at >= (ulong)unit.Sections.Line.Length)
            return result;
        SpanReader reader = new(unit.Sections.Line.Span, ".debug_line");
        reader.Seek(at);
        ulong length = InitialLength.Read(ref reader, out byte offsetSize);
        SpanReader program = reader.Slice(length, ".debug_line program");
        result.version = LineHeader.Read(ref program, unit.Sizes.AddressSize, offsetSize, result).Version;
        return result;
    }

    /// <summary>
    /// A file's path as the compiler had it, absolute where the unit tells its folder; null when there is none of this number.
    /// </summary>
    public string? PathOf(ulong file)
    {
        // Files count from 1 before DWARF 5; folder 0 is the one that was compiled in.
        bool isOld = version < 5;
        if (isOld)
            file--;
        if (file >= (ulong)files.Count || files[(int)file] is not { Name.Length: > 0 } found)
            return null;
        ulong folder = isOld ? found.Folder - 1 : found.Folder;
        return Path.Combine(unit.Attributes.CompilationFolder, folder < (ulong)folders.Count ? folders[(int)folder] : "", found.Name);
    }

    internal void AddFolder(string name) => folders.Add(name);

    internal void AddFile(string name, ulong folder) => files.Add((name, folder));

    internal string? Text(AttributeValue value) => unit.Text(value);
}
