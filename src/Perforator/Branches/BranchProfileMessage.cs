using Google.Protobuf;
using Perforator.Bytes;

namespace Perforator.Branches;

/// <summary>A <see cref="BranchProfileSet"/> as the protobuf message of branch_profile.proto, checked in full when read.</summary>
internal static class BranchProfileMessage
{
    private const int MaxPathLength = 4096;

    public static byte[] Encode(BranchProfileSet set)
    {
        Wire.BranchProfileSet message = new()
        {
            StartUnixMicros = Micros(set.Start),
            EndUnixMicros = Micros(set.End),
            TotalSamples = set.TotalSamples,
        };
        foreach ((string name, string value) in set.Labels)
            message.Labels.Add(new Wire.Label { Name = name, Value = ProfileLabels.Printable(value) });
        AddLosses(message.Losses, set.Losses);
        foreach (BranchProfile profile in set.Profiles.Values)
        {
            TraceCount[] traces = profile.Traces();
            Wire.BranchProfile p = new()
            {
                BuildId = ByteString.CopyFrom(profile.BuildId.ToBytes()),
                Path = ProfileLabels.Printable(profile.Path, MaxPathLength),
                Samples = profile.Samples,
                BranchEntries = profile.BranchEntries,
                AddressSamples = profile.AddressSamples,
                ExactAddressSamples = profile.ExactAddressSamples,
                Branches = PairColumnsCodec.Encode([.. traces.Where(static t => !t.HasRange).Select(ToBranch)], PairKind.Branches),
                Ranges = PairColumnsCodec.Encode(profile.UnpairedRanges.Sorted(), PairKind.Ranges),
                Addresses = PairColumnsCodec.Encode(profile.Addresses.Sorted(), PairKind.Addresses),
                Traces = TraceColumnsCodec.Encode([.. traces.Where(static t => t.HasRange)]),
            };
            AddLosses(p.Losses, profile.Losses);
            message.Profiles.Add(p);
        }
        return message.ToByteArray();
    }

    public static BranchProfileSet Decode(byte[] bytes)
    {
        Wire.BranchProfileSet message = Parse(bytes);
        BranchProfileSet set = new()
        {
            Start = Time(message.StartUnixMicros),
            End = Time(message.EndUnixMicros),
            TotalSamples = message.TotalSamples,
        };
        if (set.End < set.Start)
            throw Malformed("the time span ends before it starts");
        foreach (Wire.Label label in message.Labels)
        {
            if (!ProfileLabels.IsName(label.Name))
                throw Malformed($"'{ProfileLabels.Printable(label.Name, 40)}' is not a label name");
            if (!set.Labels.TryAdd(label.Name, label.Value))
                throw Malformed($"label {label.Name} occurs twice");
        }
        ReadLosses(set.Losses, message.Losses);
        foreach (Wire.BranchProfile p in message.Profiles)
        {
            if (p.BuildId.Length is 0 or > BuildId.MaxLength)
                throw Malformed($"a build id has 1 to {BuildId.MaxLength} bytes, not {p.BuildId.Length}");
            BuildId buildId = BuildId.FromBytes(p.BuildId.Span);
            if (p.ExactAddressSamples > p.AddressSamples)
                throw Malformed($"{p.ExactAddressSamples} of {p.AddressSamples} samples");
            BranchProfile profile = new(buildId, p.Path)
            {
                Samples = p.Samples,
                BranchEntries = p.BranchEntries,
                AddressSamples = p.AddressSamples,
                ExactAddressSamples = p.ExactAddressSamples,
            };
            if (!set.Profiles.TryAdd(buildId, profile))
                throw Malformed($"build id {buildId} occurs twice");
            PairColumnsCodec.Decode(p.Branches, PairKind.Branches, profile.AddBranch);
            PairColumnsCodec.Decode(p.Ranges, PairKind.Ranges, (begin, end, count, _) => profile.AddRange(begin, end, count));
            PairColumnsCodec.Decode(p.Addresses, PairKind.Addresses, profile.Addresses.Add);
            TraceColumnsCodec.Decode(p.Traces, profile);
            ReadLosses(profile.Losses, p.Losses);
        }

        // A set has one encoding. Whatever else would decode to it (other order, overlong numbers, fields of a newer version, texts that
        // are not UTF-8 or hold control characters) is refused, so that equal hashes mean equal sets.
        ReadOnlySpan<byte> canonical = Encode(set);
        if (!canonical.SequenceEqual(bytes))
            throw new MalformedInputException("not the one encoding of its content", Where, (ulong)canonical.CommonPrefixLength(bytes));
        return set;
    }

    private static PairCount ToBranch(TraceCount trace) => new(trace.From, trace.To, trace.Count, trace.Mispredicted);

    private const string Where = "branch profile message";

    private static MalformedInputException Malformed(string what) => new(what, Where, 0);

    private static Wire.BranchProfileSet Parse(byte[] bytes)
    {
        using CodedInputStream input = new(bytes);
        try
        {
            return Wire.BranchProfileSet.Parser.ParseFrom(input);
        }
        catch (InvalidProtocolBufferException e)
        {
            throw new MalformedInputException(e.Message, Where, (ulong)input.Position);
        }
    }

    private static void AddLosses(Google.Protobuf.Collections.RepeatedField<Wire.Loss> to, LossCounts losses)
    {
        foreach ((string reason, ulong count) in losses.ByReason)
            to.Add(new Wire.Loss { Reason = ProfileLabels.Printable(reason), Count = count });
    }

    private static void ReadLosses(LossCounts losses, IEnumerable<Wire.Loss> from)
    {
        foreach (Wire.Loss loss in from)
        {
            if (loss.Count == 0 || losses[loss.Reason] != 0)
                throw Malformed("a reason of loss without a count, or given twice");
            losses.Add(loss.Reason, loss.Count);
        }
    }

    private static ulong Micros(DateTimeOffset time) =>
        (ulong)Math.Max(0, (time - DateTimeOffset.UnixEpoch).Ticks / TimeSpan.TicksPerMicrosecond);

    private static DateTimeOffset Time(ulong micros)
    {
        if (micros > Micros(DateTimeOffset.MaxValue))
            throw Malformed("a time after the year 9999");
        return DateTimeOffset.UnixEpoch.AddTicks((long)micros * TimeSpan.TicksPerMicrosecond);
    }
}
