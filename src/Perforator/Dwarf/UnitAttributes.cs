using Perforator.Bytes;
using static Perforator.Dwarf.DwarfConstants;

namespace Perforator.Dwarf;

/// <summary>The attributes of a unit's first entry that the reader uses.</summary>
internal sealed class UnitAttributes
{
    private DwarfUnit unit = null!;
    private AttributeValue producer, name, compilationFolder, dwoName, lowPc, highPc, ranges;
    private ulong? strOffsetsBase, addrBase, rngListsBase;

    /// <summary>DW_AT_low_pc, or 0.</summary>
    public ulong LowPc => unit.Address(lowPc) ?? 0;

    /// <summary>
    /// Whether the unit has code but does not say where: DW_AT_low_pc alone, as strict DWARF 2 has it for code in several sections.
    /// </summary>
    public bool HasUnknownRanges => lowPc.IsPresent && !highPc.IsPresent && !ranges.IsPresent && LineProgram is not null;

    /// <summary>DW_AT_stmt_list: offset of the line program in .debug_line; null when there is none.</summary>
    public ulong? LineProgram { get; private set; }

    /// <summary>DW_AT_GNU_dwo_id, or 0.</summary>
    public ulong GnuDwoId { get; private set; }

    /// <summary>DW_AT_GNU_ranges_base, or 0.</summary>
    public ulong GnuRangesBase { get; private set; }

    /// <summary>Offset in .debug_str_offsets of the unit's element 0.</summary>
    /// <remarks>A split unit of DWARF 5 has one table behind a header; the GNU form of DWARF 4 has no header.</remarks>
    public ulong StrOffsetsBase => strOffsetsBase ?? (unit.Sizes.Version < 5 ? 0 : unit.Sizes.OffsetSize == 8 ? 16UL : 8UL);

    /// <summary>Offset in .debug_addr of the unit's element 0.</summary>
    public ulong AddrBase => addrBase ?? (unit.Sizes.Version < 5 ? 0 : 8UL);

    /// <summary>Offset in .debug_rnglists of the unit's table of list offsets.</summary>
    public ulong RngListsBase => rngListsBase ?? (unit.Sizes.OffsetSize == 8 ? 20UL : 12UL);

    /// <summary>DW_AT_name; empty when there is none or it cannot be read.</summary>
    public string Name => Text(name);

    /// <summary>DW_AT_producer, the compiler with its version; empty when there is none or it cannot be read.</summary>
    public string Producer => Text(producer);

    /// <summary>DW_AT_comp_dir; empty when there is none or it cannot be read.</summary>
    public string CompilationFolder => Text(compilationFolder);

    /// <summary>DW_AT_dwo_name or DW_AT_GNU_dwo_name; empty when the unit is not a skeleton.</summary>
    public string DwoName => Text(dwoName);

    /// <summary>Reads the first entry of a unit.</summary>
    /// <exception cref="MalformedInputException">The entry is damaged.</exception>
    public static UnitAttributes Read(DwarfUnit unit)
    {
        DieReader reader = new(unit, unit.FirstEntry);
        if (!reader.Next() || reader.Abbreviation is not { } abbreviation)
            throw new MalformedInputException("the unit has no entries", ".debug_info", unit.Offset);
        UnitAttributes result = new() { unit = unit };
        foreach (AttributeSpec attribute in abbreviation.Attributes)
            result.Take(attribute.Name, reader.Read(attribute));
        return result;
    }

    /// <summary>Adds the unit's address ranges.</summary>
    /// <exception cref="MalformedInputException">A range list or the address table is damaged.</exception>
    public void ReadRanges(List<AddressRange> found) => unit.ReadRanges(lowPc, highPc, ranges, found);

    private void Take(ushort attribute, AttributeValue value)
    {
        switch (attribute)
        {
            case DW_AT_name: name = value; break;
            case DW_AT_producer: producer = value; break;
            case DW_AT_comp_dir: compilationFolder = value; break;
            case DW_AT_dwo_name or DW_AT_GNU_dwo_name: dwoName = value; break;
            case DW_AT_low_pc: lowPc = value; break;
            case DW_AT_high_pc: highPc = value; break;
            case DW_AT_ranges: ranges = value; break;
            case DW_AT_stmt_list: LineProgram = value.Raw; break;
            case DW_AT_str_offsets_base: strOffsetsBase = value.Raw; break;
            case DW_AT_addr_base or DW_AT_GNU_addr_base: addrBase = value.Raw; break;
            case DW_AT_rnglists_base: rngListsBase = value.Raw; break;
            case DW_AT_GNU_ranges_base: GnuRangesBase = value.Raw; break;
            case DW_AT_GNU_dwo_id: GnuDwoId = value.Raw; break;
        }
    }

    private string Text(AttributeValue value)
    {
        try
        {
            return unit.Text(value) ?? "";
        }
        catch (MalformedInputException)
        {
            // Names of units and folders are for people and for finding files; without one the unit itself is still good.
            return "";
        }
    }
}
