using Perforator.Bytes;

namespace Perforator.Dwarf;

/// <summary>The tables of one .debug_abbrev section. Units may share one: all units of an LTO link do.</summary>
/// <param name="section">.debug_abbrev.</param>
internal sealed class AbbreviationTables(ReadOnlyMemory<byte> section)
{
    // By sizes, of which a file has one or two, and offset; numbers, as comparing pairs would have to be compiled at run time.
    private readonly Dictionary<int, Dictionary<ulong, AbbreviationTable>> tables = [];

    // Tables follow each other, so parsing all of them costs the section's length; damaged ones may overlap and cost without end.
    private long budget = (1 << 16) + 8L * section.Length;

    public ReadOnlyMemory<byte> Section => section;

    /// <summary>The table at an offset.</summary>
    public AbbreviationTable At(ulong offset, FormSizes sizes)
    {
        int key = sizes.Version << 16 | sizes.AddressSize << 8 | sizes.OffsetSize;
        if (!tables.TryGetValue(key, out Dictionary<ulong, AbbreviationTable>? ofSizes))
            tables.Add(key, ofSizes = []);
        if (!ofSizes.TryGetValue(offset, out AbbreviationTable? table))
            ofSizes.Add(offset, table = new AbbreviationTable(this, offset, sizes));
        return table;
    }

    /// <summary>Accounts for bytes parsed.</summary>
    /// <exception cref="MalformedInputException">More were parsed than tables that do not overlap can have.</exception>
    public void Spend(ulong bytes)
    {
        budget -= (long)bytes;
        if (budget < 0)
            throw new MalformedInputException("abbreviation tables overlap", ".debug_abbrev", 0);
    }
}
