namespace Perforator.Dwarf;

/// <summary>The debug sections of one file (or of one unit of a package file), each fetched when first needed.</summary>
internal sealed class DwarfSections
{
    private readonly Lazy<ReadOnlyMemory<byte>> info, abbrev, line, str, lineStr, strOffsets, addr, ranges, rngLists, aranges, types;

    /// <param name="section">Gives the contents of a section by its name in a non-split file (".debug_info"); empty when there is
    /// none.</param>
    public DwarfSections(Func<string, ReadOnlyMemory<byte>> section)
    {
        info = Of(".debug_info");
        abbrev = Of(".debug_abbrev");
        line = Of(".debug_line");
        str = Of(".debug_str");
        lineStr = Of(".debug_line_str");
        strOffsets = Of(".debug_str_offsets");
        addr = Of(".debug_addr");
        ranges = Of(".debug_ranges");
        rngLists = Of(".debug_rnglists");
        aranges = Of(".debug_aranges");
        types = Of(".debug_types");

        Lazy<ReadOnlyMemory<byte>> Of(string name) => new(() => section(name), isThreadSafe: false);
    }

    public ReadOnlyMemory<byte> Info => info.Value;
    public ReadOnlyMemory<byte> Abbrev => abbrev.Value;
    public ReadOnlyMemory<byte> Line => line.Value;
    public ReadOnlyMemory<byte> Str => str.Value;
    public ReadOnlyMemory<byte> LineStr => lineStr.Value;
    public ReadOnlyMemory<byte> StrOffsets => strOffsets.Value;
    public ReadOnlyMemory<byte> Addr => addr.Value;
    public ReadOnlyMemory<byte> Ranges => ranges.Value;
    public ReadOnlyMemory<byte> RngLists => rngLists.Value;
    public ReadOnlyMemory<byte> Aranges => aranges.Value;
    public ReadOnlyMemory<byte> Types => types.Value;
}
