using Perforator.Bytes;
using Perforator.Dwarf;

namespace Perforator.Tests.Dwarf;

/// <summary>Line programs byte by byte: what compilers seldom write but the specification allows.</summary>
public class LineProgramTests
{
    private static readonly byte[] OperandCounts = [0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1, 2];

    private readonly List<MalformedInputException> damages = [];

    [Fact]
    public void Every_opcode_moves_the_registers_as_specified()
    {
        LineTable table = Run(4, [
            .. SetAddress(0x1000),
            3, 9,               // advance_line 9: line 10
            1,                  // copy
            2, 4,               // advance_pc 4
            0, 2, 4, 7,         // set_discriminator 7
            1,                  // copy: the discriminator counts for one row
            14 + 3 * 14 + 5,    // special: address + 3, line + 2 (line_base -3)
            8,                  // const_add_pc: (255 - 14) / 14 = 17
            9, 0x10, 0x00,      // fixed_advance_pc 16
            10, 11, 12, 5, 13, 1, 2, // prologue_end, epilogue_begin, set_isa 5, an unknown opcode with two operands
            0, 3, 0x80, 1, 2,   // an unknown extended opcode
            6, 7, 5, 20,        // negate_stmt, set_basic_block, set_column 20
            4, 9,               // set_file 9, which the table has not
            1,
            4, 1,
            2, 1,
            .. EndSequence]);
        Assert.Equal((10u, 0u), At(table, 0x1000));
        Assert.Equal((10u, 7u), At(table, 0x1004));
        Assert.Equal((12u, 0u), At(table, 0x1007));
        Assert.Equal((0u, 0u), At(table, 0x1007 + 17 + 16));
        Assert.Null(At(table, 0x1007 + 17 + 16 + 1));
        Assert.Null(At(table, 0xfff));
        Assert.Empty(damages);
    }

    [Fact]
    public void Of_rows_at_one_address_the_last_counts_and_sequences_come_in_any_order()
    {
        LineTable table =
            Run(3, [.. SetAddress(0x2000), 1, 3, 4, 1, 2, 8, .. EndSequence, .. SetAddress(0x1000), 3, 29, 1, 2, 8, .. EndSequence]);
        Assert.Equal((5u, 0u), At(table, 0x2007));
        Assert.Equal((30u, 0u), At(table, 0x1000));
        Assert.Equal((5u, 0u), At(table, 0x2000));
    }

    [Fact]
    public void Sequences_of_discarded_functions_are_ignored()
    {
        LineTable table =
            Run(4, [.. SetAddress(0), 1, 2, 0xff, 0x7f, .. EndSequence, .. SetAddress(0x1000), 3, 6, 1, 2, 8, .. EndSequence]);
        Assert.Null(At(table, 0));
        Assert.Equal((7u, 0u), At(table, 0x1000));
    }

    [Fact]
    public void What_stands_before_the_damage_is_used()
    {
        LineTable table = Run(4, [.. SetAddress(0x1000), 1, 2, 8, .. EndSequence, .. SetAddress(0x2000), 1, 0, 200]);
        Assert.Equal((1u, 0u), At(table, 0x1000));
        Assert.Null(At(table, 0x2000));
        Assert.Single(damages);
    }

    [Fact]
    public void Programs_that_overlap_end_after_bounded_work()
    {
        // Each program's length reaches to the end of the section: a real one ends where the next begins.
        const int Count = 2000;
        byte[] one = Program(4, [.. SetAddress(0x1000), 1, 2, 8, .. EndSequence]);
        byte[] section = new byte[Count * one.Length];
        for (int i = 0; i < Count; i++)
        {
            one.CopyTo(section, i * one.Length);
            BitConverter.TryWriteBytes(section.AsSpan(i * one.Length), (uint)(section.Length - i * one.Length - 4));
        }
        LineTables tables = new(section, _ => true, damages.Add);
        MalformedInputException e = Assert.Throws<MalformedInputException>(() =>
        {
            for (int i = 0; i < Count; i++)
                tables.At((ulong)(i * one.Length), 8);
        });
        Assert.Contains("overlap", e.What, StringComparison.Ordinal);
    }

    private static byte[] EndSequence => [0, 1, 1];

    private static byte[] SetAddress(ulong address) => [0, 9, 2, .. BitConverter.GetBytes(address)];

    private static (uint Line, uint Discriminator)? At(LineTable table, ulong address) =>
        table.TryFind(address, out LineRow row, out _) ? (row.Line, row.Discriminator) : null;

    private LineTable Run(ushort version, byte[] opcodes) =>
        new LineTables(Program(version, opcodes), a => a >= 0x1000, damages.Add).At(0, 8);

    /// <summary>A program with line_base -3, line_range 14, opcode_base 14, no folders and one file.</summary>
    private static byte[] Program(ushort version, byte[] opcodes)
    {
        byte[] afterLength =
            [1, .. version >= 4 ? (byte[])[1] : [], 1, unchecked((byte)-3), 14, 14, .. OperandCounts, 0, .. "a.c\0"u8, 0, 0, 0, 0];
        byte[] body = [.. BitConverter.GetBytes(version), .. BitConverter.GetBytes(afterLength.Length), .. afterLength, .. opcodes];
        return [.. BitConverter.GetBytes(body.Length), .. body];
    }
}
