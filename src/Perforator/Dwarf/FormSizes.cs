using static Perforator.Dwarf.DwarfConstants;

namespace Perforator.Dwarf;

/// <summary>What the sizes of attribute values depend on, beside their form.</summary>
/// <param name="Version">DWARF version of the unit; in version 2 DW_FORM_ref_addr has the size of an address.</param>
/// <param name="AddressSize">Bytes of an address.</param>
/// <param name="OffsetSize">Bytes of a section offset: 4, or 8 in the 64-bit format.</param>
internal readonly record struct FormSizes(ushort Version, byte AddressSize, byte OffsetSize)
{
    /// <summary>Bytes that a value of this form takes, or -1 when that varies.</summary>
    public int Of(ushort form) => form switch
    {
        DW_FORM_implicit_const or DW_FORM_flag_present => 0,
        DW_FORM_data1 or DW_FORM_flag or DW_FORM_ref1 or DW_FORM_strx1 or DW_FORM_addrx1 => 1,
        DW_FORM_data2 or DW_FORM_ref2 or DW_FORM_strx2 or DW_FORM_addrx2 => 2,
        DW_FORM_strx3 or DW_FORM_addrx3 => 3,
        DW_FORM_data4 or DW_FORM_ref4 or DW_FORM_ref_sup4 or DW_FORM_strx4 or DW_FORM_addrx4 => 4,
        DW_FORM_data8 or DW_FORM_ref8 or DW_FORM_ref_sup8 or DW_FORM_ref_sig8 => 8,
        DW_FORM_data16 => 16,
        DW_FORM_addr => AddressSize,
        DW_FORM_ref_addr => Version <= 2 ? AddressSize : OffsetSize,
        DW_FORM_strp or DW_FORM_line_strp or DW_FORM_strp_sup or DW_FORM_sec_offset or DW_FORM_GNU_ref_alt or DW_FORM_GNU_strp_alt =>
            OffsetSize,
        _ => -1,
    };
}
