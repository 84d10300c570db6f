using System.Buffers;
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

    /// <summary>The rows, by source, target and end, and with them branches without a range, as <see cref="BranchProfile.Traces"/> has them.</summary>
    /// <param name="columns">Null stands for none.</param>
    /// <exception cref="MalformedInputException">The columns are of different lengths, out of order or hold what cannot be a trace.</exception>
    /// <param name="branches">Traces without a range, by source and target.</param>
    public static TraceCount[] Decode(Wire.TraceColumns? columns, List<TraceCount> branches)
    {
        if (columns is null)
            return [.. branches];
        SpanReader from = new(columns.From.Span, "Traces sources");
        SpanReader to = new(columns.To.Span, "Traces targets");
        SpanReader length = new(columns.Length.Span, "Traces lengths");
        SpanReader count = new(columns.Count.Span, "Traces counts");
        SpanReader mispredicted = new(columns.Mispredicted.Span, "Traces mispredictions");
        bool hasMispredicted = !mispredicted.AtEnd;

        // A row has at least a byte in each column: no more room is made than what was sent can fill.
        TraceCount[] rows = new TraceCount[branches.Count + (int)Math.Min(columns.Rows, (ulong)columns.From.Length)];
        int filled = 0, taken = 0;
        ulong source = 0;
        (ulong, ulong, ulong) previous = default;
        for (ulong i = 0; i < columns.Rows; i++)
        {
            ulong delta = from.ReadULeb128();
            if (delta > ulong.MaxValue - source)
                throw from.Malformed("address overflow");
            source += delta;
            ulong target = PairColumnsCodec.ReadDistance(ref to, source);
            ulong bytes = length.ReadULeb128();
            // The last address stands for all outside the binary: it neither begins a range nor ends one.
            if (target == ulong.MaxValue || bytes >= ulong.MaxValue - target)
                throw to.Malformed($"impossible range of {bytes} bytes from {new BinaryAddress(target)}");
            (ulong, ulong, ulong) key = (source, target, target + bytes);
            if (i > 0 && key.CompareTo(previous) <= 0)
                throw from.Malformed("addresses out of order");
            previous = key;
            ulong n = count.ReadULeb128(), missed = hasMispredicted ? mispredicted.ReadULeb128() : 0;
            if (n == 0 || missed > n)
                throw count.Malformed($"impossible counts {n}, {missed}");
            // A branch's own counter, without a range, comes behind those with one.
            for (; taken < branches.Count && (branches[taken].From.Value, branches[taken].To.Value).CompareTo((source, target)) < 0; taken++)
                rows[filled++] = branches[taken];
            rows[filled++] = new TraceCount(new(source), new(target), new(target + bytes), n, missed);
        }
        if (!from.AtEnd || !to.AtEnd || !length.AtEnd || !count.AtEnd || !mispredicted.AtEnd)
            throw new MalformedInputException($"columns longer than the {columns.Rows} rows declared", Where, 0);
        branches.CopyTo(taken, rows, filled, branches.Count - taken);
        return rows;
    }
}
