using System.Buffers.Binary;
using System.Text;

namespace Perforator.PerfData;

/// <summary>
/// A cursor over one little-endian record. Reading past the end yields zeros and sets <see cref="Failed"/> instead of throwing:
/// a hostile file can hold tens of millions of broken records, and each is one counted loss.
/// </summary>
internal ref struct RecordCursor(ReadOnlySpan<byte> data)
{
    private ReadOnlySpan<byte> rest = data;

    /// <summary>Whether a read went past the end.</summary>
    public bool Failed { get; private set; }

    /// <summary>Bytes left.</summary>
    public readonly int Remaining => rest.Length;

    public uint ReadU32() => Take(4) is { Length: 4 } bytes ? BinaryPrimitives.ReadUInt32LittleEndian(bytes) : 0;

    public ulong ReadU64() => Take(8) is { Length: 8 } bytes ? BinaryPrimitives.ReadUInt64LittleEndian(bytes) : 0;

    /// <summary>The next <paramref name="count"/> bytes, or none when there are fewer.</summary>
    public ReadOnlySpan<byte> Take(ulong count)
    {
        if (count > (ulong)rest.Length)
        {
            Failed = true;
            rest = default;
            return default;
        }
        ReadOnlySpan<byte> taken = rest[..(int)count];
        rest = rest[(int)count..];
        return taken;
    }

    /// <summary>The next <paramref name="count"/> items of <paramref name="size"/> bytes each; the product is checked.</summary>
    public ReadOnlySpan<byte> TakeItems(ulong count, int size) =>
        count > (ulong)rest.Length ? Take(ulong.MaxValue) : Take(count * (ulong)size);

    /// <summary>A string up to its NUL; what follows stays unread. Bytes that are not UTF-8 become U+FFFD.</summary>
    public string ReadCString()
    {
        int length = rest.IndexOf((byte)0);
        if (length < 0)
        {
            Failed = true;
            return "";
        }
        string text = Encoding.UTF8.GetString(rest[..length]);
        rest = rest[(length + 1)..];
        return text;
    }
}
