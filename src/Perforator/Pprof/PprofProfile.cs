using System.Text;
using Perforator.Bytes;

namespace Perforator.Pprof;

/// <summary>
/// The parts of a pprof profile (github.com/google/pprof, proto/profile.proto) that branch stacks need: what its values mean,
/// mappings and locations. Samples stay encoded until they are walked.
/// </summary>
internal sealed class PprofProfile
{
    /// <summary>A mapped file. Numbers are the message's; <c>Offset</c> is file_offset.</summary>
    public readonly record struct MappedFile(ulong Id, ulong Start, ulong Limit, ulong Offset, string Path, BuildId BuildId);

    /// <summary>An address and the id of the mapping it lies in; 0 when it lies in none.</summary>
    public readonly record struct Location(ulong MappingId, ulong Address);

    // Field numbers of the messages.
    private const int ProfileSampleType = 1, ProfileSample = 2, ProfileMapping = 3, ProfileLocation = 4, ProfileStringTable = 6, ProfilePeriod = 12;

    private readonly ReadOnlyMemory<byte> message;
    private readonly List<Range> strings = [];
    private readonly List<Range> samples = [];
    private readonly List<Range> mappings = [];
    private readonly List<Range> sampleTypes = [];

    private PprofProfile(ReadOnlyMemory<byte> message)
    {
        this.message = message;
    }

    /// <summary>What each value of a sample is, as "type/unit".</summary>
    public List<string> SampleTypes { get; } = [];

    public List<MappedFile> Mappings { get; } = [];

    public Dictionary<ulong, Location> Locations { get; } = [];

    /// <summary>How many events lie between two samples; 0 when the profile does not say.</summary>
    public ulong Period { get; private set; }

    public int SampleCount => samples.Count;

    /// <summary>Takes a decompressed profile apart.</summary>
    /// <exception cref="MalformedInputException">Not a message of this kind.</exception>
    public static PprofProfile Parse(ReadOnlyMemory<byte> message)
    {
        PprofProfile profile = new(message);
        ReadOnlySpan<byte> bytes = message.Span;
        ProtobufFields fields = new(bytes, "pprof profile");
        while (fields.Next())
        {
            switch (fields.Number)
            {
                case ProfileSampleType:
                    profile.sampleTypes.Add(RangeOf(bytes, fields.Bytes));
                    break;
                case ProfileSample:
                    profile.samples.Add(RangeOf(bytes, fields.Bytes));
                    break;
                case ProfileMapping:
                    profile.mappings.Add(RangeOf(bytes, fields.Bytes));
                    break;
                case ProfileLocation:
                    profile.ReadLocation(fields.Bytes);
                    break;
                case ProfileStringTable:
                    profile.strings.Add(RangeOf(bytes, fields.Bytes));
                    break;
                case ProfilePeriod:
                    profile.Period = fields.Value;
                    break;
            }
        }

        // Strings may stand behind what names them.
        foreach (Range range in profile.sampleTypes)
            profile.ReadSampleType(bytes[range]);
        foreach (Range range in profile.mappings)
            profile.ReadMapping(bytes[range]);
        return profile;
    }

    /// <summary>One sample's location ids and values, into lists that are emptied first.</summary>
    /// <exception cref="MalformedInputException">The sample is damaged.</exception>
    public void ReadSample(int index, List<ulong> locationIds, List<ulong> values)
    {
        const int SampleLocationId = 1, SampleValue = 2;
        locationIds.Clear();
        values.Clear();
        ProtobufFields fields = new(message.Span[samples[index]], "pprof sample");
        while (fields.Next())
        {
            if (fields.Number == SampleLocationId)
                fields.AppendTo(locationIds);
            else if (fields.Number == SampleValue)
                fields.AppendTo(values);
        }
    }

    private void ReadSampleType(ReadOnlySpan<byte> bytes)
    {
        ProtobufFields fields = new(bytes, "pprof sample type");
        ulong type = 0, unit = 0;
        while (fields.Next())
        {
            if (fields.Number == 1)
                type = fields.Value;
            else if (fields.Number == 2)
                unit = fields.Value;
        }
        SampleTypes.Add($"{Text(type)}/{Text(unit)}");
    }

    private void ReadMapping(ReadOnlySpan<byte> bytes)
    {
        ProtobufFields fields = new(bytes, "pprof mapping");
        MappedFile mapping = default;
        while (fields.Next())
        {
            mapping = fields.Number switch
            {
                1 => mapping with { Id = fields.Value },
                2 => mapping with { Start = fields.Value },
                3 => mapping with { Limit = fields.Value },
                4 => mapping with { Offset = fields.Value },
                5 => mapping with { Path = Text(fields.Value) },
                6 => mapping with { BuildId = BuildId.TryParse(Text(fields.Value), out BuildId id) ? id : default },
                _ => mapping,
            };
        }
        Mappings.Add(mapping with { Path = mapping.Path ?? "" });
    }

    private void ReadLocation(ReadOnlySpan<byte> bytes)
    {
        ProtobufFields fields = new(bytes, "pprof location");
        ulong id = 0, mapping = 0, address = 0;
        while (fields.Next())
        {
            switch (fields.Number)
            {
                case 1:
                    id = fields.Value;
                    break;
                case 2:
                    mapping = fields.Value;
                    break;
                case 3:
                    address = fields.Value;
                    break;
            }
        }
        Locations[id] = new Location(mapping, address);
    }

    private string Text(ulong index) => index < (ulong)strings.Count ? Encoding.UTF8.GetString(message.Span[strings[(int)index]]) : "";

    /// <summary>Where a piece lies in the whole it was cut from.</summary>
    private static Range RangeOf(ReadOnlySpan<byte> whole, ReadOnlySpan<byte> piece)
    {
        if (piece.IsEmpty)
            return new Range(0, 0);
        whole.Overlaps(piece, out int offset);
        return new Range(offset, offset + piece.Length);
    }
}
