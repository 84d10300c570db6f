using System.Text;
using Perforator.Bytes;

namespace Perforator.SampleProfiles.Gcc;

/// <summary>
/// Reads GCC's AFDO profiles of versions 2 and 3. Totals, which they do not have, are sums of the counts. Of several functions of one name
/// the first counts: what <see cref="GccProfileWriter"/> lets follow is the function with its inlined copies, which are in their callers
/// too.
/// </summary>
internal sealed class GccProfileReader
{
    private const string Where = "GCC profile";

    /// <summary>The least bytes that a name, a function, a position, a target and a callsite have.</summary>
    private const int MinName = 5, MinFunction = 20, MinPosition = 16, MinTarget = 20, MinCallsite = 16;

    private string[] names = [];
    private uint version;

    /// <summary>Whether bytes begin as such a profile does.</summary>
    public static bool IsGcc(ReadOnlySpan<byte> data) =>
        data.Length >= 4 && new SpanReader(data, Where).ReadU32() == GccFormat.GCOV_DATA_MAGIC;

    /// <summary>Reads a profile.</summary>
    /// <exception cref="MalformedInputException">The bytes are not one.</exception>
    public SampleProfile Parse(ReadOnlySpan<byte> data)
    {
        SpanReader reader = new(data, Where);
        if (reader.ReadU32() != GccFormat.GCOV_DATA_MAGIC)
            throw reader.Malformed("not a profile of GCC");
        version = reader.ReadU32();
        if (version is not (GccFormat.Version2 or GccFormat.Version3))
            throw reader.Malformed(
                $"version {version} is not known (2: GCC 12 to 15, 3: GCC 16), or this is a counter file of instrumented PGO (.gcda)");
        reader.Skip(4);
        if (version == GccFormat.Version3)
            SkipSummary(ref reader);
        ReadNames(ref reader);
        Expect(ref reader, GccFormat.GCOV_TAG_AFDO_FUNCTION);
        reader.Skip(4);
        SampleProfile profile = new();
        HashSet<string> inlinedOnly = new(StringComparer.Ordinal);
        for (int left = Count(ref reader, reader.ReadU32(), MinFunction); left > 0; left--)
        {
            ulong head = reader.ReadU64();
            if (version == GccFormat.Version3)
                reader.Skip(8);
            FunctionSamples function = new(ReadName(ref reader, reader.ReadU32())) { HeadSamples = head };
            ReadFunction(ref reader, function, depth: 1);
            if (!profile.Functions.TryAdd(function.Name, function) && profile.Functions[function.Name] is { } first && IsEmpty(first))
                inlinedOnly.Add(function.Name);
        }
        foreach (string name in inlinedOnly)
            profile.Functions.Remove(name);
        Expect(ref reader, GccFormat.GCOV_TAG_MODULE_GROUPING);
        reader.Skip(4);
        if (reader.ReadU32() != 0)
            throw reader.Malformed("modules, which GCC reads no more");
        return profile;
    }

    /// <summary>Whether this stands for a function that was never seen but inlined.</summary>
    private static bool IsEmpty(FunctionSamples function) =>
        function is { HeadSamples: 0, Body.Count: 0, Callsites.Count: 0 };

    private static void SkipSummary(ref SpanReader reader)
    {
        Expect(ref reader, GccFormat.GCOV_TAG_AFDO_SUMMARY);
        reader.Skip(5 * 8);
        ulong cutoffs = reader.ReadU64();
        if (cutoffs > (ulong)reader.Remaining / 20)
            throw reader.Malformed($"a summary of {cutoffs} lines does not fit");
        reader.Skip(cutoffs * 20);
    }

    private void ReadNames(ref SpanReader reader)
    {
        Expect(ref reader, GccFormat.GCOV_TAG_AFDO_FILE_NAMES);
        reader.Skip(4);
        if (version == GccFormat.Version3)
            for (int left = Count(ref reader, reader.ReadU32(), MinName); left > 0; left--)
                ReadString(ref reader);
        names = new string[Count(ref reader, reader.ReadU32(), MinName)];
        for (int i = 0; i < names.Length; i++)
        {
            names[i] = ReadString(ref reader);
            if (version == GccFormat.Version3)
                reader.Skip(4);
        }
    }

    private static string ReadString(ref SpanReader reader)
    {
        uint length = reader.ReadU32();
        ReadOnlySpan<byte> bytes = reader.ReadBytes(length);
        if (length == 0 || bytes[^1] != 0 || bytes[..^1].Contains((byte)0))
            throw reader.Malformed("a string that does not end in its only NUL");
        return Encoding.UTF8.GetString(bytes[..^1]);
    }

    private ulong ReadFunction(ref SpanReader reader, FunctionSamples function, int depth)
    {
        if (depth > FunctionSamples.MaxInlineDepth)
            throw reader.Malformed($"functions inlined more than {FunctionSamples.MaxInlineDepth} levels deep");
        uint positions = reader.ReadU32(), callsites = reader.ReadU32();
        ulong total = 0;
        for (int left = Count(ref reader, positions, MinPosition); left > 0; left--)
        {
            BodySample sample = function.BodyAt(GccFormat.Location(reader.ReadU32()));
            uint targets = reader.ReadU32();
            ulong count = reader.ReadU64();
            sample.AddSamples(count);
            total = SampleCount.Add(total, count);
            for (int more = Count(ref reader, targets, MinTarget); more > 0; more--)
            {
                reader.Skip(4);
                string target = ReadName(ref reader, reader.ReadU64());
                sample.AddCallTarget(target, reader.ReadU64());
            }
        }
        for (int left = Count(ref reader, callsites, MinCallsite); left > 0; left--)
        {
            LineLocation location = GccFormat.Location(reader.ReadU32());
            FunctionSamples callee = function.InlinedAt(location, ReadName(ref reader, reader.ReadU32()));
            total = SampleCount.Add(total, ReadFunction(ref reader, callee, depth + 1));
        }
        function.AddTotalSamples(total);
        return total;
    }

    private string ReadName(ref SpanReader reader, ulong index)
    {
        if (index == 0 || index >= (ulong)names.Length || names[index].Length == 0)
            throw reader.Malformed($"name {index} of {names.Length}");
        return names[index];
    }

    private static void Expect(ref SpanReader reader, uint tag)
    {
        uint found = reader.ReadU32();
        if (found != tag)
            throw reader.Malformed($"section 0x{tag:x} expected, not 0x{found:x}");
    }

    /// <summary>A count that the bytes left can hold.</summary>
    private static int Count(ref SpanReader reader, uint count, int minSize) =>
        count <= (uint)reader.Remaining / (uint)minSize ? (int)count : throw reader.Malformed($"{count} entries do not fit the bytes left");
}
