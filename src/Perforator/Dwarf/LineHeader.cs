using System.Text;
using Perforator.Bytes;
using static Perforator.Dwarf.DwarfConstants;

namespace Perforator.Dwarf;

/// <summary>A line program's header (DWARF 5, section 6.2.4; DWARF 4, section 6.2.4), as much of it as rows need.</summary>
/// <param name="FileCount">Entries of the file table.</param>
internal sealed record LineHeader(
    ushort Version, byte MinimumInstructionLength, sbyte LineBase, byte LineRange, byte OpcodeBase, byte[] OperandCounts, ulong FileCount)
{
    /// <summary>LEB128 operands of a standard opcode.</summary>
    public int OperandCount(byte opcode) => OperandCounts[opcode - 1];

    /// <summary>Reads the header behind unit_length, and leaves the cursor at the program's first opcode.</summary>
    /// <param name="names">Told the file table's names; null to leave them unread.</param>
    /// <exception cref="MalformedInputException">Damaged or of an unknown version.</exception>
    public static LineHeader Read(ref SpanReader reader, byte addressSize, byte offsetSize, LineFiles? names = null)
    {
        ushort version = reader.ReadU16();
        if (version is < 2 or > 5)
            throw reader.Malformed($"line program version {version}");
        if (version >= 5)
        {
            addressSize = reader.ReadU8();
            reader.Skip(1);
        }
        SpanReader header = reader.Slice(reader.ReadUnsigned(offsetSize), ".debug_line header");
        byte minimumInstructionLength = header.ReadU8();
        // maximum_operations_per_instruction is 1 on every machine but VLIW ones.
        if (version >= 4)
            header.Skip(1);
        header.Skip(1);
        sbyte lineBase = header.ReadI8();
        byte lineRange = header.ReadU8();
        byte opcodeBase = header.ReadU8();
        byte[] operandCounts = opcodeBase == 0 ? [] : header.ReadBytes((ulong)opcodeBase - 1).ToArray();
        ulong files =
            version >= 5 ? ReadFiles(ref header, new(version, addressSize, offsetSize), names) : ReadFilesBefore5(ref header, names);
        return new LineHeader(version, minimumInstructionLength, lineBase, lineRange, opcodeBase, operandCounts, files);
    }

    private static ulong ReadFilesBefore5(ref SpanReader header, LineFiles? names)
    {
        for (ReadOnlySpan<byte> folder; !(folder = header.ReadCStringBytes()).IsEmpty;)
            names?.AddFolder(Encoding.UTF8.GetString(folder));
        ulong files = 0;
        for (ReadOnlySpan<byte> file; !(file = header.ReadCStringBytes()).IsEmpty; files++)
        {
            ulong folder = header.ReadULeb128();
            header.ReadULeb128();
            header.ReadULeb128();
            names?.AddFile(Encoding.UTF8.GetString(file), folder);
        }
        return files;
    }

    private static ulong ReadFiles(ref SpanReader header, FormSizes sizes, LineFiles? names)
    {
        List<(ulong Content, ushort Form)> format = ReadEntryFormat(ref header);
        for (ulong count = Count(ref header, format); count > 0; count--)
        {
            (string? name, _) = ReadEntry(ref header, format, sizes, names);
            names?.AddFolder(name ?? "");
        }
        format = ReadEntryFormat(ref header);
        ulong files = Count(ref header, format);
        // The file table is the header's end: only who wants names reads it.
        for (ulong count = names is null ? 0 : files; count > 0; count--)
        {
            (string? name, ulong folder) = ReadEntry(ref header, format, sizes, names);
            names!.AddFile(name ?? "", folder);
        }
        return files;
    }

    private static List<(ulong Content, ushort Form)> ReadEntryFormat(ref SpanReader header)
    {
        List<(ulong, ushort)> format = [];
        for (int count = header.ReadU8(); count > 0; count--)
        {
            ulong content = header.ReadULeb128(), form = header.ReadULeb128();
            if (form > ushort.MaxValue)
                throw header.Malformed($"form 0x{form:x}");
            format.Add((content, (ushort)form));
        }
        return format;
    }

    private static ulong Count(ref SpanReader header, List<(ulong Content, ushort Form)> forms)
    {
        ulong count = header.ReadULeb128();
        // Every entry takes at least a byte, unless it has no fields at all.
        if (count > (ulong)header.Remaining || (forms.Count == 0 && count != 0))
            throw header.Malformed($"{count} files or folders");
        return count;
    }

    /// <summary>A file's or folder's name, where names are wanted, and its folder.</summary>
    private static (string? Name, ulong Folder) ReadEntry(
        ref SpanReader header, List<(ulong Content, ushort Form)> format, FormSizes sizes, LineFiles? names)
    {
        string? name = null;
        ulong folder = 0;
        foreach ((ulong content, ushort form) in format)
        {
            ulong value = 0;
            switch (form)
            {
                case DW_FORM_string:
                    ReadOnlySpan<byte> text = header.ReadCStringBytes();
                    if (content == DW_LNCT_path && names is not null)
                        name = Encoding.UTF8.GetString(text);
                    continue;
                case DW_FORM_udata or DW_FORM_strx:
                    value = header.ReadULeb128();
                    break;
                case DW_FORM_block:
                    header.Skip(header.ReadULeb128());
                    break;
                default:
                    int size = sizes.Of(form);
                    if (size <= 0)
                        throw header.Malformed($"form 0x{form:x}");
                    if (size <= sizeof(ulong))
                        value = header.ReadUnsigned(size);
                    else
                        header.Skip((ulong)size);
                    break;
            }
            if (content == DW_LNCT_path)
                name = names?.Text(new AttributeValue(form, value));
            else if (content == DW_LNCT_directory_index)
                folder = value;
        }
        return (name, folder);
    }
}
