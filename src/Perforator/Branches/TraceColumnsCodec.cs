using System.Buffers;
using System.Runtime.InteropServices;
using Google.Protobuf;
using Perforator.Bytes;

namespace Perforator.Branches;

/// <summary>Sorted, delta-coded columns of traces; branch_profile.proto describes them.</summary>
internal static class TraceColumnsCodec
{
    private const string Where = "Traces column";

    /// <summary>Encodes traces that have a range; null if there are none.</summary>
    /// <param name="traces">By source, target and end.</param>
    public static Wire.TraceColumns? Encode(IReadOnlyCollection<TraceCount> traces)
    {
        if (traces.Count == 0)
            return null;
        ArrayBufferWriter<byte> from = new(), to = new(), length = new(), count = new(), mispredicted = new();
        bool hasMispredicted = false;
        ulong previous = 0;
        foreach (TraceCount trace in traces)
        {
            PairColumnsCodec.Write(from, trace.From.Value - previous);
            previous = trace.From.Value;
            PairColumnsCodec.WriteDistance(to, trace.From.Value, trace.To.Value);
            PairColumnsCodec.Write(length, trace.End.Value - trace.To.Value);
            PairColumnsCodec.Write(count, trace.Count);
            PairColumnsCodec.Write(mispredicted, trace.Mispredicted);
            hasMispredicted |= trace.Mispredicted != 0;
        }
        return new()
        {
            Rows = (ulong)traces.Count,
            From = ByteString.CopyFrom(from.WrittenSpan),
            To = ByteString.CopyFrom(to.WrittenSpan),
            Length = ByteString.CopyFrom(length.WrittenSpan),
            Count = ByteString.CopyFrom(count.WrittenSpan),
            Mispredicted = hasMispredicted ? ByteString.CopyFrom(mispredicted.WrittenSpan) : ByteString.Empty,
        };
    }

    /// <summary>
    /// The rows, by source, target and end, and with them branches without a range, as <see cref="BranchProfile.Traces"/> has them.
    /// </summary>
    /// <param name="columns">Null stands for none.</param>
    /// <param name="branches">Traces without a range, by source and target.</param>
    /// <exception cref="MalformedInputException">The columns are of different lengths, out of order or hold what cannot be a
    /// trace.</exception>
    public static TraceCount[] Decode(Wire.TraceColumns? columns, List<TraceCount> branches)
    {
        if (columns is null)
            return [.. branches];
        Leb128Column from = new(columns.From.Span, "Traces sources"), to = new(columns.To.Span, "Traces targets");
        Leb128Column length = new(columns.Length.Span, "Traces lengths"), count = new(columns.Count.Span, "Traces counts");
        Leb128Column mispredicted = new(columns.Mispredicted.Span, "Traces mispredictions");
        bool hasMispredicted = !mispredicted.AtEnd;

        // A row has at least a byte in each column: no more room is made than what was sent can fill.
        TraceCount[] rows =
            GC.AllocateUninitializedArray<TraceCount>(branches.Count + (int)Math.Min(columns.Rows, (ulong)columns.From.Length));
        ReadOnlySpan<TraceCount> apart = CollectionsMarshal.AsSpan(branches);
        int filled = 0;
        ulong source = 0, target = 0, end = 0;
        for (ulong i = 0; i < columns.Rows; i++)
        {
            ulong delta = from.Read(), lastTarget = target, lastEnd = end;
            if (delta > ulong.MaxValue - source)
                throw from.Malformed("address overflow");
            source += delta;
            target = PairColumnsCodec.FromDistance(source, to.Read());
            ulong bytes = length.Read();
            // The last address stands for all outside the binary: it neither begins a range nor ends one.
            if (target == ulong.MaxValue || bytes >= ulong.MaxValue - target)
                throw to.Malformed($"impossible range of {bytes} bytes from {new BinaryAddress(target)}");
            end = target + bytes;
            if (delta == 0 && i > 0 && (target < lastTarget || (target == lastTarget && end <= lastEnd)))
                throw from.Malformed("addresses out of order");
            ulong n = count.Read(), missed = hasMispredicted ? mispredicted.Read() : 0;
            if (n == 0 || missed > n)
                throw count.Malformed($"impossible counts {n}, {missed}");
            // A branch's own counter, without a range, comes behind those with one.
            while (!apart.IsEmpty && IsBefore(apart[0], source, target))
            {
                rows[filled++] = apart[0];
                apart = apart[1..];
            }
            rows[filled++] = new TraceCount(new(source), new(target), new(end), n, missed);
        }
        if (!from.AtEnd || !to.AtEnd || !length.AtEnd || !count.AtEnd || !mispredicted.AtEnd)
            throw new MalformedInputException($"columns longer than the {columns.Rows} rows declared", Where, 0);
        apart.CopyTo(rows.AsSpan(filled));
        return rows;
    }

    private static bool IsBefore(in TraceCount trace, ulong source, ulong target) =>
        trace.From.Value < source || (trace.From.Value == source && trace.To.Value < target);
}
