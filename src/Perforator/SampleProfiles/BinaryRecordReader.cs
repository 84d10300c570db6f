using Perforator.Bytes;

namespace Perforator.SampleProfiles;

/// <summary>What LLVM's two binary formats share: summary, name table and function records (<c>SampleProfileReaderBinary</c>).</summary>
internal sealed class BinaryRecordReader
{
    /// <summary>Reads what names a top-level function and returns the function, made at need.</summary>
    public delegate FunctionSamples FunctionFinder(ref SpanReader reader);

    private readonly string[] names;

    private readonly bool hasVTables;

    /// <param name="names">The name table.</param>
    /// <param name="hasVTables">Whether each function's record ends in the virtual tables seen in it.</param>
    public BinaryRecordReader(string[] names, bool hasVTables = false)
    {
        this.names = names;
        this.hasVTables = hasVTables;
    }

    /// <summary>A whole file in the binary format.</summary>
    public static SampleProfile ParseFile(ReadOnlySpan<byte> data)
    {
        SpanReader reader = new(data, "binary sample profile");
        CheckVersion(ref reader);
        SkipSummary(ref reader);
        BinaryRecordReader records = new(ReadNames(ref reader));
        SampleProfile profile = new();
        while (!reader.AtEnd)
            records.ReadFunction(ref reader, (ref SpanReader at) => profile.Function(records.ReadName(ref at)));
        return profile;
    }

    /// <summary>Magic, which told the format already, and version.</summary>
    public static void CheckVersion(ref SpanReader reader)
    {
        reader.ReadULeb128();
        ulong version = reader.ReadULeb128();
        if (version is not (BinaryFormat.Version or BinaryFormat.NewestVersion))
            throw reader.Malformed(version > BinaryFormat.NewestVersion
                ? $"version {version}, of an LLVM newer than those known; {BinaryFormat.Version} and {BinaryFormat.NewestVersion} can be read: write the profile as text with its llvm-profdata"
                : $"version {version}; {BinaryFormat.Version} and {BinaryFormat.NewestVersion} can be read");
    }

    /// <summary>
    /// Reads over the summary: it says nothing that <see cref="ProfileSummary.Compute(SampleProfile)"/> does not find in the
    /// functions, and who changes a profile needs a new one anyway.
    /// </summary>
    public static void SkipSummary(ref SpanReader reader)
    {
        for (int i = 0; i < 5; i++)
            reader.ReadULeb128();
        ulong entries = reader.ReadULeb128();
        for (ulong i = 0; i < entries; i++)
            for (int field = 0; field < 3; field++)
                reader.ReadULeb128();
    }

    /// <summary>A name table of NUL-terminated strings.</summary>
    public static string[] ReadNames(ref SpanReader reader)
    {
        string[] names = NewTable(ref reader, bytesEach: 2);
        for (int i = 0; i < names.Length; i++)
        {
            int start = (int)reader.Offset;
            names[i] = NamePool.Decode(reader.ReadCStringBytes(), start);
        }
        return names;
    }

    /// <summary>A table of as many names as the count at the cursor says, if there is room for them in what follows.</summary>
    public static string[] NewTable(ref SpanReader reader, int bytesEach)
    {
        ulong count = reader.ReadULeb128();
        if (count > (ulong)(reader.Remaining / bytesEach))
            throw reader.Malformed($"{count} names do not fit into {reader.Remaining} bytes");
        return new string[count];
    }

    /// <summary>A name by its index in the name table.</summary>
    public string ReadName(ref SpanReader reader)
    {
        ulong index = reader.ReadULeb128();
        if (index >= (ulong)names.Length)
            throw reader.Malformed($"name {index} of {names.Length}");
        return names[index];
    }

    /// <summary>One top-level function: head samples, then its record. A function that occurs again adds up.</summary>
    /// <param name="find">Reads what names the function and finds it.</param>
    public void ReadFunction(ref SpanReader reader, FunctionFinder find)
    {
        ulong headSamples = reader.ReadULeb128();
        FunctionSamples function = find(ref reader);
        function.AddHeadSamples(headSamples);
        ReadRecord(ref reader, function, depth: 0);
    }

    /// <summary>What follows a function's name: total, body samples, inlined callees.</summary>
    public void ReadRecord(ref SpanReader reader, FunctionSamples function, int depth)
    {
        if (depth > FunctionSamples.MaxInlineDepth)
            throw reader.Malformed($"functions inlined more than {FunctionSamples.MaxInlineDepth} levels deep");
        function.AddTotalSamples(reader.ReadULeb128());
        for (ulong bodies = ReadU32(ref reader); bodies != 0; bodies--)
        {
            BodySample sample = function.BodyAt(ReadLocation(ref reader));
            sample.AddSamples(reader.ReadULeb128());
            for (ulong calls = ReadU32(ref reader); calls != 0; calls--)
            {
                string target = ReadName(ref reader);
                sample.AddCallTarget(target, reader.ReadULeb128());
            }
        }
        for (ulong callsites = ReadU32(ref reader); callsites != 0; callsites--)
        {
            LineLocation location = ReadLocation(ref reader);
            FunctionSamples callee = function.InlinedAt(location, ReadName(ref reader));
            ReadRecord(ref reader, callee, depth + 1);
        }
        if (hasVTables)
            ReadVTables(ref reader, function);
    }

    /// <summary>For each place, how many virtual tables were seen there, then name and count of each.</summary>
    private void ReadVTables(ref SpanReader reader, FunctionSamples function)
    {
        for (ulong places = ReadU32(ref reader); places != 0; places--)
        {
            LineLocation location = ReadLocation(ref reader);
            for (ulong seen = ReadU32(ref reader); seen != 0; seen--)
            {
                string vtable = ReadName(ref reader);
                function.AddVTable(location, vtable, reader.ReadULeb128());
            }
        }
    }

    /// <summary>A number of at most 32 bits.</summary>
    public static uint ReadU32(ref SpanReader reader)
    {
        ulong value = reader.ReadULeb128();
        return value <= uint.MaxValue ? (uint)value : throw reader.Malformed($"{value} does not fit 32 bits");
    }

    /// <summary>Line offset (16 bits) and discriminator.</summary>
    public static LineLocation ReadLocation(ref SpanReader reader)
    {
        ulong offset = reader.ReadULeb128();
        if (offset > BinaryFormat.MaxLineOffset)
            throw reader.Malformed($"line offset {offset} is larger than {BinaryFormat.MaxLineOffset}");
        return new LineLocation((uint)offset, ReadU32(ref reader));
    }
}
