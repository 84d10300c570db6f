using Perforator.Bytes;
using static Perforator.Dwarf.DwarfConstants;

namespace Perforator.Dwarf;

/// <summary>A half-open range of ELF virtual addresses.</summary>
internal readonly record struct AddressRange(ulong Low, ulong High);

/// <summary>Range lists: .debug_ranges (DWARF 3 and 4, section 2.17.3) and .debug_rnglists (DWARF 5, section 2.17.3).</summary>
internal static class RangeList
{
    /// <summary>Adds the non-empty ranges of a list of .debug_ranges.</summary>
    /// <param name="offset">Where the list begins.</param>
    /// <param name="baseAddress">The unit's base address.</param>
    /// <exception cref="MalformedInputException">The list reaches past the end of the section.</exception>
    public static void ReadRanges(ReadOnlySpan<byte> section, ulong offset, int addressSize, ulong baseAddress, List<AddressRange> ranges)
    {
        SpanReader reader = new(section, ".debug_ranges");
        reader.Seek(offset);
        ulong largest = addressSize == 4 ? uint.MaxValue : ulong.MaxValue;
        while (true)
        {
            ulong low = reader.ReadUnsigned(addressSize);
            ulong high = reader.ReadUnsigned(addressSize);
            if (low == 0 && high == 0)
                return;
            if (low == largest)
                baseAddress = high;
            else if (baseAddress != largest && low < largest - 1)
                Add(ranges, unchecked(baseAddress + low), unchecked(baseAddress + high));
        }
    }

    /// <summary>Adds the non-empty ranges of a list of .debug_rnglists.</summary>
    /// <param name="unit">Whose address table DW_RLE_*x entries mean.</param>
    /// <param name="offset">Where the list begins.</param>
    /// <exception cref="MalformedInputException">The list is damaged or reaches past the end of the section.</exception>
    public static void ReadRngList(ReadOnlySpan<byte> section, DwarfUnit unit, ulong offset, List<AddressRange> ranges)
    {
        SpanReader reader = new(section, ".debug_rnglists");
        reader.Seek(offset);
        int addressSize = unit.Sizes.AddressSize;
        ulong tombstone = addressSize == 4 ? uint.MaxValue : ulong.MaxValue;
        ulong? baseAddress = null;
        while (true)
        {
            byte kind = reader.ReadU8();
            ulong low, high;
            switch (kind)
            {
                case DW_RLE_end_of_list:
                    return;
                case DW_RLE_base_addressx:
                    baseAddress = unit.IndexedAddress(reader.ReadULeb128());
                    continue;
                case DW_RLE_base_address:
                    baseAddress = reader.ReadUnsigned(addressSize);
                    continue;
                case DW_RLE_offset_pair:
                    baseAddress ??= unit.BaseAddress;
                    low = reader.ReadULeb128();
                    high = reader.ReadULeb128();
                    if (baseAddress == tombstone)
                        continue;
                    low = unchecked(low + baseAddress.Value);
                    high = unchecked(high + baseAddress.Value);
                    break;
                case DW_RLE_startx_endx:
                    low = unit.IndexedAddress(reader.ReadULeb128());
                    high = unit.IndexedAddress(reader.ReadULeb128());
                    break;
                case DW_RLE_startx_length:
                    low = unit.IndexedAddress(reader.ReadULeb128());
                    high = unchecked(low + reader.ReadULeb128());
                    break;
                case DW_RLE_start_end:
                    low = reader.ReadUnsigned(addressSize);
                    high = reader.ReadUnsigned(addressSize);
                    break;
                case DW_RLE_start_length:
                    low = reader.ReadUnsigned(addressSize);
                    high = unchecked(low + reader.ReadULeb128());
                    break;
                default:
                    throw reader.Malformed($"unknown range list entry {kind}");
            }
            if (low != tombstone)
                Add(ranges, low, high);
        }
    }

    private static void Add(List<AddressRange> ranges, ulong low, ulong high)
    {
        if (low < high)
            ranges.Add(new(low, high));
    }
}
