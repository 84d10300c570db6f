using Perforator.Bytes;
using static Perforator.Dwarf.DwarfConstants;

namespace Perforator.Dwarf;

/// <summary>Line number programs: .debug_line of DWARF 2 to 5 (DWARF 5, section 6.2).</summary>
internal static class LineProgram
{
    /// <summary>Runs one program.</summary>
    /// <param name="lines">.debug_line.</param>
    /// <param name="offset">DW_AT_stmt_list.</param>
    /// <param name="addressSize">Address size of the unit; DWARF 5 programs say it themselves.</param>
    /// <param name="isCode">Whether an address is in code: sequences of discarded functions begin at 0 or another tombstone.</param>
    /// <param name="size">Bytes of the program.</param>
    /// <param name="damage">What stopped the program before its end; the sequences before that are kept.</param>
    /// <exception cref="MalformedInputException">The header is damaged.</exception>
    public static LineTable Run(
        ReadOnlySpan<byte> lines, ulong offset, byte addressSize, Func<ulong, bool> isCode, out ulong size,
        out MalformedInputException? damage)
    {
        SpanReader section = new(lines, ".debug_line");
        section.Seek(offset);
        ulong length = InitialLength.Read(ref section, out byte offsetSize);
        size = length;
        SpanReader program = section.Slice(length, ".debug_line program");
        LineHeader header = LineHeader.Read(ref program, addressSize, offsetSize);
        // What compilers write takes five bytes a row and more.
        Machine machine = new(header, isCode, program.Remaining / 5);
        damage = null;
        try
        {
            while (!program.AtEnd)
                machine.Step(ref program);
        }
        catch (MalformedInputException e)
        {
            damage = e;
        }
        return machine.Finish();
    }

    /// <summary>The registers and the rows written so far.</summary>
    private sealed class Machine(LineHeader header, Func<ulong, bool> isCode, int likelyRows)
    {
        private readonly List<LineRow> rows = new(likelyRows);
        private readonly List<LineSequence> sequences = [];
        private ulong address;
        private ulong file = 1;
        private uint line = 1;
        private uint discriminator;
        private ulong files = header.FileCount;
        private int sequenceStart;

        public LineTable Finish()
        {
            rows.RemoveRange(sequenceStart, rows.Count - sequenceStart);
            return new LineTable(rows, sequences);
        }

        public void Step(ref SpanReader program)
        {
            byte opcode = program.ReadU8();
            if (opcode >= header.OpcodeBase)
            {
                int adjusted = opcode - header.OpcodeBase;
                if (header.LineRange == 0)
                    throw program.Malformed("special opcode although line_range is 0");
                address += (ulong)(adjusted / header.LineRange) * header.MinimumInstructionLength;
                line = unchecked(line + (uint)(header.LineBase + adjusted % header.LineRange));
                AppendRow();
                return;
            }
            switch (opcode)
            {
                case 0:
                    Extended(ref program);
                    break;
                case DW_LNS_copy:
                    AppendRow();
                    break;
                case DW_LNS_advance_pc:
                    address += program.ReadULeb128() * header.MinimumInstructionLength;
                    break;
                case DW_LNS_advance_line:
                    line = unchecked(line + (uint)program.ReadSLeb128());
                    break;
                case DW_LNS_set_file:
                    file = program.ReadULeb128();
                    break;
                case DW_LNS_const_add_pc:
                    if (header.LineRange == 0)
                        throw program.Malformed("DW_LNS_const_add_pc although line_range is 0");
                    address += (ulong)((255 - header.OpcodeBase) / header.LineRange) * header.MinimumInstructionLength;
                    break;
                case DW_LNS_fixed_advance_pc:
                    address += program.ReadU16();
                    break;
                case DW_LNS_negate_stmt or DW_LNS_set_basic_block:
                    break;
                default:
                    // Operands of other opcodes, known or not, do not matter here; the header says how many there are.
                    for (int i = header.OperandCount(opcode); i > 0; i--)
                        program.ReadULeb128();
                    break;
            }
        }

        private void Extended(ref SpanReader program)
        {
            ulong length = program.ReadULeb128();
            if (length == 0)
                return;
            SpanReader operation = program.Slice(length, ".debug_line extended opcode");
            switch (operation.ReadU8())
            {
                case DW_LNE_end_sequence:
                    EndSequence();
                    break;
                case DW_LNE_set_address:
                    address = operation.ReadUnsigned(operation.Remaining);
                    break;
                case DW_LNE_define_file:
                    files++;
                    break;
                case DW_LNE_set_discriminator:
                    discriminator = (uint)operation.ReadULeb128();
                    break;
            }
        }

        private void AppendRow()
        {
            // A row whose file is not in the table names no place; LLVM drops its line and discriminator too.
            bool hasFile = header.Version >= 5 ? file < files : file - 1 < files;
            uint known = line == LineTable.EndLine ? 0 : line;
            rows.Add(hasFile ? new(address, known, discriminator) : new(address, 0, 0));
            discriminator = 0;
        }

        private void EndSequence()
        {
            rows.Add(new(address, LineTable.EndLine, 0));
            ulong low = rows[sequenceStart].Address;
            if (low < address && isCode(low))
                sequences.Add(new(low, address, sequenceStart, rows.Count - 1));
            else
                rows.RemoveRange(sequenceStart, rows.Count - sequenceStart);
            sequenceStart = rows.Count;
            address = 0;
            file = 1;
            line = 1;
            discriminator = 0;
        }
    }
}
