using Perforator.Bytes;

namespace Perforator.Dwarf;

/// <summary>
/// The length that units, line programs and address tables begin with (DWARF 5, section 7.4): 4 bytes, or 12 in the 64-bit format.
/// </summary>
internal static class InitialLength
{
    private const uint Is64Bit = 0xffffffff;

    /// <summary>Reads it; the bytes that it counts follow.</summary>
    /// <param name="offsetSize">Bytes of a section offset in what follows: 4 or 8.</param>
    /// <exception cref="MalformedInputException">The section ends before.</exception>
    public static ulong Read(ref SpanReader reader, out byte offsetSize)
    {
        ulong length = reader.ReadU32();
        offsetSize = length == Is64Bit ? (byte)8 : (byte)4;
        return length == Is64Bit ? reader.ReadU64() : length;
    }
}
