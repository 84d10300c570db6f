using Perforator.Bytes;
using static Perforator.Dwarf.DwarfConstants;

namespace Perforator.Dwarf;

/// <summary>A line program's header (DWARF 5, section 6.2.4; DWARF 4, section 6.2.4), as much of it as rows need.</summary>
/// <param name="FileCount">Entries of the file table; their names are not used.</param>
internal sealed record LineHeader(
    ushort Version, byte MinimumInstructionLength, sbyte LineBase, byte LineRange, byte OpcodeBase, byte[] OperandCounts, ulong FileCount)
{
    /// <summary>LEB128 operands of a standard opcode.</summary>
    public int OperandCount(byte opcode) => OperandCounts[opcode - 1];

    /// <summary>Reads the header behind unit_length, and leaves the cursor at the program's first opcode.</summary>
    /// <exception cref="MalformedInputException">Damaged or of an unknown version.</exception>
    public static LineHeader Read(ref SpanReader reader, byte addressSize, byte offsetSize)
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
        ulong files = version >= 5 ? CountFiles(ref header, new(version, addressSize, offsetSize)) : CountFilesBefore5(ref header);
        return new LineHeader(version, minimumInstructionLength, lineBase, lineRange, opcodeBase, operandCounts, files);
    }

    private static ulong CountFilesBefore5(ref SpanReader header)
    {
        while (!header.ReadCStringBytes().IsEmpty)
        {
            // Include folders.
        }
        ulong files = 0;
        while (!header.ReadCStringBytes().IsEmpty)
        {
            header.ReadULeb128();
            header.ReadULeb128();
            header.ReadULeb128();
            files++;
        }
        return files;
    }

    private static ulong CountFiles(ref SpanReader header, FormSizes sizes)
    {
        SkipEntryFormat(ref header, out List<ushort> folderForms);
        for (ulong count = Count(ref header, folderForms); count > 0; count--)
            SkipEntry(ref header, folderForms, sizes);
        SkipEntryFormat(ref header, out List<ushort> fileForms);
        return Count(ref header, fileForms);
    }

    private static void SkipEntryFormat(ref SpanReader header, out List<ushort> forms)
    {
        forms = [];
        for (int count = header.ReadU8(); count > 0; count--)
        {
            header.ReadULeb128();
            ulong form = header.ReadULeb128();
            if (form > ushort.MaxValue)
                throw header.Malformed($"form 0x{form:x}");
            forms.Add((ushort)form);
        }
    }

    private static ulong Count(ref SpanReader header, List<ushort> forms)
    {
        ulong count = header.ReadULeb128();
        // Every entry takes at least a byte, unless it has no fields at all.
        if (count > (ulong)header.Remaining || (forms.Count == 0 && count != 0))
            throw header.Malformed($"{count} files or folders");
        return count;
    }

    private static void SkipEntry(ref SpanReader header, List<ushort> forms, FormSizes sizes)
    {
        foreach (ushort form in forms)
        {
            switch (form)
            {
                case DW_FORM_string:
                    header.ReadCStringBytes();
                    break;
                case DW_FORM_udata or DW_FORM_strx:
                    header.ReadULeb128();
                    break;
                case DW_FORM_block:
                    header.Skip(header.ReadULeb128());
                    break;
                default:
                    int size = sizes.Of(form);
                    if (size <= 0)
                        throw header.Malformed($"form 0x{form:x}");
                    header.Skip((ulong)size);
                    break;
            }
        }
    }
}
