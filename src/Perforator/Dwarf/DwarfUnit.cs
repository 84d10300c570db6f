using System.Text;
using Perforator.Bytes;
using static Perforator.Dwarf.DwarfConstants;

namespace Perforator.Dwarf;

/// <summary>
/// One unit of .debug_info or .debug_types: its header, the attributes of its first entry, and what resolving attribute values needs.
/// </summary>
internal sealed class DwarfUnit
{
    /// <summary>Longer names are cut to nothing: no mangled name comes near, and many entries may share one.</summary>
    private const int MaxStringLength = 1 << 16;

    private readonly ulong abbrevOffset;
    private AbbreviationTable? abbreviations;
    private UnitAttributes? attributes;
    private long rangeBudget;

    private DwarfUnit(
        DwarfUnits units, ulong offset, ulong end, FormSizes sizes, byte type, ulong abbrevOffset, ulong dwoId, ulong firstEntry)
    {
        Units = units;
        Offset = offset;
        End = end;
        Sizes = sizes;
        Type = type;
        this.abbrevOffset = abbrevOffset;
        HeaderDwoId = dwoId;
        FirstEntry = firstEntry;
    }

    /// <summary>The units of the same .debug_info section.</summary>
    public DwarfUnits Units { get; }

    /// <summary>The sections that the unit's offsets mean.</summary>
    public DwarfSections Sections => Units.Sections;

    /// <summary>Offset of the header in the section.</summary>
    public ulong Offset { get; }

    /// <summary>Offset one past the unit's last byte.</summary>
    public ulong End { get; }

    /// <summary>Version, address size and offset size.</summary>
    public FormSizes Sizes { get; }

    /// <summary>DW_UT_*; DW_UT_compile before DWARF 5, whatever it really is.</summary>
    public byte Type { get; }

    /// <summary>Offset of the first entry in the section.</summary>
    public ulong FirstEntry { get; }

    /// <summary>For a type unit: what entries elsewhere refer to its type by (DW_FORM_ref_sig8).</summary>
    public ulong TypeSignature { get; private init; }

    /// <summary>
    /// Offset in the section of the type that a type unit describes; null when it is no type unit or the offset is outside it.
    /// </summary>
    public ulong? TypeEntry { get; private init; }

    /// <summary>For the unit of a .dwo or .dwp file: the unit of the linked file that refers to it and owns the addresses.</summary>
    public DwarfUnit? Skeleton { get; set; }

    private ulong HeaderDwoId { get; }

    public AbbreviationTable Abbreviations => abbreviations ??= Units.Abbreviations.At(abbrevOffset, Sizes);

    /// <summary>The attributes of the unit's first entry.</summary>
    /// <exception cref="MalformedInputException">The entry is damaged.</exception>
    public UnitAttributes Attributes => attributes ??= UnitAttributes.Read(this);

    /// <summary>The id that joins a skeleton unit and its split unit; 0 when it is neither.</summary>
    public ulong DwoId => HeaderDwoId != 0 ? HeaderDwoId : Attributes.GnuDwoId;

    /// <summary>What range lists' offsets are relative to, until the list says otherwise.</summary>
    public ulong BaseAddress => (Skeleton ?? this).Attributes.LowPc;

    /// <summary>Parses the unit header at the reader's cursor and moves past the unit.</summary>
    /// <exception cref="MalformedInputException">The header is damaged or of an unknown version.</exception>
    public static DwarfUnit Parse(DwarfUnits units, ref SpanReader reader)
    {
        ulong offset = (ulong)reader.Position;
        ulong length = InitialLength.Read(ref reader, out byte offsetSize);
        ulong bodyStart = (ulong)reader.Position;
        SpanReader body = reader.Slice(length, $"{units.SectionName} unit header");
        ulong end = (ulong)reader.Position;
        ushort version = body.ReadU16();
        if (version is < 2 or > 5)
            throw body.Malformed($"DWARF version {version}");
        byte type = DW_UT_compile, addressSize;
        ulong abbrevOffset, dwoId = 0, signature = 0, typeOffset = 0;
        if (version >= 5)
        {
            type = body.ReadU8();
            addressSize = body.ReadU8();
            abbrevOffset = body.ReadUnsigned(offsetSize);
            if (type is DW_UT_skeleton or DW_UT_split_compile)
                dwoId = body.ReadU64();
            else if (type is DW_UT_type or DW_UT_split_type)
                (signature, typeOffset) = (body.ReadU64(), body.ReadUnsigned(offsetSize));
        }
        else
        {
            abbrevOffset = body.ReadUnsigned(offsetSize);
            addressSize = body.ReadU8();
            if (units.IsTypes)
                (type, signature, typeOffset) = (DW_UT_type, body.ReadU64(), body.ReadUnsigned(offsetSize));
        }
        if (addressSize is not (4 or 8))
            throw body.Malformed($"addresses of {addressSize} bytes");
        ulong firstEntry = bodyStart + (ulong)body.Position;
        bool hasType = type is DW_UT_type or DW_UT_split_type && typeOffset < end - offset && offset + typeOffset >= firstEntry;
        return new DwarfUnit(units, offset, end, new(version, addressSize, offsetSize), type, abbrevOffset, dwoId, firstEntry)
        {
            TypeSignature = signature,
            TypeEntry = hasType ? offset + typeOffset : null,
        };
    }

    /// <summary>The value as an address, or null when it is not one.</summary>
    public ulong? Address(AttributeValue value) => value.Form switch
    {
        DW_FORM_addr => value.Raw,
        DW_FORM_addrx or DW_FORM_addrx1 or DW_FORM_addrx2 or DW_FORM_addrx3 or DW_FORM_addrx4 or DW_FORM_GNU_addr_index =>
            IndexedAddress(value.Raw),
        _ => null,
    };

    /// <summary>The value as an unsigned constant, or null when it is not one.</summary>
    public static ulong? Constant(AttributeValue value) => value.Form switch
    {
        DW_FORM_data1 or DW_FORM_data2 or DW_FORM_data4 or DW_FORM_data8 or DW_FORM_udata or DW_FORM_implicit_const => value.Raw,
        DW_FORM_sdata when (long)value.Raw >= 0 => value.Raw,
        _ => null,
    };

    /// <summary>The address at an index of the unit's part of .debug_addr.</summary>
    /// <exception cref="MalformedInputException">The index is beyond the section.</exception>
    public ulong IndexedAddress(ulong index)
    {
        DwarfUnit owner = Skeleton ?? this;
        SpanReader reader = new(owner.Sections.Addr.Span, ".debug_addr");
        reader.Seek(Element(owner.Attributes.AddrBase, index, Sizes.AddressSize, in reader));
        return reader.ReadUnsigned(Sizes.AddressSize);
    }

    /// <summary>The value as text, or null when it is none.</summary>
    /// <exception cref="MalformedInputException">It lies beyond its section.</exception>
    public string? Text(AttributeValue value)
    {
        switch (value.Form)
        {
            case DW_FORM_string:
                return TextAt(Units.Data, value.Raw, Units.SectionName);
            case DW_FORM_strp:
                return TextAt(Sections.Str, value.Raw, ".debug_str");
            case DW_FORM_line_strp:
                return TextAt(Sections.LineStr, value.Raw, ".debug_line_str");
            case DW_FORM_strx or DW_FORM_strx1 or DW_FORM_strx2 or DW_FORM_strx3 or DW_FORM_strx4 or DW_FORM_GNU_str_index:
                SpanReader reader = new(Sections.StrOffsets.Span, ".debug_str_offsets");
                reader.Seek(Element(Attributes.StrOffsetsBase, value.Raw, Sizes.OffsetSize, in reader));
                return TextAt(Sections.Str, reader.ReadUnsigned(Sizes.OffsetSize), ".debug_str");
            case DW_FORM_strp_sup or DW_FORM_GNU_strp_alt:
                return Units.Supplement is null ? null : TextAt(Units.Supplement.Sections.Str, value.Raw, "supplementary .debug_str");
            default:
                return null;
        }
    }

    /// <summary>
    /// The entry that the value refers to, in this unit, another one, a type unit or the supplementary file; null when it is no
    /// reference or one to nowhere.
    /// </summary>
    public (DwarfUnit Unit, ulong Offset)? Reference(AttributeValue value)
    {
        switch (value.Form)
        {
            case DW_FORM_ref1 or DW_FORM_ref2 or DW_FORM_ref4 or DW_FORM_ref8 or DW_FORM_ref_udata:
                ulong offset = unchecked(Offset + value.Raw);
                return offset >= FirstEntry && offset < End ? (this, offset) : null;
            case DW_FORM_ref_sig8:
                return Units.TypeUnit(value.Raw) is { TypeEntry: { } entry } typeUnit ? (typeUnit, entry) : null;
            case DW_FORM_ref_addr when Units.IsTypes:
                return null;
            case DW_FORM_ref_addr:
                return Units.Holding(value.Raw) is { } unit ? (unit, value.Raw) : null;
            case DW_FORM_GNU_ref_alt or DW_FORM_ref_sup4 or DW_FORM_ref_sup8:
                return Units.Supplement?.Holding(value.Raw) is { } shared ? (shared, value.Raw) : null;
            default:
                return null;
        }
    }

    /// <summary>Adds the non-empty address ranges of an entry with these attributes: low and high, or a range list.</summary>
    /// <exception cref="MalformedInputException">A range list or the address table is damaged.</exception>
    public void ReadRanges(AttributeValue lowPc, AttributeValue highPc, AttributeValue rangeList, List<AddressRange> ranges)
    {
        if (lowPc.IsPresent && highPc.IsPresent && Address(lowPc) is { } low)
        {
            ulong tombstone = Sizes.AddressSize == 4 ? uint.MaxValue : ulong.MaxValue;
            ulong high = Address(highPc) ?? (Constant(highPc) is { } length ? unchecked(low + length) : 0);
            if (low < high && low != tombstone)
                ranges.Add(new(low, high));
            return;
        }
        if (!rangeList.IsPresent)
            return;
        int before = ranges.Count;
        if (Sizes.Version >= 5)
        {
            ulong offset = rangeList.Raw;
            if (rangeList.Form == DW_FORM_rnglistx)
            {
                SpanReader reader = new(Sections.RngLists.Span, ".debug_rnglists");
                ulong tableBase = Attributes.RngListsBase;
                reader.Seek(Element(tableBase, offset, Sizes.OffsetSize, in reader));
                offset = unchecked(tableBase + reader.ReadUnsigned(Sizes.OffsetSize));
            }
            RangeList.ReadRngList(Sections.RngLists.Span, this, offset, ranges);
        }
        else
        {
            // GNU split DWARF 4 keeps the ranges of the split unit in the linked file, relative to DW_AT_GNU_ranges_base.
            ulong rangesBase = Skeleton?.Attributes.GnuRangesBase ?? 0;
            RangeList.ReadRanges(
                (Skeleton ?? this).Sections.Ranges.Span, unchecked(rangesBase + rangeList.Raw), Sizes.AddressSize, BaseAddress, ranges);
        }
        SpendOnRanges(ranges.Count - before);
    }

    /// <summary>Real entries have lists of their own; damaged ones may all share one long list, which would take forever.</summary>
    private void SpendOnRanges(int count)
    {
        if (rangeBudget == 0)
            rangeBudget = 100_000 + 4L * (Sections.RngLists.Length + (Skeleton ?? this).Sections.Ranges.Length);
        rangeBudget -= count;
        if (rangeBudget <= 0)
            throw new MalformedInputException("its entries share range lists beyond measure", ".debug_info unit", Offset);
    }

    private static ulong Element(ulong start, ulong index, int size, in SpanReader reader) =>
        index <= int.MaxValue && start <= int.MaxValue
            ? start + index * (ulong)size : throw reader.Malformed($"index {index} from 0x{start:x}");

    private static string TextAt(ReadOnlyMemory<byte> section, ulong offset, string where)
    {
        SpanReader reader = new(section.Span, where);
        reader.Seek(offset);
        ReadOnlySpan<byte> text = reader.ReadCStringBytes();
        return text.Length > MaxStringLength ? "" : Encoding.UTF8.GetString(text);
    }
}
