using Perforator.Bytes;
using static Perforator.Dwarf.DwarfConstants;

namespace Perforator.Dwarf;

/// <summary>
/// Walks the debugging information entries of one unit in the order they stand in. After <see cref="Next"/>, read or skip all
/// attributes of the entry before the next call.
/// </summary>
internal ref struct DieReader
{
    private readonly FormSizes sizes;
    private readonly AbbreviationTable abbreviations;
    private SpanReader reader;

    /// <param name="offset">Offset in the section of the first entry to read.</param>
    /// <exception cref="MalformedInputException">The offset is not within the unit's entries.</exception>
    public DieReader(DwarfUnit unit, ulong offset)
    {
        sizes = unit.Sizes;
        abbreviations = unit.Abbreviations;
        reader = new SpanReader(unit.Units.Data.Span[..(int)unit.End], unit.Units.SectionName);
        if (offset < unit.FirstEntry)
            throw reader.Malformed($"0x{offset:x} is not an entry of the unit at 0x{unit.Offset:x}");
        reader.Seek(offset);
    }

    /// <summary>Offset of the current entry in the section.</summary>
    public ulong Offset { get; private set; }

    /// <summary>The current entry's shape; null for the null entry that ends a list of children.</summary>
    public Abbreviation? Abbreviation { get; private set; }

    /// <summary>Moves to the next entry; false at the end of the unit.</summary>
    public bool Next()
    {
        if (reader.AtEnd)
            return false;
        Offset = (ulong)reader.Position;
        ulong code = reader.ReadULeb128();
        Abbreviation = code == 0 ? null : abbreviations[code];
        return true;
    }

    /// <summary>Moves past the current entry's attributes.</summary>
    public void SkipAttributes()
    {
        if (Abbreviation is not { } abbreviation)
            return;
        if (abbreviation.FixedSize >= 0)
        {
            reader.Skip((ulong)abbreviation.FixedSize);
            return;
        }
        foreach (AttributeSpec attribute in abbreviation.Attributes)
        {
            if (attribute.Size >= 0)
                reader.Skip((ulong)attribute.Size);
            else
                Read(attribute);
        }
    }

    /// <summary>Reads the value of the next attribute.</summary>
    public AttributeValue Read(in AttributeSpec attribute)
    {
        ushort form = attribute.Form;
        switch (attribute.Size)
        {
            case 1:
                return new(form, reader.ReadU8());
            case 2:
                return new(form, reader.ReadU16());
            case 4:
                return new(form, reader.ReadU32());
            case 8:
                return new(form, reader.ReadU64());
        }
        if (form == DW_FORM_implicit_const)
            return new(form, (ulong)attribute.ImplicitConst);
        if (form == DW_FORM_indirect)
        {
            ulong actual = reader.ReadULeb128();
            if (actual is DW_FORM_indirect or DW_FORM_implicit_const or > ushort.MaxValue)
                throw reader.Malformed($"indirect form 0x{actual:x}");
            form = (ushort)actual;
        }
        switch (form)
        {
            case DW_FORM_flag_present:
                return new(form, 1);
            case DW_FORM_udata or DW_FORM_ref_udata or DW_FORM_strx or DW_FORM_addrx or DW_FORM_loclistx or DW_FORM_rnglistx
                or DW_FORM_GNU_addr_index or DW_FORM_GNU_str_index:
                return new(form, reader.ReadULeb128());
            case DW_FORM_sdata:
                return new(form, (ulong)reader.ReadSLeb128());
            case DW_FORM_string:
                ulong text = (ulong)reader.Position;
                reader.ReadCStringBytes();
                return new(form, text);
            case DW_FORM_block or DW_FORM_exprloc:
                reader.Skip(reader.ReadULeb128());
                return new(form, 0);
            case DW_FORM_block1:
                reader.Skip(reader.ReadU8());
                return new(form, 0);
            case DW_FORM_block2:
                reader.Skip(reader.ReadU16());
                return new(form, 0);
            case DW_FORM_block4:
                reader.Skip(reader.ReadU32());
                return new(form, 0);
            case DW_FORM_data16:
                reader.Skip(16);
                return new(form, 0);
            default:
                int size = sizes.Of(form);
                return size > 0 ? new(form, reader.ReadUnsigned(size)) : throw reader.Malformed($"unknown form 0x{form:x}");
        }
    }
}
