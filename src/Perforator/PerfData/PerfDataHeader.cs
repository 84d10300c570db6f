using Perforator.Bytes;

namespace Perforator.PerfData;

/// <summary>A part of a perf.data file: struct perf_file_section.</summary>
internal readonly record struct PerfFileSection(ulong Offset, ulong Size)
{
    public static PerfFileSection Parse(ref SpanReader reader) => new(reader.ReadU64(), reader.ReadU64());
}

/// <summary>
/// The first bytes of a perf.data file (Linux, tools/perf/Documentation/perf.data-file-format.txt): in file mode the places of
/// events, records and features; in pipe mode (<c>perf record -o -</c>) nothing, since records follow at once and tell all.
/// </summary>
internal sealed record PerfDataHeader
{
    /// <summary>Size of the header of a pipe, which begins the header of a file too.</summary>
    public const int PipeSize = 16;

    /// <summary>Size of the header of a file.</summary>
    public const int FileSize = 104;

    /// <summary>How many feature bits there are.</summary>
    public const int FeatureBits = 256;

    public static ReadOnlySpan<byte> Magic => "PERFILE2"u8;

    public bool IsPipe { get; private init; }

    /// <summary>Size of one entry of <see cref="Attributes"/>: a perf_event_attr and the section of its event ids.</summary>
    public ulong AttributeSize { get; init; }

    public PerfFileSection Attributes { get; init; }

    public PerfFileSection Data { get; init; }

    /// <summary>One bit per feature section, which stand after the data in the order of the bits.</summary>
    public ulong[] Features { get; init; } = new ulong[FeatureBits / 64];

    public bool HasFeature(int bit) => (Features[bit / 64] >> bit % 64 & 1) != 0;

    /// <summary>Whether the bytes begin like a perf.data file, of either byte order or of the first version.</summary>
    public static bool HasMagic(ReadOnlySpan<byte> start) =>
        start.StartsWith(Magic) || start.StartsWith("2ELIFREP"u8) || start.StartsWith("PERFFILE"u8);

    /// <summary>Reads the header from the file's first bytes, at most <see cref="FileSize"/> of them.</summary>
    /// <exception cref="MalformedInputException">Not a perf.data file, or one that cannot be read here; the message says which.</exception>
    public static PerfDataHeader Parse(ReadOnlySpan<byte> start)
    {
        SpanReader reader = new(start, "perf.data header");
        if (start.StartsWith("2ELIFREP"u8))
            throw reader.Malformed("recorded on a big-endian machine, which is not supported");
        if (start.StartsWith("PERFFILE"u8))
            throw reader.Malformed("the perf.data format of 2009 (PERFFILE), which is not supported; record again with a current perf");
        if (!start.StartsWith(Magic))
            throw reader.Malformed("not a perf.data file: it does not begin with PERFILE2");
        reader.Skip(8);
        ulong size = reader.ReadU64();
        if (size == PipeSize)
            return new PerfDataHeader { IsPipe = true };
        if (size < FileSize)
            throw reader.Malformed($"header of {size} bytes");
        ulong attributeSize = reader.ReadU64();
        PerfFileSection attributes = PerfFileSection.Parse(ref reader);
        PerfFileSection data = PerfFileSection.Parse(ref reader);
        PerfFileSection.Parse(ref reader);
        ulong[] features = new ulong[FeatureBits / 64];
        foreach (ref ulong word in features.AsSpan())
            word = reader.ReadU64();
        return new PerfDataHeader { AttributeSize = attributeSize, Attributes = attributes, Data = data, Features = features };
    }
}
