using Google.Protobuf;

namespace Perforator.Tests.Pprof;

/// <summary>Writes pprof messages with Google's own encoder, as the Go and C++ agents do.</summary>
internal sealed class PprofBytes
{
    private readonly List<string> strings = [""];
    private readonly List<(int Field, byte[] Message)> fields = [];
    private readonly Dictionary<(ulong, ulong), ulong> locations = [];
    private readonly bool packed;

    public PprofBytes(string type, string unit, bool packed = true)
    {
        this.packed = packed;
        fields.Add((1, Message(output => Numbers(output, (1, Text(type)), (2, Text(unit))))));
    }

    public void Mapping(ulong id, ulong start, ulong limit, ulong offset, string path, string buildId) =>
        fields.Add((3, Message(
            output => Numbers(output, (1, id), (2, start), (3, limit), (4, offset), (5, Text(path)), (6, Text(buildId))))));

    public ulong Location(ulong mapping, ulong address)
    {
        if (!locations.TryGetValue((mapping, address), out ulong id))
        {
            locations.Add((mapping, address), id = (ulong)locations.Count + 1);
            fields.Add((4, Message(output => Numbers(output, (1, id), (2, mapping), (3, address)))));
        }
        return id;
    }

    public void Sample(long value, params ulong[] locationIds) => fields.Add((2, Message(output =>
    {
        if (packed)
        {
            output.WriteTag(1, WireFormat.WireType.LengthDelimited);
            output.WriteBytes(ByteString.CopyFrom(Message(inner => Array.ForEach(locationIds, inner.WriteUInt64))));
        }
        else
        {
            Numbers(output, [.. locationIds.Select(id => (1, id))]);
        }
        Numbers(output, (2, (ulong)value));
    })));

    public byte[] ToArray(long period = 0) => Message(output =>
    {
        foreach ((int field, byte[] message) in fields.Concat(strings.Select(text => (6, System.Text.Encoding.UTF8.GetBytes(text)))))
        {
            output.WriteTag(field, WireFormat.WireType.LengthDelimited);
            output.WriteBytes(ByteString.CopyFrom(message));
        }
        if (period != 0)
            Numbers(output, (12, (ulong)period));
    });

    private ulong Text(string text)
    {
        if (!strings.Contains(text))
            strings.Add(text);
        return (ulong)strings.IndexOf(text);
    }

    private static void Numbers(CodedOutputStream output, params (int Field, ulong Value)[] numbers)
    {
        foreach ((int field, ulong value) in numbers)
        {
            output.WriteTag(field, WireFormat.WireType.Varint);
            output.WriteUInt64(value);
        }
    }

    private static byte[] Message(Action<CodedOutputStream> write)
    {
        using MemoryStream bytes = new();
        using (CodedOutputStream output = new(bytes, leaveOpen: true))
            write(output);
        return bytes.ToArray();
    }
}
