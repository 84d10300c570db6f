using Perforator.Branches;
using Perforator.Bytes;
using Perforator.Elf;
using Perforator.Layout;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Layout;

/// <summary>The reader of basic-block maps, next to LLVM's, and on damage.</summary>
public sealed class BlockAddressMapTests : IClassFixture<LayoutProgram>
{
    private readonly LayoutProgram program;

    public BlockAddressMapTests(LayoutProgram program) => this.program = program;

    [SkippableTheory]
    [InlineData(19, "-fbasic-block-address-map")]
    [InlineData(22, "-fbasic-block-address-map")]
    [InlineData(19, "-fbasic-block-address-map", "-fbasic-block-sections=all")]
    [InlineData(22, "-fbasic-block-address-map", "-fbasic-block-sections=all")]
    [InlineData(19, "-fbasic-block-address-map", "-mllvm", "-pgo-analysis-map=func-entry-count,bb-freq,br-prob")]
    [InlineData(22, "-fbasic-block-address-map", "-mllvm", "-pgo-analysis-map=func-entry-count,bb-freq,br-prob")]
    [InlineData(22, "-fbasic-block-address-map", "-mllvm", "-emit-bb-hash")]
    public void Blocks_are_those_that_LLVM_reads(int version, params string[] flags)
    {
        Tool.Require($"clang++-{version}");
        string binary = program.Folder[$"map-{version}-{string.Concat(flags).GetHashCode()}"];
        Tool.Run($"clang++-{version}", ["-O2", "-fuse-ld=lld", .. flags, program.SourceFile, "-o", binary]).Succeeded();
        using ElfFile elf = ElfFile.Load(binary);
        IEnumerable<string> ours = BlockAddressMap.Of(elf).SelectMany(static function => function.Blocks)
            .Select(static block => $"{block.Id} {block.Start.Value:x} {block.Size:x} {block.Kinds}");
        Assert.Equal(Peer(version, binary), ours);
        Assert.True(ours.Count() > 40);
    }

    [Fact]
    public void Damage_is_refused_within_bounds()
    {
        byte[] map = Map();
        DamageSweep.Run(map, bytes =>
        {
            List<FunctionBlocks> functions = [];
            BlockAddressMap.Parse(bytes, "map", functions);
            LayOut(functions);
        });
    }

    [Theory]
    [InlineData(new byte[] { 6, 0, 0 }, "version 6")]
    [InlineData(new byte[] { 5, 0, 1 }, "features 0x100")]
    [InlineData(new byte[] { 2, 8, 0 }, "without ranges")]
    [InlineData(new byte[] { 2, 0, 0, 16, 0, 0, 0, 0, 0, 0, 200, 1 }, "200 blocks")]
    [InlineData(new byte[] { 2, 0, 0, 16, 0, 0, 0, 0, 0, 0, 1, 0, 0, 4, 32 }, "kinds 0x20")]
    public void What_cannot_be_is_refused_with_the_reason(byte[] map, string expected) => Assert.Contains(
        expected, Assert.Throws<MalformedInputException>(() => BlockAddressMap.Parse(map, "map", [])).Message, StringComparison.Ordinal);

    private byte[] Map()
    {
        using ElfFile elf = ElfFile.Load(program.Binary);
        return elf.SectionData(".llvm_bb_addr_map").ToArray();
    }

    /// <summary>Whatever a map says, laying out by it ends, and places each executed block once.</summary>
    internal static void LayOut(IReadOnlyList<FunctionBlocks> functions)
    {
        BranchProfile profile = new(BuildId.Parse("aa"), "map");
        foreach (BasicBlock block in functions.SelectMany(static function => function.Blocks).Take(200))
        {
            profile.AddTrace(block.Start, new(block.Start.Value / 2 * 2), new(block.Start.Value + Math.Min(block.Size, 40)), 7);
            profile.AddBranch(new(block.End - 1), block.Start, 3);
        }
        BlockFlow flow = BlockFlow.Of(profile, functions);
        foreach (FunctionLayout function in CodeLayout.Of(flow).Functions)
            Assert.Equal(function.Order.Length, function.Order.Distinct().Count());
    }

    private static IEnumerable<string> Peer(int version, string binary)
    {
        string id = "", offset = "";
        ulong start = 0;
        string[] kinds = ["HasReturn", "HasTailCall", "IsEHPad", "CanFallThrough", "HasIndirectBranch"];
        bool[] has = new bool[5];
        string size = "";
        foreach (string line in Tool.Run($"/usr/lib/llvm-{version}/bin/llvm-readobj", ["--bb-addr-map", binary])
            .Succeeded().Output.Split('\n'))
        {
            if (line.Trim().Split(": ") is not [var name, var value])
                continue;
            if (name == "Base Address")
                start = Convert.ToUInt64(value, 16);
            else if (name == "ID")
                id = value;
            else if (name == "Offset")
                offset = value;
            else if (name == "Size")
                size = value;
            else if (Array.IndexOf(kinds, name) is var kind and >= 0)
                has[kind] = value == "Yes";
            if (name == "HasIndirectBranch")
            {
                BlockKinds all = BlockKinds.None;
                for (int i = 0; i < has.Length; i++)
                    all |= has[i] ? (BlockKinds)(1 << i) : BlockKinds.None;
                yield return $"{id} {start + Convert.ToUInt64(offset, 16):x} {Convert.ToUInt64(size, 16):x} {all}";
            }
        }
    }
}
