using System.Security.Cryptography;
using Perforator.Bytes;
using static Perforator.Elf.ElfConstants;

namespace Perforator.Elf;

/// <summary>
/// An ELF64 little-endian file for x86-64 or AArch64: an executable, a shared object, or a file with only its debug info. Opening
/// reads the headers; everything else is read when asked for.
/// </summary>
/// <remarks>Memory that this object hands out is valid until it is disposed. Not safe for use by several threads at once.</remarks>
public sealed class ElfFile : IDisposable
{
    private readonly FileBytes bytes;
    private readonly Dictionary<string, ReadOnlyMemory<byte>?> sectionData = new(StringComparer.Ordinal);
    private readonly Dictionary<int, ReadOnlyMemory<byte>> segmentData = [];
    private ElfSymbolTable? symbols;
    private BuildId? buildId;

    private ElfFile(FileBytes bytes, string path)
    {
        this.bytes = bytes;
        Path = path;
        ElfHeaders headers = ElfHeaders.Parse(bytes, path);
        Machine = headers.Machine;
        IsPositionIndependent = headers.Type == ET_DYN;
        IsUnlinked = headers.Type == ET_REL;
        IsKernelModule = KernelModuleImage.IsModule(headers.Type, headers.Sections);
        NoteSegments = headers.NoteSegments;
        Sections = IsKernelModule ? KernelModuleImage.Place(headers.Sections) : headers.Sections;
        LoadSegments = IsKernelModule ? KernelModuleImage.SegmentsOf(Sections) : headers.LoadSegments;
    }

    /// <summary>Opens a file and reads its headers.</summary>
    /// <exception cref="UserErrorException">
    /// Missing, unreadable, not an ELF file, damaged, or of a kind that is not supported; the message says which.
    /// </exception>
    public static ElfFile Load(string path)
    {
        FileBytes bytes = FileBytes.Open(path);
        try
        {
            return new ElfFile(bytes, path);
        }
        catch (MalformedInputException e)
        {
            bytes.Dispose();
            throw new UserErrorException($"{path} is not a binary that can be profiled: {e.What}", e);
        }
    }

    /// <summary>Parses the headers of a file in memory.</summary>
    /// <param name="name">What to call it, for people.</param>
    /// <exception cref="MalformedInputException">Not an ELF file, damaged, or of a kind that is not supported.</exception>
    public static ElfFile Parse(ReadOnlyMemory<byte> file, string name) => new(new FileBytes(file), name);

    /// <summary>The path it was loaded from.</summary>
    public string Path { get; }

    public ElfMachine Machine { get; }

    /// <summary>Whether it is linked to run at any address: a shared object or position-independent executable (ET_DYN).</summary>
    public bool IsPositionIndependent { get; }

    /// <summary>Whether it is an object file (ET_REL).</summary>
    public bool IsUnlinked { get; }

    /// <summary>
    /// Whether it is a kernel module, or the debug file of one: an object file whose sections are given addresses as the kernel places
    /// them, its code from <see cref="KernelModuleText"/> on.
    /// </summary>
    public bool IsKernelModule { get; }

    /// <summary>Where the code of kernel modules is taken to begin.</summary>
    public static BinaryAddress KernelModuleText => new(KernelModuleImage.Text);

    /// <summary>All PT_LOAD segments, in file order; of a kernel module, its sections of code.</summary>
    public IReadOnlyList<LoadSegment> LoadSegments { get; }

    /// <summary>All section headers, in file order; empty when the file has none.</summary>
    public IReadOnlyList<ElfSection> Sections { get; }

    private IReadOnlyList<(ulong Offset, ulong Size, ulong Alignment)> NoteSegments { get; }

    /// <summary>Size of the file in bytes.</summary>
    public ulong FileSize => bytes.Length;

    /// <summary>
    /// Bytes of code: the size of all SHT_PROGBITS sections with SHF_EXECINSTR, which is what Yandex Perforator divides by in
    /// TakenBranchesToExecutableBytesRatio (autofdo_input_builder.cpp); without section headers, the file size of executable segments.
    /// 0 for a file with debug info only.
    /// </summary>
    public ulong ExecutableBytes
    {
        get
        {
            ulong total = 0;
            foreach (ElfSection section in Sections)
                if (section.IsExecutable && section.Type == SHT_PROGBITS)
                    total += section.Size;
            if (Sections.Count == 0)
                foreach (LoadSegment segment in LoadSegments)
                    if (segment.IsExecutable)
                        total += segment.FileSize;
            return total;
        }
    }

    /// <summary>
    /// The build id: NT_GNU_BUILD_ID; else from Go's note; else a pseudo build id, the first bytes of the SHA-256 of the file, which
    /// <see cref="BuildId.IsContentHash"/> tells.
    /// </summary>
    /// <exception cref="MalformedInputException">The file was shortened while it was read.</exception>
    public BuildId BuildId => buildId ??= HasBuildIdNote(out BuildId noted) ? noted : HashFile();

    /// <summary>.symtab, or .dynsym in a stripped file, or no symbols.</summary>
    /// <exception cref="MalformedInputException">The table is damaged.</exception>
    public ElfSymbolTable Symbols => symbols ??= ReadSymbols(SHT_SYMTAB) ?? ReadSymbols(SHT_DYNSYM) ?? ElfSymbolTable.Empty;

    /// <summary>Whether the file has a section with bytes in it under this name, compressed or not.</summary>
    public bool HasSection(string name) => Section(name) is { HasBytes: true, Size: > 0 } || CompressedGnuSection(name) is not null;

    /// <summary>The first section header of this name, or null.</summary>
    public ElfSection? Section(string name)
    {
        foreach (ElfSection section in Sections)
            if (section.Name == name)
                return section;
        return null;
    }

    /// <summary>
    /// The contents of the first section of this name, decompressed if need be (SHF_COMPRESSED, or .zdebug_x for .debug_x); empty
    /// when there is none.
    /// </summary>
    /// <exception cref="MalformedInputException">The section is damaged.</exception>
    public ReadOnlyMemory<byte> SectionData(string name)
    {
        if (!sectionData.TryGetValue(name, out ReadOnlyMemory<byte>? data))
        {
            if (Section(name) is { HasBytes: true } section)
                data = ReadSection(section);
            else if (CompressedGnuSection(name) is { } compressed)
                data = CompressedSection.DecompressGnu(ReadSection(compressed).Span, compressed.Name);
            sectionData.Add(name, data);
        }
        return data ?? default;
    }

    /// <summary>
    /// The contents of one section, decompressed if it has SHF_COMPRESSED and, in a kernel module, with references resolved; empty for
    /// SHT_NOBITS.
    /// </summary>
    /// <exception cref="MalformedInputException">The section is damaged.</exception>
    public ReadOnlyMemory<byte> ReadSection(ElfSection section)
    {
        if (!section.HasBytes)
            return default;
        ReadOnlyMemory<byte> data = ReadAsStored(section);
        if (!IsKernelModule || !Sections.Any(s => s.Type == SHT_RELA && s.Info == section.Index && section.Index != 0))
            return data;
        byte[] linked = data.ToArray();
        foreach (ElfSection relocations in Sections)
            if (relocations.Type == SHT_RELA && relocations.Info == section.Index)
                KernelModuleImage.Relocate(Machine, linked, section.Address, ReadAsStored(relocations).Span, Symbols);
        return linked;
    }

    private ReadOnlyMemory<byte> ReadAsStored(ElfSection section)
    {
        ReadOnlyMemory<byte> data = bytes.Read(section.Offset.Value, section.Size, section.Name);
        return (section.Flags & SHF_COMPRESSED) == 0 ? data : CompressedSection.Decompress(data.Span, section.Name);
    }

    /// <summary>The code from an address to the end of its executable segment; empty when the address is not in one.</summary>
    /// <exception cref="MalformedInputException">The segment lies beyond the end of the file.</exception>
    public ReadOnlyMemory<byte> Code(BinaryAddress address)
    {
        for (int i = 0; i < LoadSegments.Count; i++)
        {
            LoadSegment segment = LoadSegments[i];
            if (!segment.IsExecutable || address < segment.Address || address.Value - segment.Address.Value >= segment.FileSize)
                continue;
            if (!segmentData.TryGetValue(i, out ReadOnlyMemory<byte> data))
                segmentData.Add(i, data = bytes.Read(segment.Offset.Value, segment.FileSize, "PT_LOAD"));
            return data[(int)(address.Value - segment.Address.Value)..];
        }
        return default;
    }

    /// <summary>Whether the address lies in an executable segment.</summary>
    public bool IsCode(BinaryAddress address)
    {
        foreach (LoadSegment segment in LoadSegments)
            if (segment.IsExecutable && address >= segment.Address && address.Value - segment.Address.Value < segment.MemorySize)
                return true;
        return false;
    }

    /// <summary>The build id of the file's own notes; false when it has none.</summary>
    public bool HasBuildIdNote(out BuildId noted)
    {
        noted = default;
        // Sections first: in a file that holds only debug info the program headers' offsets are those of the original.
        foreach (ElfSection section in Sections)
            if (section.Type == SHT_NOTE && section.HasBytes && FindBuildId(section.Offset.Value, section.Size, 4, out noted))
                return true;
        foreach ((ulong offset, ulong size, ulong alignment) in NoteSegments)
            if (FindBuildId(offset, size, alignment == 8 ? 8 : 4, out noted))
                return true;
        return false;
    }

    /// <summary>CRC-32 of the whole file, as .gnu_debuglink has it.</summary>
    /// <exception cref="MalformedInputException">The file was shortened while it was read.</exception>
    public uint ComputeCrc32() => Pieces().Aggregate(0u, (crc, piece) => Crc32.Append(crc, piece.Span));

    public void Dispose() => bytes.Dispose();

    private bool FindBuildId(ulong offset, ulong size, int alignment, out BuildId noted)
    {
        noted = default;
        try
        {
            noted = ElfNote.FindBuildId(bytes.Read(offset, size, "notes").Span, alignment, "notes");
        }
        catch (MalformedInputException)
        {
            // A damaged note names no build id; another note or the pseudo build id does.
        }
        return !noted.IsEmpty;
    }

    private BuildId HashFile()
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (ReadOnlyMemory<byte> piece in Pieces())
            hash.AppendData(piece.Span);
        return BuildId.FromBytes(hash.GetHashAndReset().AsSpan(0, BuildId.ContentHashLength));
    }

    private IEnumerable<ReadOnlyMemory<byte>> Pieces()
    {
        const int Step = 1 << 19;
        for (ulong at = 0; at < bytes.Length; at += Step)
            yield return bytes.Read(at, Math.Min(Step, bytes.Length - at), "file");
    }

    private ElfSection? CompressedGnuSection(string name) =>
        name.StartsWith(".debug_", StringComparison.Ordinal) ? Section(".z" + name[1..]) : null;

    private ElfSymbolTable? ReadSymbols(uint type)
    {
        foreach (ElfSection section in Sections)
        {
            if (section.Type != type || !section.HasBytes || section.Size == 0)
                continue;
            if (section.Link >= (uint)Sections.Count)
                throw new MalformedInputException($"string table {section.Link} does not exist", section.Name, 0);
            ElfSymbolTable table = ElfSymbolTable.Parse(ReadAsStored(section), ReadAsStored(Sections[(int)section.Link]), section.Name);
            return IsKernelModule ? table.PlacedIn(Sections) : table;
        }
        return null;
    }
}
