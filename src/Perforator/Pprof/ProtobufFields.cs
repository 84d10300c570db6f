using Perforator.Bytes;

namespace Perforator.Pprof;

/// <summary>
/// Walks the fields of one protobuf message (protobuf.dev, "Encoding") without copying: profiles hold tens of millions of numbers,
/// of which generated classes would make objects.
/// </summary>
internal ref struct ProtobufFields(ReadOnlySpan<byte> message, string where)
{
    private const int Varint = 0, Fixed64 = 1, LengthDelimited = 2, Fixed32 = 5;

    private readonly string where = where;
    private SpanReader reader = new(message, where);

    /// <summary>The number of the field at hand.</summary>
    public int Number { get; private set; }

    /// <summary>Its value when it is a number; zero else.</summary>
    public ulong Value { get; private set; }

    /// <summary>Its bytes when it is a string, a message or packed numbers; empty else.</summary>
    public ReadOnlySpan<byte> Bytes { get; private set; }

    /// <summary>Moves to the next field.</summary>
    /// <returns>False at the end of the message.</returns>
    /// <exception cref="MalformedInputException">The field does not fit the message, or is of an unknown wire type.</exception>
    public bool Next()
    {
        if (reader.AtEnd)
            return false;
        ulong tag = reader.ReadULeb128();
        Number = (int)Math.Min(tag >> 3, int.MaxValue);
        Value = 0;
        Bytes = default;
        switch ((int)(tag & 7))
        {
            case Varint:
                Value = reader.ReadULeb128();
                break;
            case Fixed64:
                Value = reader.ReadU64();
                break;
            case LengthDelimited:
                Bytes = reader.ReadBytes(reader.ReadULeb128());
                break;
            case Fixed32:
                Value = reader.ReadU32();
                break;
            default:
                throw reader.Malformed($"wire type {tag & 7}");
        }
        return true;
    }

    /// <summary>Adds the field's numbers to a list: a repeated field may hold one or, packed, many.</summary>
    public readonly void AppendTo(List<ulong> numbers)
    {
        if (Bytes.IsEmpty)
        {
            numbers.Add(Value);
            return;
        }
        SpanReader packed = new(Bytes, where);
        while (!packed.AtEnd)
            numbers.Add(packed.ReadULeb128());
    }
}
