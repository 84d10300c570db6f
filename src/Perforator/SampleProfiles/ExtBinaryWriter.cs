using System.IO.Compression;
using Perforator.Bytes;

namespace Perforator.SampleProfiles;

/// <summary>
/// LLVM's extensible binary format, byte for byte as <c>SampleProfileWriterExtBinary</c> of LLVM 19 writes it, but for two things it
/// leaves to chance: function metadata is written hottest function first (LLVM: in the order of a hash table), and compressed
/// sections are as this runtime's zlib makes them.
/// </summary>
internal sealed class ExtBinaryWriter
{
    /// <summary>".__uniq." in a name tells the compiler not to strip that suffix (<c>FunctionSamples::UniqSuffix</c>).</summary>
    private const string UniqSuffix = ".__uniq.";

    private sealed class Section(SecType type)
    {
        public SecType Type { get; } = type;
        public ulong Flags { get; set; }
        public int Offset { get; set; }
        public int Size { get; set; }
    }

    private readonly ByteWriter file = new(4096);
    private readonly ByteWriter content = new(4096);
    private readonly SampleProfile profile;
    private readonly SampleProfileWriteOptions options;
    private readonly SampleProfileBinaryWriter binary;

    public ExtBinaryWriter(SampleProfile profile, SampleProfileWriteOptions options)
    {
        this.profile = profile;
        this.options = options;
        binary = new SampleProfileBinaryWriter(content, profile, profile.HasVTables);
    }

    public ReadOnlySpan<byte> Write()
    {
        // Readers go by the header table's order, so a function offset table stands before its functions there, though it can only
        // be written after them.
        Section summary = new(SecType.SecProfSummary), names = new(SecType.SecNameTable), contexts = new(SecType.SecCSNameTable);
        Section offsets = new(SecType.SecFuncOffsetTable), functions = new(SecType.SecLBRProfile);
        Section flatOffsets = new(SecType.SecFuncOffsetTable), flatFunctions = new(SecType.SecLBRProfile);
        Section symbols = new(SecType.SecProfileSymbolList), metadata = new(SecType.SecFuncMetadata);
        Section[] table = options.SplitLayout
            ? [summary, names, offsets, functions, flatOffsets, flatFunctions, symbols, metadata]
            : [summary, names, contexts, offsets, functions, symbols, metadata];
        SetFlags(table);
        if (options.SplitLayout)
        {
            flatOffsets.Flags |= SecFlags.SecFlagFlat;
            flatFunctions.Flags |= SecFlags.SecFlagFlat;
        }

        file.WriteULeb128(BinaryFormat.ExtBinaryMagic);
        file.WriteULeb128(BinaryFormat.Version);
        file.WriteU64((ulong)table.Length);
        int tableAt = file.Position;
        file.WriteBytes(new byte[table.Length * 32]);

        FunctionSamples[] all = profile.HottestFirst();
        Write(summary, binary.WriteSummary);
        Write(names, UsesMd5 ? binary.WriteMd5Names : binary.WriteNames);
        if (options.SplitLayout)
        {
            WriteFunctions(functions, offsets, [.. all.Where(static f => f.Callsites.Count != 0)]);
            WriteFunctions(flatFunctions, flatOffsets, [.. all.Where(static f => f.Callsites.Count == 0)]);
            Write(symbols, WriteSymbols);
        }
        else
        {
            Write(contexts, () => content.WriteULeb128(0));
            WriteFunctions(functions, offsets, all, between: () => Write(symbols, WriteSymbols));
        }
        Write(metadata, () => WriteMetadata(all));

        foreach (Section section in table)
        {
            file.PatchU64(tableAt, (ulong)section.Type);
            file.PatchU64(tableAt + 8, section.Flags);
            file.PatchU64(tableAt + 16, (ulong)section.Offset);
            file.PatchU64(tableAt + 24, (ulong)section.Size);
            tableAt += 32;
        }
        return file.Written;
    }

    private bool UsesMd5 => options.Md5Names || profile.UsesMd5Names;

    private void SetFlags(Section[] table)
    {
        foreach (Section section in table)
        {
            if (options.CompressAllSections)
                section.Flags |= SecFlags.SecFlagCompress;
            switch (section.Type)
            {
                case SecType.SecProfSummary:
                    section.Flags |= (profile.IsPartial ? SecFlags.SecFlagPartial : 0)
                        | (profile.IsPreInlined ? SecFlags.SecFlagIsPreInlined : 0)
                        | (profile.IsFlowSensitive ? SecFlags.SecFlagFSDiscriminator : 0)
                        | (profile.HasVTables ? SecFlags.SecFlagHasVTableTypeProf : 0);
                    break;
                case SecType.SecNameTable when UsesMd5:
                    section.Flags |= SecFlags.SecFlagMD5Name | SecFlags.SecFlagFixedLengthMD5;
                    break;
                case SecType.SecNameTable when binary.Names.Any(static name => name.Contains(UniqSuffix, StringComparison.Ordinal)):
                    section.Flags |= SecFlags.SecFlagUniqSuffix;
                    break;
                case SecType.SecProfileSymbolList when options.CompressSymbols && profile.Symbols.Count != 0:
                    section.Flags |= SecFlags.SecFlagCompress;
                    break;
                case SecType.SecFuncMetadata:
                    section.Flags |= (profile.IsProbeBased ? SecFlags.SecFlagIsProbeBased : 0)
                        | (profile.IsPreInlined ? SecFlags.SecFlagHasAttribute : 0);
                    break;
            }
        }
    }

    private void Write(Section section, Action write)
    {
        content.Clear();
        write();
        section.Offset = file.Position;
        if ((section.Flags & SecFlags.SecFlagCompress) == 0)
            file.WriteBytes(content.Written);
        else if (content.Position != 0)
            WriteCompressed(content.Written);
        section.Size = file.Position - section.Offset;
    }

    /// <summary>Size of the content, size of the zlib stream, the stream.</summary>
    private void WriteCompressed(ReadOnlySpan<byte> plain)
    {
        using MemoryStream compressed = new();
        using (ZLibStream zlib = new(compressed, CompressionLevel.SmallestSize, leaveOpen: true))
            zlib.Write(plain);
        file.WriteULeb128((ulong)plain.Length);
        file.WriteULeb128((ulong)compressed.Length);
        file.WriteBytes(compressed.GetBuffer().AsSpan(0, (int)compressed.Length));
    }

    private void WriteFunctions(Section section, Section offsetTable, FunctionSamples[] functions, Action? between = null)
    {
        int[] offsets = new int[functions.Length];
        Write(section, () =>
        {
            for (int i = 0; i < functions.Length; i++)
            {
                offsets[i] = content.Position;
                binary.WriteFunction(functions[i]);
            }
        });
        between?.Invoke();
        Write(offsetTable, () =>
        {
            content.WriteULeb128((ulong)functions.Length);
            for (int i = 0; i < functions.Length; i++)
            {
                binary.WriteName(functions[i].Name);
                content.WriteULeb128((ulong)offsets[i]);
            }
        });
    }

    private void WriteSymbols()
    {
        foreach (string symbol in profile.Symbols)
        {
            content.WriteUtf8(symbol);
            content.WriteU8(0);
        }
    }

    private void WriteMetadata(FunctionSamples[] functions)
    {
        if (profile.IsProbeBased || profile.IsPreInlined)
            foreach (FunctionSamples function in functions)
                WriteMetadata(function);
    }

    private void WriteMetadata(FunctionSamples function)
    {
        binary.WriteName(function.Name);
        if (profile.IsProbeBased)
            content.WriteULeb128(function.Checksum);
        if (profile.IsPreInlined)
            content.WriteULeb128((ulong)function.Attributes);
        binary.WriteInlined(function, WriteMetadata);
    }
}
