using Perforator.Disassembly;

namespace Perforator.Tests.Disassembly;

public class CodeMapTests
{
    // 0x1000: nop; jne 0x1000; call 0x1010; ret; int3   0x100a (data: an invalid opcode); 0x100b: jmp *%rax; syscall; jmp 0x1000
    private static readonly byte[] Code =
        [0x90, 0x75, 0xfd, 0xe8, 0x08, 0x00, 0x00, 0x00, 0xc3, 0xcc, 0x06, 0xff, 0xe0, 0x0f, 0x05, 0xeb, 0xef];

    private static CodeMap Map(params ulong[] symbols) =>
        new(new X64Decoder(), [new CodeSection(new(0x1000), Code)], symbols);

    [Fact]
    public void Knows_where_instructions_begin_and_what_they_do()
    {
        CodeMap map = Map(0x1000);
        (ulong, InstructionKind, int)[] expected =
        [
            (0x1000, InstructionKind.Sequential, 1), (0x1001, InstructionKind.ConditionalBranch, 2), (0x1003, InstructionKind.Call, 5),
            (0x1008, InstructionKind.Return, 1), (0x1009, InstructionKind.Sequential, 1), (0x100b, InstructionKind.IndirectBranch, 2),
            (0x100d, InstructionKind.Sequential, 2), (0x100f, InstructionKind.UnconditionalBranch, 2),
        ];
        List<(ulong, InstructionKind, int)> found = [];
        for (ulong at = 0; map.Next(ref at, ulong.MaxValue, out InstructionKind kind, out int length); at += (ulong)length)
            found.Add((at, kind, length));
        Assert.Equal(expected, found);
        Assert.False(map.IsInstruction(new(0x1002)));
        Assert.False(map.IsInstruction(new(0x1011)));
        Assert.Equal((InstructionKind.Call, 5), map.At(new(0x1003)));
    }

    [Fact]
    public void A_range_may_end_at_a_leaving_instruction_but_not_cross_one()
    {
        CodeMap map = Map(0x1000);
        Assert.False(map.LeavesBetween(new(0x1000), new(0x1003)));
        Assert.True(map.LeavesBetween(new(0x1000), new(0x1004)));
        Assert.False(map.LeavesBetween(new(0x1009), new(0x100f)));
        Assert.False(map.LeavesBetween(new(0x1008), new(0x1008)));
    }

    [Fact]
    public void Decodes_only_what_is_touched_and_starts_over_at_each_symbol()
    {
        CodeMap map = Map(0x1009, 0x1004, 0x1004, 0x5000, 0x10);
        Assert.Equal(0UL, map.DecodedBytes);
        Assert.False(map.IsInstruction(new(0x1000)));
        Assert.True(map.IsInstruction(new(0x1004)));
        Assert.Equal(5UL, map.DecodedBytes);
    }
}
