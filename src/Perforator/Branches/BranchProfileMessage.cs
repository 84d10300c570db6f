using Google.Protobuf;
using Google.Protobuf.Reflection;
using Perforator.Bytes;

namespace Perforator.Branches;

/// <summary>A <see cref="BranchProfileSet"/> as the protobuf message of branch_profile.proto, checked in full when read.</summary>
internal static class BranchProfileMessage
{
    private const int MaxPathLength = 4096;

    /// <summary>The largest number that protobuf gives a field.</summary>
    private const ulong MaxFieldNumber = (1 << 29) - 1;

    /// <summary>What is not known is not kept in memory.</summary>
    private static readonly MessageParser<Wire.BranchProfileSet> Parser = Wire.BranchProfileSet.Parser.WithDiscardUnknownFields(true);

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

    /// <summary>Counted for each field of a message that this version does not know; the uploaded bytes keep it.</summary>
    public const string UnknownField = "field of a profile that only a newer perforator knows";

    /// <param name="maxRows">The most counters, and other parts, that are decoded.</param>
    public static BranchProfileSet Decode(byte[] bytes, long maxRows)
    {
        // Both are known before anything is allocated for them.
        ulong rows = 0, unknown = 0;
        Measure(new SpanReader(bytes, Where), Wire.BranchProfileSet.Descriptor, ref rows, ref unknown);
        if (rows > (ulong)maxRows)
            throw new MalformedInputException($"{rows} rows (counters); at most {maxRows} are accepted", Where, 0) { IsTooLarge = true };
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
            RequirePrintable(label.Value, ProfileLabels.MaxValueLength);
            if (!set.Labels.TryAdd(label.Name, label.Value))
                throw Malformed($"label {label.Name} occurs twice");
        }
        ReadLosses(set.Losses, message.Losses);
        set.Losses.Add(UnknownField, unknown);
        foreach (Wire.BranchProfile p in message.Profiles)
        {
            if (p.BuildId.Length is 0 or > BuildId.MaxLength)
                throw Malformed($"a build id has 1 to {BuildId.MaxLength} bytes, not {p.BuildId.Length}");
            BuildId buildId = BuildId.FromBytes(p.BuildId.Span);
            if (p.ExactAddressSamples > p.AddressSamples)
                throw Malformed($"{p.ExactAddressSamples} of {p.AddressSamples} samples");
            RequirePrintable(p.Path, MaxPathLength);
            BranchProfile profile = new(buildId, p.Path)
            {
                Samples = p.Samples,
                BranchEntries = p.BranchEntries,
                AddressSamples = p.AddressSamples,
                ExactAddressSamples = p.ExactAddressSamples,
            };
            if (!set.Profiles.TryAdd(buildId, profile))
                throw Malformed($"build id {buildId} occurs twice");
            List<TraceCount> branches = new((int)Math.Min(p.Branches?.Rows ?? 0, (ulong)(p.Branches?.First.Length ?? 0)));
            PairColumnsCodec.Decode(
                p.Branches, PairKind.Branches,
                (from, to, count, missed) => branches.Add(new(from, to, BinaryAddress.External, count, missed)));
            PairColumnsCodec.Decode(p.Ranges, PairKind.Ranges, (begin, end, count, _) => profile.AddRange(begin, end, count));
            PairColumnsCodec.Decode(p.Addresses, PairKind.Addresses, profile.Addresses.Add);
            profile.LoadTraces(TraceColumnsCodec.Decode(p.Traces, branches));
            ReadLosses(profile.Losses, p.Losses);
        }
        return set;
    }

    /// <summary>Counts what a message will take when it is decoded: its fields, and the rows that its columns declare.</summary>
    /// <param name="unknown">Fields that this version does not know.</param>
    private static void Measure(SpanReader reader, MessageDescriptor type, ref ulong rows, ref ulong unknown)
    {
        while (!reader.AtEnd)
        {
            ulong tag = reader.ReadULeb128(), number = tag >> 3;
            FieldDescriptor? field = number <= MaxFieldNumber ? type.FindFieldByNumber((int)number) : null;
            rows++;
            if (field is null)
                unknown++;
            switch (tag & 7)
            {
                case 0:
                    ulong value = reader.ReadULeb128();
                    if (field?.Name == "rows")
                        rows = PairCounts.Saturating(rows, value);
                    break;
                case 1:
                    reader.Skip(8);
                    break;
                case 2:
                    SpanReader content = reader.Slice(reader.ReadULeb128(), Where);
                    if (field?.FieldType == FieldType.Message)
                        Measure(content, field.MessageType, ref rows, ref unknown);
                    break;
                case 5:
                    reader.Skip(4);
                    break;
                default:
                    throw reader.Malformed($"wire type {tag & 7}");
            }
        }
    }

    /// <summary>Texts go to terminals and reports as they are.</summary>
    private static void RequirePrintable(string text, int maxLength)
    {
        if (ProfileLabels.Printable(text, maxLength) != text)
            throw Malformed($"'{ProfileLabels.Printable(text, 40)}' has control characters, or more than {maxLength} in all");
    }

    private static PairCount ToBranch(TraceCount trace) => new(trace.From, trace.To, trace.Count, trace.Mispredicted);

    private const string Where = "branch profile message";

    private static MalformedInputException Malformed(string what) => new(what, Where, 0);

    private static Wire.BranchProfileSet Parse(byte[] bytes)
    {
        using CodedInputStream input = new(bytes);
        try
        {
            return Parser.ParseFrom(input);
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
            RequirePrintable(loss.Reason, ProfileLabels.MaxValueLength);
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
