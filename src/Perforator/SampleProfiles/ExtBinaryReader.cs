using Perforator.Bytes;

namespace Perforator.SampleProfiles;

/// <summary>
/// LLVM's extensible binary format: a table of sections, read in the table's order (<c>SampleProfileReaderExtBinary</c>).
/// </summary>
internal sealed class ExtBinaryReader
{
    /// <summary>
    /// Sections may decompress to this many times the file's size, all together, and to no less than <see cref="DecompressedFloor"/>.
    /// </summary>
    private const long DecompressedRatio = 64;

    private const long DecompressedFloor = 16 << 20;

    private readonly SampleProfile profile = new();
    private BinaryRecordReader records = new([]);
    private long decompressedLeft;

    /// <summary>The functions of a context-sensitive profile; null in others.</summary>
    private ContextTree? contexts;

    private ContextFrame[][] contextTable = [];

    public SampleProfile Parse(ReadOnlySpan<byte> data)
    {
        decompressedLeft = Math.Min(Array.MaxLength, Math.Max(DecompressedFloor, data.Length * DecompressedRatio));
        foreach (ExtBinarySection entry in ExtBinarySection.ReadTable(data))
        {
            if (entry.Size == 0)
                continue;
            if ((entry.Flags & ~SecFlags.Known(entry.Type)) is not 0 and var unknown)
                throw new MalformedInputException(
                    $"{entry.Type} has the flag {SecFlags.NameOf(entry.Type, unknown & (0 - unknown))} of a newer LLVM, which is not understood: write the profile as text with its llvm-profdata", "extbinary sample profile", entry.Offset);
            ReadOnlySpan<byte> content = data.Slice((int)entry.Offset, (int)entry.Size);
            if (entry.IsCompressed)
                content = Decompress(content, entry);
            SpanReader section = new(content, entry.Type.ToString(), entry.IsCompressed ? 0 : entry.Offset);
            ReadSection(ref section, entry.Type, entry.Flags);
        }
        contexts?.NestInto(profile);
        return profile;
    }

    /// <summary>
    /// The top-level function that the index at the cursor means: of a name or, in context-sensitive profiles, of a context.
    /// </summary>
    private FunctionSamples ReadFunctionName(ref SpanReader reader)
    {
        if (contexts is null)
            return profile.Function(records.ReadName(ref reader));
        ulong index = reader.ReadULeb128();
        return index < (ulong)contextTable.Length
            ? contexts.Function(contextTable[index]) : throw reader.Malformed($"context {index} of {contextTable.Length}");
    }

    /// <summary>The calling contexts: number of frames, then name and place of the call of each.</summary>
    private void ReadContexts(ref SpanReader reader)
    {
        ulong count = reader.ReadULeb128();
        if (count > (ulong)reader.Remaining)
            throw reader.Malformed($"{count} contexts do not fit into {reader.Remaining} bytes");
        contextTable = new ContextFrame[count][];
        for (int i = 0; i < contextTable.Length; i++)
        {
            ulong frames = reader.ReadULeb128();
            if (frames is 0 or > ContextTree.MaxDepth)
                throw reader.Malformed($"a context of {frames} frames");
            contextTable[i] = new ContextFrame[frames];
            for (int frame = 0; frame < contextTable[i].Length; frame++)
                contextTable[i][frame] = new ContextFrame(records.ReadName(ref reader), BinaryRecordReader.ReadLocation(ref reader));
        }
    }

    private void ReadSection(ref SpanReader reader, SecType type, ulong flags)
    {
        switch (type)
        {
            case SecType.SecProfSummary:
                BinaryRecordReader.SkipSummary(ref reader);
                profile.IsPartial = (flags & SecFlags.SecFlagPartial) != 0;
                profile.IsFlowSensitive = (flags & SecFlags.SecFlagFSDiscriminator) != 0;
                profile.IsPreInlined = (flags & SecFlags.SecFlagIsPreInlined) != 0;
                profile.HasVTables = (flags & SecFlags.SecFlagHasVTableTypeProf) != 0;
                if ((flags & SecFlags.SecFlagFullContext) != 0)
                    contexts = new ContextTree();
                break;
            case SecType.SecNameTable:
                profile.UsesMd5Names = (flags & SecFlags.SecFlagMD5Name) != 0;
                records = new BinaryRecordReader(
                    profile.UsesMd5Names ? ReadMd5Names(ref reader, flags) : BinaryRecordReader.ReadNames(ref reader), profile.HasVTables);
                break;
            case SecType.SecCSNameTable:
                ReadContexts(ref reader);
                break;
            case SecType.SecLBRProfile:
                while (!reader.AtEnd)
                    records.ReadFunction(ref reader, ReadFunctionName);
                break;
            case SecType.SecFuncMetadata:
                profile.IsProbeBased = (flags & SecFlags.SecFlagIsProbeBased) != 0;
                while (!reader.AtEnd)
                    ReadMetadata(
                        ref reader, contexts is null
                            ? profile.Functions.GetValueOrDefault(records.ReadName(ref reader)) : ReadFunctionName(ref reader), flags,
                            depth: 0);
                break;
            case SecType.SecProfileSymbolList:
                while (!reader.AtEnd)
                {
                    int start = (int)reader.Offset;
                    profile.Symbols.Add(NamePool.Decode(reader.ReadCStringBytes(), start));
                }
                break;
            default:
                // Offset tables serve readers that want some functions only; sections of types yet unknown are to be passed over.
                break;
        }
    }

    private static string[] ReadMd5Names(ref SpanReader reader, ulong flags)
    {
        bool fixedLength = (flags & SecFlags.SecFlagFixedLengthMD5) != 0;
        string[] names = BinaryRecordReader.NewTable(ref reader, bytesEach: fixedLength ? 8 : 1);
        for (int i = 0; i < names.Length; i++)
            names[i] = (fixedLength ? reader.ReadU64() : reader.ReadULeb128()).ToString();
        return names;
    }

    /// <summary>Checksum and attributes of a function and of all inlined into it. What the profile does not know is read over.</summary>
    private void ReadMetadata(ref SpanReader reader, FunctionSamples? function, ulong flags, int depth)
    {
        if (depth > FunctionSamples.MaxInlineDepth)
            throw reader.Malformed($"functions inlined more than {FunctionSamples.MaxInlineDepth} levels deep");
        ulong checksum = (flags & SecFlags.SecFlagIsProbeBased) != 0 ? reader.ReadULeb128() : 0;
        uint attributes = (flags & SecFlags.SecFlagHasAttribute) != 0 ? BinaryRecordReader.ReadU32(ref reader) : 0;
        if (function is not null)
        {
            function.Checksum = checksum;
            function.Attributes = (ContextAttributes)attributes;
        }
        if (contexts is not null)
            return;
        for (ulong callsites = BinaryRecordReader.ReadU32(ref reader); callsites != 0; callsites--)
        {
            LineLocation location = BinaryRecordReader.ReadLocation(ref reader);
            string name = records.ReadName(ref reader);
            FunctionSamples? callee = null;
            if (function is not null && function.Callsites.TryGetValue(location, out NameMap<FunctionSamples>? callees))
                callees.TryGetValue(name, out callee);
            ReadMetadata(ref reader, callee, flags, depth + 1);
        }
    }

    /// <summary>Size of the content, size of the zlib stream, the stream.</summary>
    private byte[] Decompress(ReadOnlySpan<byte> section, ExtBinarySection entry)
    {
        SpanReader reader = new(section, $"compressed {entry.Type}", entry.Offset);
        ulong size = reader.ReadULeb128();
        ulong compressedSize = reader.ReadULeb128();
        ReadOnlySpan<byte> compressed = reader.ReadBytes(compressedSize);
        if (size > (ulong)decompressedLeft)
            throw reader.Malformed($"{size} bytes decompressed are more than a file of this size may hold");
        decompressedLeft -= (long)size;
        byte[] content = Zlib.Decompress(compressed, (int)size, $"compressed {entry.Type}");
        return (ulong)content.Length == size ? content : throw reader.Malformed($"decompresses to {content.Length} bytes, not {size}");
    }
}
