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

/// <summary>Sorted, delta-coded columns of a <see cref="PairCounts"/>; branch_profile.proto describes them.</summary>
internal static class PairColumnsCodec
{
    public static Wire.PairColumns Encode(PairCounts counts, PairKind kind)
    {
        PairCount[] rows = Array.FindAll(counts.Sorted(), static row => row.Count != 0);
        Wire.PairColumns columns = new() { Rows = (ulong)rows.Length };
        ArrayBufferWriter<byte> first = new(), second = new(), count = new(), extra = new();
        ulong previous = 0;
        foreach (PairCount row in rows)
        {
            Write(first, row.First.Value - previous);
            previous = row.First.Value;
            long distance = (long)(row.Second.Value - row.First.Value);
            if (kind != PairKind.Addresses)
                Write(second, (ulong)((distance << 1) ^ (distance >> 63)));
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

    /// <summary>Adds the rows to <paramref name="to"/>.</summary>
    /// <exception cref="MalformedInputException">The columns are of different lengths, out of order or break a rule of the kind.</exception>
    public static void Decode(Wire.PairColumns? columns, PairKind kind, PairCounts to)
    {
        string where = $"{kind} column";
        if (columns is null)
            throw new MalformedInputException("missing", where, 0);
        SpanReader first = new(columns.First.Span, $"{kind} first addresses");
        SpanReader second = new(columns.Second.Span, $"{kind} second addresses");
        SpanReader count = new(columns.Count.Span, $"{kind} counts");
        SpanReader extra = new(columns.Extra.Span, $"{kind} extra counts");
        bool hasExtra = !extra.AtEnd;

        ulong begin = 0, previousEnd = 0;
        for (ulong i = 0; i < columns.Rows; i++)
        {
            ulong delta = first.ReadULeb128();
            if (delta > ulong.MaxValue - begin)
                throw first.Malformed("address overflow");
            begin += delta;
            ulong end = 0;
            if (kind != PairKind.Addresses)
            {
                ulong zigzag = second.ReadULeb128();
                end = begin + ((zigzag >> 1) ^ (0 - (zigzag & 1)));
            }
            if (i > 0 && delta == 0 && end <= previousEnd)
                throw first.Malformed("addresses out of order");
            previousEnd = end;
            if (!IsValid(kind, new(begin), new(end)))
                throw first.Malformed($"impossible addresses {new BinaryAddress(begin)}, {new BinaryAddress(end)}");
            ulong n = count.ReadULeb128();
            ulong x = hasExtra ? extra.ReadULeb128() : 0;
            if (n == 0 || x > n)
                throw count.Malformed($"impossible counts {n}, {x}");
            to.Add(new(begin), new(end), n, x);
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

    private static void Write(ArrayBufferWriter<byte> to, ulong value)
    {
        Span<byte> buffer = to.GetSpan(10);
        int n = 0;
        for (; value >= 0x80; value >>= 7)
            buffer[n++] = (byte)(value | 0x80);
        buffer[n++] = (byte)value;
        to.Advance(n);
    }
}
