using System.Text;
using Perforator.Bytes;
using static Perforator.Elf.ElfConstants;

namespace Perforator.Elf;

/// <summary>The ELF header, program headers and section headers, parsed and checked.</summary>
internal sealed record ElfHeaders(
    ElfMachine Machine, ushort Type, IReadOnlyList<LoadSegment> LoadSegments,
    IReadOnlyList<(ulong Offset, ulong Size, ulong Alignment)> NoteSegments, IReadOnlyList<ElfSection> Sections)
{
    private const int HeaderSize = 64;
    private const int ProgramHeaderSize = 56;
    private const int SectionHeaderSize = 64;

    /// <summary>Linkers write a dozen program headers; every address is looked up among them.</summary>
    private const uint MaxProgramHeaders = 1024;

    /// <summary>Longer section names are cut: many headers may share one long name.</summary>
    private const int MaxNameLength = 512;

    /// <exception cref="MalformedInputException">Not an ELF file, damaged, or of a kind that is not supported.</exception>
    public static ElfHeaders Parse(FileBytes file, string name)
    {
        if (file.Length < 4 || !file.Read(0, 4, name).Span.SequenceEqual("\x7f"u8 + "ELF"u8))
            throw new MalformedInputException(
                CompressionOf(file, name) is { } unpack ? $"it is compressed; unpack it first ({unpack})" : "not an ELF file", name, 0);
        SpanReader reader = new(file.Read(0, Math.Min(HeaderSize, file.Length), "ELF header").Span, "ELF header");
        reader.Skip(4);
        if (reader.ReadU8() != ELFCLASS64)
            throw reader.Malformed("32-bit ELF is not supported, only 64-bit x86-64 and AArch64");
        if (reader.ReadU8() != ELFDATA2LSB)
            throw reader.Malformed("big-endian ELF is not supported, only 64-bit x86-64 and AArch64");
        reader.Seek(EI_NIDENT);
        ushort type = reader.ReadU16();
        ElfMachine machine = (ElfMachine)reader.ReadU16();
        if (machine is not (ElfMachine.X86_64 or ElfMachine.AArch64))
            throw reader.Malformed($"ELF for machine {(ushort)machine} is not supported, only x86-64 and AArch64");
        if (type == ET_CORE)
            throw reader.Malformed(
                "an image of memory (a core file); of the running kernel, whose image /proc/kcore is, give the vmlinux with its debug info");
        reader.Skip(4 + 8);
        ulong programHeaders = reader.ReadU64();
        ulong sectionHeaders = reader.ReadU64();
        reader.Skip(4 + 2);
        ushort programHeaderSize = reader.ReadU16();
        uint programHeaderCount = reader.ReadU16();
        ushort sectionHeaderSize = reader.ReadU16();
        ulong sectionCount = reader.ReadU16();
        uint namesIndex = reader.ReadU16();

        IReadOnlyList<ElfSection> sections = [];
        if (sectionHeaders != 0)
        {
            if (sectionHeaderSize != SectionHeaderSize)
                throw reader.Malformed($"section headers of {sectionHeaderSize} bytes instead of {SectionHeaderSize}");
            // Extended numbering: counts that do not fit the ELF header stand in section header 0.
            RawSection first = ReadRawSections(file, sectionHeaders, 1)[0];
            if (sectionCount == 0)
                sectionCount = first.Size;
            if (namesIndex == SHN_XINDEX)
                namesIndex = first.Link;
            if (programHeaderCount == PN_XNUM)
                programHeaderCount = first.Info;
            sections = ReadSections(file, sectionHeaders, sectionCount, namesIndex);
        }

        List<LoadSegment> loads = [];
        List<(ulong, ulong, ulong)> notes = [];
        if (programHeaders != 0 && programHeaderCount != 0)
        {
            if (programHeaderSize != ProgramHeaderSize)
                throw reader.Malformed($"program headers of {programHeaderSize} bytes instead of {ProgramHeaderSize}");
            if (programHeaderCount > MaxProgramHeaders)
                throw reader.Malformed($"{programHeaderCount} program headers; no binary has more than {MaxProgramHeaders}");
            ReadSegments(file, programHeaders, programHeaderCount, loads, notes);
        }
        return new ElfHeaders(machine, type, loads, notes, sections);
    }

    /// <summary>The command that unpacks a file as distributions ship kernel modules; null when it is not compressed so.</summary>
    private static string? CompressionOf(FileBytes file, string name) => (file.Length < 4 ? default : file.Read(0, 4, name).Span) switch
    {
        [0xfd, (byte)'7', (byte)'z', (byte)'X'] => "xz -dk",
        [0x28, 0xb5, 0x2f, 0xfd] => "zstd -d",
        [0x1f, 0x8b, ..] => "gzip -dk",
        _ => null,
    };

    private static void ReadSegments(FileBytes file, ulong offset, uint count, List<LoadSegment> loads, List<(ulong, ulong, ulong)> notes)
    {
        SpanReader reader = new(file.Read(offset, (ulong)count * ProgramHeaderSize, "program headers").Span, "program headers", offset);
        for (uint i = 0; i < count; i++)
        {
            uint type = reader.ReadU32();
            uint flags = reader.ReadU32();
            ulong at = reader.ReadU64();
            ulong address = reader.ReadU64();
            reader.Skip(8);
            ulong fileSize = reader.ReadU64();
            ulong memorySize = reader.ReadU64();
            ulong alignment = reader.ReadU64();
            if (type == PT_LOAD)
            {
                if (address > ulong.MaxValue - memorySize)
                    throw reader.Malformed($"segment at 0x{address:x} of 0x{memorySize:x} bytes wraps around");
                loads.Add(new LoadSegment(new(address), new(at), fileSize, memorySize, (flags & PF_X) != 0));
            }
            else if (type == PT_NOTE)
            {
                notes.Add((at, fileSize, alignment));
            }
        }
    }

    private static ElfSection[] ReadSections(FileBytes file, ulong offset, ulong count, uint namesIndex)
    {
        if (count > file.Length / SectionHeaderSize)
            throw new MalformedInputException($"{count} section headers do not fit the file", "section headers", offset);
        RawSection[] raw = ReadRawSections(file, offset, (int)count);
        ReadOnlySpan<byte> names = default;
        if (namesIndex != SHN_UNDEF)
        {
            if (namesIndex >= (uint)raw.Length)
                throw new MalformedInputException($"section name table {namesIndex} does not exist", "section headers", offset);
            names = file.Read(raw[namesIndex].Offset, raw[namesIndex].Size, "section names").Span;
        }
        ElfSection[] sections = new ElfSection[raw.Length];
        for (int i = 0; i < raw.Length; i++)
        {
            RawSection s = raw[i];
            sections[i] = new ElfSection(i, Name(names, s.Name), s.Type, s.Flags, new(s.Address), new(s.Offset), s.Size, s.Link, s.EntrySize)
            {
                Info = s.Info,
                Alignment = s.Alignment,
            };
        }
        return sections;
    }

    private static string Name(ReadOnlySpan<byte> names, uint offset)
    {
        if (offset >= (uint)names.Length)
            return "";
        ReadOnlySpan<byte> rest = names[(int)offset..];
        rest = rest[..Math.Min(rest.Length, MaxNameLength)];
        int end = rest.IndexOf((byte)0);
        return Encoding.UTF8.GetString(end < 0 ? rest : rest[..end]);
    }

    private readonly record struct RawSection(
        uint Name, uint Type, ulong Flags, ulong Address, ulong Offset, ulong Size, uint Link, uint Info, ulong Alignment, ulong EntrySize);

    private static RawSection[] ReadRawSections(FileBytes file, ulong offset, int count)
    {
        SpanReader reader = new(file.Read(offset, (ulong)count * SectionHeaderSize, "section headers").Span, "section headers", offset);
        RawSection[] sections = new RawSection[count];
        for (int i = 0; i < count; i++)
        {
            uint name = reader.ReadU32();
            uint type = reader.ReadU32();
            ulong flags = reader.ReadU64();
            ulong address = reader.ReadU64();
            ulong at = reader.ReadU64();
            ulong size = reader.ReadU64();
            uint link = reader.ReadU32();
            uint info = reader.ReadU32();
            ulong alignment = reader.ReadU64();
            sections[i] = new RawSection(name, type, flags, address, at, size, link, info, alignment, reader.ReadU64());
        }
        return sections;
    }
}
