namespace Perforator.Dwarf;

/// <summary>
/// The constants of DWARF 5, chapter 7, of its predecessors and of the GNU extensions that this reader knows, as spelled there.
/// </summary>
internal static class DwarfConstants
{
    public const ushort DW_TAG_inlined_subroutine = 0x1d;
    public const ushort DW_TAG_subprogram = 0x2e;

    public const byte DW_UT_compile = 1;
    public const byte DW_UT_type = 2;
    public const byte DW_UT_skeleton = 4;
    public const byte DW_UT_split_compile = 5;
    public const byte DW_UT_split_type = 6;

    public const ushort DW_AT_name = 0x03;
    public const ushort DW_AT_stmt_list = 0x10;
    public const ushort DW_AT_low_pc = 0x11;
    public const ushort DW_AT_high_pc = 0x12;
    public const ushort DW_AT_comp_dir = 0x1b;
    public const ushort DW_AT_producer = 0x25;
    public const ushort DW_AT_abstract_origin = 0x31;
    public const ushort DW_AT_decl_file = 0x3a;
    public const ushort DW_AT_decl_line = 0x3b;
    public const ushort DW_AT_specification = 0x47;
    public const ushort DW_AT_ranges = 0x55;
    public const ushort DW_AT_call_line = 0x59;
    public const ushort DW_AT_linkage_name = 0x6e;
    public const ushort DW_AT_str_offsets_base = 0x72;
    public const ushort DW_AT_addr_base = 0x73;
    public const ushort DW_AT_rnglists_base = 0x74;
    public const ushort DW_AT_dwo_name = 0x76;
    public const ushort DW_AT_MIPS_linkage_name = 0x2007;
    public const ushort DW_AT_GNU_dwo_name = 0x2130;
    public const ushort DW_AT_GNU_dwo_id = 0x2131;
    public const ushort DW_AT_GNU_ranges_base = 0x2132;
    public const ushort DW_AT_GNU_addr_base = 0x2133;
    public const ushort DW_AT_GNU_discriminator = 0x2136;

    public const ulong DW_LNCT_path = 1;
    public const ulong DW_LNCT_directory_index = 2;

    public const ushort DW_FORM_addr = 0x01;
    public const ushort DW_FORM_block2 = 0x03;
    public const ushort DW_FORM_block4 = 0x04;
    public const ushort DW_FORM_data2 = 0x05;
    public const ushort DW_FORM_data4 = 0x06;
    public const ushort DW_FORM_data8 = 0x07;
    public const ushort DW_FORM_string = 0x08;
    public const ushort DW_FORM_block = 0x09;
    public const ushort DW_FORM_block1 = 0x0a;
    public const ushort DW_FORM_data1 = 0x0b;
    public const ushort DW_FORM_flag = 0x0c;
    public const ushort DW_FORM_sdata = 0x0d;
    public const ushort DW_FORM_strp = 0x0e;
    public const ushort DW_FORM_udata = 0x0f;
    public const ushort DW_FORM_ref_addr = 0x10;
    public const ushort DW_FORM_ref1 = 0x11;
    public const ushort DW_FORM_ref2 = 0x12;
    public const ushort DW_FORM_ref4 = 0x13;
    public const ushort DW_FORM_ref8 = 0x14;
    public const ushort DW_FORM_ref_udata = 0x15;
    public const ushort DW_FORM_indirect = 0x16;
    public const ushort DW_FORM_sec_offset = 0x17;
    public const ushort DW_FORM_exprloc = 0x18;
    public const ushort DW_FORM_flag_present = 0x19;
    public const ushort DW_FORM_strx = 0x1a;
    public const ushort DW_FORM_addrx = 0x1b;
    public const ushort DW_FORM_ref_sup4 = 0x1c;
    public const ushort DW_FORM_strp_sup = 0x1d;
    public const ushort DW_FORM_data16 = 0x1e;
    public const ushort DW_FORM_line_strp = 0x1f;
    public const ushort DW_FORM_ref_sig8 = 0x20;
    public const ushort DW_FORM_implicit_const = 0x21;
    public const ushort DW_FORM_loclistx = 0x22;
    public const ushort DW_FORM_rnglistx = 0x23;
    public const ushort DW_FORM_ref_sup8 = 0x24;
    public const ushort DW_FORM_strx1 = 0x25;
    public const ushort DW_FORM_strx2 = 0x26;
    public const ushort DW_FORM_strx3 = 0x27;
    public const ushort DW_FORM_strx4 = 0x28;
    public const ushort DW_FORM_addrx1 = 0x29;
    public const ushort DW_FORM_addrx2 = 0x2a;
    public const ushort DW_FORM_addrx3 = 0x2b;
    public const ushort DW_FORM_addrx4 = 0x2c;
    public const ushort DW_FORM_GNU_addr_index = 0x1f01;
    public const ushort DW_FORM_GNU_str_index = 0x1f02;
    public const ushort DW_FORM_GNU_ref_alt = 0x1f20;
    public const ushort DW_FORM_GNU_strp_alt = 0x1f21;

    public const byte DW_LNS_copy = 1;
    public const byte DW_LNS_advance_pc = 2;
    public const byte DW_LNS_advance_line = 3;
    public const byte DW_LNS_set_file = 4;
    public const byte DW_LNS_negate_stmt = 6;
    public const byte DW_LNS_set_basic_block = 7;
    public const byte DW_LNS_const_add_pc = 8;
    public const byte DW_LNS_fixed_advance_pc = 9;
    public const byte DW_LNE_end_sequence = 1;
    public const byte DW_LNE_set_address = 2;
    public const byte DW_LNE_define_file = 3;
    public const byte DW_LNE_set_discriminator = 4;

    public const byte DW_RLE_end_of_list = 0;
    public const byte DW_RLE_base_addressx = 1;
    public const byte DW_RLE_startx_endx = 2;
    public const byte DW_RLE_startx_length = 3;
    public const byte DW_RLE_offset_pair = 4;
    public const byte DW_RLE_base_address = 5;
    public const byte DW_RLE_start_end = 6;
    public const byte DW_RLE_start_length = 7;
}
