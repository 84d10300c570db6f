using static Perforator.Dwarf.DwarfConstants;

namespace Perforator.Dwarf;

/// <summary>One attribute of an abbreviation.</summary>
/// <param name="Name">DW_AT_*.</param>
/// <param name="Form">DW_FORM_*.</param>
/// <param name="Size">Bytes that every value takes, or -1 when that varies.</param>
/// <param name="ImplicitConst">The value, for DW_FORM_implicit_const.</param>
internal readonly record struct AttributeSpec(ushort Name, ushort Form, int Size, long ImplicitConst);

/// <summary>The shape of the entries that use one abbreviation code.</summary>
internal sealed class Abbreviation
{
    public Abbreviation(ulong code, ushort tag, bool hasChildren, AttributeSpec[] attributes)
    {
        Code = code;
        Tag = tag;
        HasChildren = hasChildren;
        Attributes = attributes;
        int total = 0;
        foreach (AttributeSpec attribute in attributes)
        {
            HasAddresses |= attribute.Name is DW_AT_low_pc or DW_AT_ranges;
            total = attribute.Size < 0 || total < 0 ? -1 : total + attribute.Size;
        }
        FixedSize = total;
    }

    public ulong Code { get; }

    /// <summary>DW_TAG_*.</summary>
    public ushort Tag { get; }

    public bool HasChildren { get; }

    public AttributeSpec[] Attributes { get; }

    /// <summary>Bytes all attribute values take together, or -1 when that varies by entry.</summary>
    public int FixedSize { get; }

    /// <summary>Whether there is a DW_AT_low_pc or DW_AT_ranges.</summary>
    public bool HasAddresses { get; }
}
