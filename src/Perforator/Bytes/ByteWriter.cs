using System.Buffers.Binary;
using System.Buffers.Text;
using System.Text;

namespace Perforator.Bytes;

/// <summary>A growing little-endian byte buffer: the writing counterpart of <see cref="SpanReader"/>.</summary>
public sealed class ByteWriter
{
    private byte[] bytes;

    /// <param name="capacity">Bytes to make room for at first.</param>
    public ByteWriter(int capacity = 256) => bytes = new byte[capacity];

    /// <summary>Bytes written so far.</summary>
    public int Position { get; private set; }

    /// <summary>What was written so far.</summary>
    public ReadOnlySpan<byte> Written => bytes.AsSpan(0, Position);

    /// <summary>Forgets what was written and keeps the memory.</summary>
    public void Clear() => Position = 0;

    public void WriteU8(byte value)
    {
        if (Position == bytes.Length)
            Grow(1);
        bytes[Position++] = value;
    }

    public void WriteU32(uint value)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(Room(4), value);
        Position += 4;
    }

    public void WriteU64(ulong value)
    {
        BinaryPrimitives.WriteUInt64LittleEndian(Room(8), value);
        Position += 8;
    }

    /// <summary>Overwrites four bytes that were written before.</summary>
    public void PatchU32(int position, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(position, 4), value);

    /// <summary>Overwrites eight bytes that were written before.</summary>
    public void PatchU64(int position, ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(position, 8), value);

    /// <summary>An unsigned LEB128 number. DWARF 5, section 7.6.</summary>
    public void WriteULeb128(ulong value)
    {
        Span<byte> room = Room(10);
        int n = 0;
        for (; value >= 0x80; value >>= 7)
            room[n++] = (byte)(value | 0x80);
        room[n++] = (byte)value;
        Position += n;
    }

    public void WriteBytes(ReadOnlySpan<byte> value)
    {
        value.CopyTo(Room(value.Length));
        Position += value.Length;
    }

    /// <summary>Text in UTF-8, without a terminating NUL.</summary>
    public void WriteUtf8(ReadOnlySpan<char> text) =>
        Position += Encoding.UTF8.GetBytes(text, Room(Encoding.UTF8.GetMaxByteCount(text.Length)));

    /// <summary>A number as decimal digits.</summary>
    public void WriteDecimal(ulong value)
    {
        Utf8Formatter.TryFormat(value, Room(20), out int written);
        Position += written;
    }

    private Span<byte> Room(int count)
    {
        if (bytes.Length - Position < count)
            Grow(count);
        return bytes.AsSpan(Position);
    }

    private void Grow(int count) =>
        Array.Resize(ref bytes, (int)Math.Min(Array.MaxLength, Math.Max(2L * bytes.Length, (long)Position + count)));
}
