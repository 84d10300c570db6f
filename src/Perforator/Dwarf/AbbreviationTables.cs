using Perforator.Bytes;

namespace Perforator.Dwarf;

/// <summary>The tables of one .debug_abbrev section. Units may share one: all units of an LTO link do.</summary>
/// <param name="section">.debug_abbrev.</param>
internal sealed class AbbreviationTables(ReadOnlyMemory<byte> section)
{
    private readonly Dictionary<(ulong, FormSizes), AbbreviationTable> tables = [];

    // Tables follow each other, so parsing all of them costs the section's length; damaged ones may overlap and cost without end.
    private long budget = (1 << 16) + 8L * section.Length;

    public ReadOnlyMemory<byte> Section => section;

    /// <summary>The table at an offset.</summary>
    public AbbreviationTable At(ulong offset, FormSizes sizes)
    {
        if (!tables.TryGetValue((offset, sizes), out AbbreviationTable? table))
            tables.Add((offset, sizes), table = new AbbreviationTable(this, offset, sizes));
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
