using Perforator.Bytes;

namespace Perforator.Dwarf;

/// <summary>The line tables of one .debug_line section, each run when first asked for. Units may share one.</summary>
/// <param name="section">.debug_line.</param>
/// <param name="isCode">Whether an address is in code; other sequences are of discarded functions.</param>
/// <param name="damaged">Called when a program breaks off; the rows before the damage are used.</param>
internal sealed class LineTables(ReadOnlyMemory<byte> section, Func<ulong, bool> isCode, Action<MalformedInputException> damaged)
{
    private readonly Dictionary<ulong, LineTable> tables = [];

    // Programs follow each other, so running all of them costs the section's length; damaged ones may overlap and cost without end.
    private long budget = (1 << 16) + 2L * section.Length;

    /// <summary>The table of the program at an offset.</summary>
    /// <exception cref="MalformedInputException">The program's header is damaged.</exception>
    public LineTable At(ulong offset, byte addressSize)
    {
        if (tables.TryGetValue(offset, out LineTable? table))
            return table;
        if (budget < 0)
            throw new MalformedInputException("line programs overlap", ".debug_line", offset);
        table = LineProgram.Run(section.Span, offset, addressSize, isCode, out ulong size, out MalformedInputException? damage);
        budget -= (long)size;
        tables.Add(offset, table);
        if (damage is not null)
            damaged(damage);
        return table;
    }
}
