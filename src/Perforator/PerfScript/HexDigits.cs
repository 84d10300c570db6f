using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Perforator.PerfScript;

/// <summary>Hexadecimal digits as numbers: most of perf script text is addresses.</summary>
internal static class HexDigits
{
    /// <summary>Bytes that <see cref="ReadUpTo16"/> may look at.</summary>
    public const int Window = 16;

    /// <summary>Reads the digits that text begins with, 16 at most, of either case.</summary>
    /// <param name="text">The first of at least <see cref="Window"/> readable bytes.</param>
    /// <returns>How many digits there were; with 0, the value means nothing.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int ReadUpTo16(ref byte text, out ulong value)
    {
        if (!Ssse3.IsSupported || !BitConverter.IsLittleEndian)
        {
            int at = 0;
            ReadAll(MemoryMarshal.CreateReadOnlySpan(ref text, Window), ref at, out value);
            return at;
        }
        Vector128<byte> bytes = Vector128.LoadUnsafe(ref text);
        Vector128<byte> digits = bytes - Vector128.Create((byte)'0');
        Vector128<byte> letters = (bytes | Vector128.Create((byte)0x20)) - Vector128.Create((byte)'a');
        // Unsigned x <= limit is min(x, limit) == x.
        Vector128<byte> areDigits = Vector128.Equals(Vector128.Min(digits, Vector128.Create((byte)9)), digits);
        Vector128<byte> areLetters = Vector128.Equals(Vector128.Min(letters, Vector128.Create((byte)5)), letters);
        int count = TrailingZeros(~(areDigits | areLetters).ExtractMostSignificantBits() | 0x10000);
        Vector128<byte> nibbles = Vector128.ConditionalSelect(areDigits, digits, letters + Vector128.Create((byte)10));
        // Two nibbles to a byte, high one first; then the eight bytes, first one highest, without what is behind the last digit.
        Vector128<short> pairs =
            Ssse3.MultiplyAddAdjacent(nibbles & Vector128.Create((byte)0xf), Vector128.Create((short)0x0110).AsSByte());
        ulong packed = Sse2.PackUnsignedSaturate(pairs, pairs).AsUInt64().ToScalar();
        value = count == 0 ? 0 : BinaryPrimitives.ReverseEndianness(packed) >> (64 - 4 * count);
        return count;
    }

    /// <summary>Reads digits from a position on to the first byte that is none, and moves there.</summary>
    /// <returns>Whether there were one to sixteen.</returns>
    public static bool ReadAll(ReadOnlySpan<byte> text, ref int at, out ulong value)
    {
        ref byte digits = ref MemoryMarshal.GetReference(Values);
        ulong sum = 0;
        int start = at, i = at;
        for (; i < text.Length; i++)
        {
            uint digit = Unsafe.Add(ref digits, text[i]);
            if (digit > 15)
                break;
            sum = sum << 4 | digit;
        }
        at = i;
        value = sum;
        return i - start is > 0 and <= 16;
    }

    /// <summary>BitOperations has this, but what may use BMI1 is not precompiled.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int TrailingZeros(uint bits) => System.Numerics.BitOperations.PopCount((bits & (0 - bits)) - 1);

    /// <summary>The value of each byte as a hexadecimal digit; 255 for the others.</summary>
    private static ReadOnlySpan<byte> Values =>
    [
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 255, 255, 255, 255, 255, 255,
        255, 10, 11, 12, 13, 14, 15, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        255, 10, 11, 12, 13, 14, 15, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    ];
}
