using System.Buffers;
using Google.Protobuf;
using Perforator.Bytes;

namespace Perforator.Branches;

/// <summary>What a table of counters counts; each kind has its own rules.</summary>
internal enum PairKind
{
    /// <summary>From → to; at most one side external; extra = mispredicted.</summary>
    Branches,

    /// <summary>Begin … end, neither external, end not before begin.</summary>
    Ranges,

    /// <summary>One address, not external.</summary>
    Addresses,
}

/// <summary>Sorted, delta-coded columns of counters of pairs; branch_profile.proto describes them.</summary>
internal static class PairColumnsCodec
{
    /// <param name="rows">By first, then second address; none with a count of 0.</param>
    public static Wire.PairColumns Encode(IReadOnlyCollection<PairCount> rows, PairKind kind)
    {
        Wire.PairColumns columns = new() { Rows = (ulong)rows.Count };
        ArrayBufferWriter<byte> first = new(), second = new(), count = new(), extra = new();
        ulong previous = 0;
        foreach (PairCount row in rows)
        {
            Write(first, row.First.Value - previous);
            previous = row.First.Value;
            if (kind != PairKind.Addresses)
                WriteDistance(second, row.First.Value, row.Second.Value);
            Write(count, row.Count);
            Write(extra, row.Extra);
        }
        columns.First = ByteString.CopyFrom(first.WrittenSpan);
        columns.Second = ByteString.CopyFrom(second.WrittenSpan);
        columns.Count = ByteString.CopyFrom(count.WrittenSpan);
        if (extra.WrittenSpan.ContainsAnyExcept((byte)0))
            columns.Extra = ByteString.CopyFrom(extra.WrittenSpan);
        return columns;
    }

    /// <summary>Hands each row to <paramref name="add"/>: both addresses, the count and the extra one.</summary>
    /// <exception cref="MalformedInputException">The columns are of different lengths, out of order or break a rule of the
    /// kind.</exception>
    public static void Decode(Wire.PairColumns? columns, PairKind kind, Action<BinaryAddress, BinaryAddress, ulong, ulong> add)
    {
        string where = $"{kind} column";
        if (columns is null)
            throw new MalformedInputException("missing", where, 0);
        Leb128Column first = new(columns.First.Span, $"{kind} first addresses");
        Leb128Column second = new(columns.Second.Span, $"{kind} second addresses");
        Leb128Column count = new(columns.Count.Span, $"{kind} counts");
        Leb128Column extra = new(columns.Extra.Span, $"{kind} extra counts");
        bool hasExtra = !extra.AtEnd;

        ulong begin = 0, previousEnd = 0;
        for (ulong i = 0; i < columns.Rows; i++)
        {
            ulong delta = first.Read();
            if (delta > ulong.MaxValue - begin)
                throw first.Malformed("address overflow");
            begin += delta;
            ulong end = kind == PairKind.Addresses ? 0 : FromDistance(begin, second.Read());
            if (i > 0 && delta == 0 && end <= previousEnd)
                throw first.Malformed("addresses out of order");
            previousEnd = end;
            if (!IsValid(kind, new(begin), new(end)))
                throw first.Malformed($"impossible addresses {new BinaryAddress(begin)}, {new BinaryAddress(end)}");
            ulong n = count.Read();
            ulong x = hasExtra ? extra.Read() : 0;
            if (n == 0 || x > n)
                throw count.Malformed($"impossible counts {n}, {x}");
            add(new(begin), new(end), n, x);
        }
        if (!first.AtEnd || !second.AtEnd || !count.AtEnd || !extra.AtEnd)
            throw new MalformedInputException($"columns longer than the {columns.Rows} rows declared", where, 0);
    }

    private static bool IsValid(PairKind kind, BinaryAddress first, BinaryAddress second) => kind switch
    {
        PairKind.Branches => !(first.IsExternal && second.IsExternal),
        PairKind.Ranges => !first.IsExternal && !second.IsExternal && first <= second,
        _ => !first.IsExternal,
    };

    /// <summary>Writes an address as its distance from another, zigzag-coded.</summary>
    internal static void WriteDistance(ArrayBufferWriter<byte> to, ulong first, ulong second)
    {
        long distance = (long)(second - first);
        Write(to, (ulong)((distance << 1) ^ (distance >> 63)));
    }

    /// <summary>The second address, of the first and what <see cref="WriteDistance"/> wrote.</summary>
    internal static ulong FromDistance(ulong first, ulong zigzag) => first + ((zigzag >> 1) ^ (0 - (zigzag & 1)));

    internal static void Write(ArrayBufferWriter<byte> to, ulong value)
    {
        Span<byte> buffer = to.GetSpan(10);
        int n = 0;
        for (; value >= 0x80; value >>= 7)
            buffer[n++] = (byte)(value | 0x80);
        buffer[n++] = (byte)value;
        to.Advance(n);
    }
}
