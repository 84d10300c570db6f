using Perforator.Bytes;

namespace Perforator.Dwarf;

/// <summary>
/// The unit index of a package file (.dwp): which pieces of its sections belong to a split unit. Version 5 is DWARF 5, section 7.3.5;
/// version 2 is GNU's for DWARF 4 (gcc.gnu.org/wiki/DebugFissionDWP).
/// </summary>
internal sealed class PackageIndex
{
    private readonly ReadOnlyMemory<byte> section;
    private readonly string[] columns;
    private readonly uint slots;
    private readonly int signatures, rows, offsets, lengths;
    private readonly uint units;

    private PackageIndex(ReadOnlyMemory<byte> section, string[] columns, uint units, uint slots, int signatures)
    {
        this.section = section;
        this.columns = columns;
        this.units = units;
        this.slots = slots;
        this.signatures = signatures;
        rows = signatures + 8 * (int)slots;
        offsets = rows + 4 * (int)slots + 4 * columns.Length;
        lengths = offsets + 4 * (int)units * columns.Length;
    }

    /// <summary>Parses .debug_cu_index.</summary>
    /// <exception cref="MalformedInputException">Damaged or of an unknown version.</exception>
    public static PackageIndex Parse(ReadOnlyMemory<byte> section)
    {
        SpanReader reader = new(section.Span, ".debug_cu_index");
        uint version = reader.ReadU32();
        // Version 5 has only 16 bits, with 16 bits of padding behind them.
        if (version is not (2 or 5))
            throw reader.Malformed($"version {version}");
        uint columnCount = reader.ReadU32();
        uint units = reader.ReadU32();
        uint slots = reader.ReadU32();
        int signatures = reader.Position;
        reader.Skip(12UL * slots);
        if (columnCount > 16)
            throw reader.Malformed($"{columnCount} sections");
        string[] columns = new string[columnCount];
        for (int i = 0; i < columns.Length; i++)
            columns[i] = ColumnName(version, reader.ReadU32());
        reader.Skip(8UL * units * columnCount);
        return new PackageIndex(section, columns, units, slots, signatures);
    }

    /// <summary>
    /// Where a split unit's piece of a section lies, by the section's name without ".dwo"; null when the package has no such unit
    /// or the section no piece of it.
    /// </summary>
    public (uint Offset, uint Length)? Find(ulong dwoId, string name)
    {
        int column = Array.IndexOf(columns, name);
        if (column < 0 || slots == 0)
            return null;
        // Open addressing, as the specification has it; slots is a power of two.
        uint mask = slots - 1;
        uint slot = (uint)dwoId & mask;
        uint step = ((uint)(dwoId >> 32) & mask) | 1;
        for (uint tried = 0; tried < slots && slot < slots; tried++, slot = (slot + step) & mask)
        {
            uint row = At(rows + 4 * (int)slot);
            if (row == 0)
                return null;
            if ((At(signatures + 8 * (int)slot) | (ulong)At(signatures + 8 * (int)slot + 4) << 32) != dwoId)
                continue;
            if (row > units)
                throw new MalformedInputException($"row {row} of {units}", ".debug_cu_index", slot);
            int cell = 4 * (((int)row - 1) * columns.Length + column);
            return (At(offsets + cell), At(lengths + cell));
        }
        return null;
    }

    private uint At(int position)
    {
        SpanReader reader = new(section.Span, ".debug_cu_index");
        reader.Seek((ulong)position);
        return reader.ReadU32();
    }

    private static string ColumnName(uint version, uint id) => (version, id) switch
    {
        (_, 1) => ".debug_info",
        (_, 3) => ".debug_abbrev",
        (_, 4) => ".debug_line",
        (_, 6) => ".debug_str_offsets",
        (5, 8) => ".debug_rnglists",
        _ => "",
    };
}
