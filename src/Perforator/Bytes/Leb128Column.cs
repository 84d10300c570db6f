using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.CompilerServices;

namespace Perforator.Bytes;

/// <summary>
/// A cursor over a column of unsigned LEB128 numbers of untrusted origin, for loops that read several columns row by row. A number of up to
/// eight bytes is taken out of one word without a branch on its length, which is what such a loop would wait for.
/// </summary>
internal ref struct Leb128Column
{
    private readonly ReadOnlySpan<byte> data;
    private readonly string where;
    private int position;

    /// <param name="data">The numbers, one behind the other.</param>
    /// <param name="where">The column's name, for errors.</param>
    public Leb128Column(ReadOnlySpan<byte> data, string where)
    {
        this.data = data;
        this.where = where;
    }

    /// <summary>Whether no bytes are left.</summary>
    public readonly bool AtEnd => position >= data.Length;

    /// <summary>The error for a bad value before the cursor, to be thrown by the caller.</summary>
    public readonly MalformedInputException Malformed(string what) => new(what, where, (ulong)position);

    /// <summary>The next number.</summary>
    /// <exception cref="MalformedInputException">The column ends before it, or it does not fit 64 bits.</exception>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ulong Read()
    {
        if (position <= data.Length - sizeof(ulong))
        {
            ulong word = BinaryPrimitives.ReadUInt64LittleEndian(data.Slice(position, sizeof(ulong)));
            ulong ends = ~word & 0x8080_8080_8080_8080;
            if (ends != 0)
            {
                // The lowest byte without its highest bit is the last; seven bits of each up to there are the number's.
                position += (BitOperations.TrailingZeroCount(ends) >> 3) + 1;
                ulong number = word & (ends ^ (ends - 1)) & 0x7f7f_7f7f_7f7f_7f7f;
                number = (number & 0x007f_007f_007f_007f) | ((number & 0x7f00_7f00_7f00_7f00) >> 1);
                number = (number & 0x0000_3fff_0000_3fff) | ((number & 0x3fff_0000_3fff_0000) >> 2);
                return (number & 0x0fff_ffff) | ((number & 0x0fff_ffff_0000_0000) >> 4);
            }
        }
        ulong slow = ReadSlowly(data, position, where, out int next);
        position = next;
        return slow;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static ulong ReadSlowly(ReadOnlySpan<byte> data, int position, string where, out int next)
    {
        SpanReader reader = new(data, where);
        reader.Seek((ulong)position);
        ulong number = reader.ReadULeb128();
        next = reader.Position;
        return number;
    }
}
