using System.Buffers.Binary;
using System.Text;

namespace Perforator.Bytes;

/// <summary>
/// A cursor over untrusted bytes, little-endian unless told otherwise. Every read past the end throws
/// <see cref="MalformedInputException"/> naming the structure and the offset. Cut a sub-reader with <see cref="Slice(ulong, string)"/>
/// first and parse only inside it.
/// </summary>
public ref struct SpanReader
{
    private readonly ReadOnlySpan<byte> data;
    private readonly string where;
    private readonly ulong origin;
    private readonly bool bigEndian;

    /// <param name="data">The bytes to read.</param>
    /// <param name="where">The structure's name, for errors.</param>
    /// <param name="origin">Offset of the first byte in the enclosing structure, for errors and <see cref="Offset"/>.</param>
    /// <param name="bigEndian">Whether multi-byte values are big-endian.</param>
    public SpanReader(ReadOnlySpan<byte> data, string where, ulong origin = 0, bool bigEndian = false)
    {
        this.data = data;
        this.where = where;
        this.origin = origin;
        this.bigEndian = bigEndian;
    }

    /// <summary>Position from the start of this reader's bytes.</summary>
    public int Position { get; private set; }

    /// <summary>Position plus the origin: where the cursor stands in the enclosing structure.</summary>
    public readonly ulong Offset => origin + (ulong)Position;

    /// <summary>Bytes left.</summary>
    public readonly int Remaining => data.Length - Position;

    /// <summary>Whether no bytes are left.</summary>
    public readonly bool AtEnd => Position >= data.Length;

    /// <summary>All bytes left, without moving.</summary>
    public readonly ReadOnlySpan<byte> Rest => data[Position..];

    /// <summary>The error for a bad value at the cursor, to be thrown by the caller.</summary>
    public readonly MalformedInputException Malformed(string what) => new(what, where, Offset);

    /// <summary>Moves the cursor to a position from the start of this reader's bytes.</summary>
    public void Seek(ulong position)
    {
        if (position > (ulong)data.Length)
            throw Malformed($"position {position} is past the end ({data.Length} bytes)");
        Position = (int)position;
    }

    /// <summary>Moves forward.</summary>
    public void Skip(ulong count) => Take(count);

    /// <summary>
    /// Moves to the next multiple of <paramref name="alignment"/> (a power of two) from the start of this reader's bytes.
    /// </summary>
    public void Align(int alignment) => Take((ulong)(-Position & (alignment - 1)));

    public byte ReadU8()
    {
        if (Position >= data.Length)
            Take(1);
        return data[Position++];
    }

    public sbyte ReadI8() => (sbyte)Take(1)[0];

    public ushort ReadU16()
    {
        ReadOnlySpan<byte> b = Take(2);
        return bigEndian ? BinaryPrimitives.ReadUInt16BigEndian(b) : BinaryPrimitives.ReadUInt16LittleEndian(b);
    }

    /// <summary>Three bytes, as DW_FORM_strx3 and DW_FORM_addrx3 have them.</summary>
    public uint ReadU24()
    {
        ReadOnlySpan<byte> b = Take(3);
        return bigEndian ? (uint)(b[0] << 16 | b[1] << 8 | b[2]) : (uint)(b[2] << 16 | b[1] << 8 | b[0]);
    }

    public uint ReadU32()
    {
        ReadOnlySpan<byte> b = Take(4);
        return bigEndian ? BinaryPrimitives.ReadUInt32BigEndian(b) : BinaryPrimitives.ReadUInt32LittleEndian(b);
    }

    public int ReadI32() => (int)ReadU32();

    public ulong ReadU64()
    {
        ReadOnlySpan<byte> b = Take(8);
        return bigEndian ? BinaryPrimitives.ReadUInt64BigEndian(b) : BinaryPrimitives.ReadUInt64LittleEndian(b);
    }

    public long ReadI64() => (long)ReadU64();

    /// <summary>An unsigned integer of 1, 2, 3, 4 or 8 bytes.</summary>
    public ulong ReadUnsigned(int size) => size switch
    {
        1 => ReadU8(),
        2 => ReadU16(),
        3 => ReadU24(),
        4 => ReadU32(),
        8 => ReadU64(),
        _ => throw Malformed($"integer of {size} bytes"),
    };

    /// <summary>An unsigned LEB128 number. DWARF 5, section 7.6. Bits beyond 64 must be zero.</summary>
    public ulong ReadULeb128()
    {
        // Most numbers have one byte.
        if (Position < data.Length && data[Position] < 0x80)
            return data[Position++];
        ulong value = 0;
        for (int shift = 0; ; shift += 7)
        {
            byte b = ReadU8();
            ulong bits = (ulong)(b & 0x7f);
            if (shift >= 64 ? bits != 0 : shift == 63 && bits > 1)
                throw Malformed("ULEB128 number does not fit 64 bits");
            if (shift < 64)
                value |= bits << shift;
            if ((b & 0x80) == 0)
                return value;
        }
    }

    /// <summary>A signed LEB128 number. DWARF 5, section 7.6.</summary>
    public long ReadSLeb128()
    {
        long value = 0;
        for (int shift = 0; ; shift += 7)
        {
            byte b = ReadU8();
            if (shift < 64)
                value |= (long)(b & 0x7f) << shift;
            else if ((b & 0x7f) is not (0 or 0x7f))
                throw Malformed("SLEB128 number does not fit 64 bits");
            if ((b & 0x80) != 0)
                continue;
            if (shift + 7 < 64 && (b & 0x40) != 0)
                value |= -1L << (shift + 7);
            return value;
        }
    }

    /// <summary>Bytes up to a NUL, which is consumed and not returned.</summary>
    public ReadOnlySpan<byte> ReadCStringBytes()
    {
        int length = Rest.IndexOf((byte)0);
        if (length < 0)
            throw Malformed("string without terminating NUL");
        ReadOnlySpan<byte> s = Rest[..length];
        Position += length + 1;
        return s;
    }

    /// <summary>A NUL-terminated UTF-8 string; bytes that are not UTF-8 become U+FFFD.</summary>
    public string ReadCString() => Encoding.UTF8.GetString(ReadCStringBytes());

    /// <summary>The next <paramref name="count"/> bytes.</summary>
    public ReadOnlySpan<byte> ReadBytes(ulong count) => Take(count);

    /// <summary>A sub-reader over the next <paramref name="count"/> bytes; this cursor moves past them.</summary>
    public SpanReader Slice(ulong count, string what)
    {
        ulong start = Offset;
        return new SpanReader(Take(count), what, start, bigEndian);
    }

    private ReadOnlySpan<byte> Take(ulong count)
    {
        if (count > (ulong)Remaining)
            throw Malformed($"truncated: {count} bytes wanted, {Remaining} left");
        ReadOnlySpan<byte> taken = data.Slice(Position, (int)count);
        Position += (int)count;
        return taken;
    }
}
