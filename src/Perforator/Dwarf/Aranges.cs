using Perforator.Bytes;

namespace Perforator.Dwarf;

/// <summary>
/// .debug_aranges: which unit covers which addresses (DWARF 5, section 6.1.2). Often absent, and never obliged to be complete.
/// </summary>
internal static class Aranges
{
    /// <summary>Reads all sets up to the first damaged one.</summary>
    /// <param name="found">Called with the unit's offset in .debug_info and its ranges.</param>
    /// <returns>What stopped the reading; null when the section is sound.</returns>
    public static MalformedInputException? Read(ReadOnlySpan<byte> section, Action<ulong, IReadOnlyList<AddressRange>> found)
    {
        SpanReader reader = new(section, ".debug_aranges");
        try
        {
            while (!reader.AtEnd)
            {
                int start = reader.Position;
                ulong length = InitialLength.Read(ref reader, out byte offsetSize);
                int lengthSize = reader.Position - start;
                SpanReader set = reader.Slice(length, ".debug_aranges set");
                ushort version = set.ReadU16();
                if (version != 2)
                    throw set.Malformed($"version {version}");
                ulong unit = set.ReadUnsigned(offsetSize);
                byte addressSize = set.ReadU8();
                set.Skip(1);
                if (addressSize is not (4 or 8))
                    throw set.Malformed($"addresses of {addressSize} bytes");
                // Tuples begin at a multiple of their size, counted from the start of the set.
                int tupleSize = 2 * addressSize;
                set.Skip((ulong)((tupleSize - (set.Position + lengthSize) % tupleSize) % tupleSize));
                List<AddressRange> ranges = [];
                while (set.Remaining >= tupleSize)
                {
                    ulong low = set.ReadUnsigned(addressSize);
                    ulong high = unchecked(low + set.ReadUnsigned(addressSize));
                    if (low < high)
                        ranges.Add(new(low, high));
                }
                found(unit, ranges);
            }
            return null;
        }
        catch (MalformedInputException e)
        {
            return e;
        }
    }
}
