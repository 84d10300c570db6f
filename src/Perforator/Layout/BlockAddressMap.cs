using Perforator.Bytes;
using Perforator.Elf;

namespace Perforator.Layout;

/// <summary>What the compiler knows of a basic block; values are those of LLVM's BBAddrMap::BBEntry::Metadata.</summary>
[Flags]
public enum BlockKinds : byte
{
    None = 0,

    /// <summary>Ends with a return, tail calls not counted.</summary>
    HasReturn = 1,

    /// <summary>Ends with a tail call.</summary>
    HasTailCall = 2,

    /// <summary>Entered when an exception is thrown.</summary>
    IsLandingPad = 4,

    /// <summary>Control may run on into the block that lies behind it.</summary>
    CanFallThrough = 8,

    /// <summary>Ends with an indirect jump.</summary>
    HasIndirectBranch = 16,
}

/// <summary>A basic block of a binary.</summary>
/// <param name="Id">The compiler's number of it, which stays the same however the blocks are laid out.</param>
/// <param name="Start">Its first instruction.</param>
/// <param name="Size">Bytes, without padding behind it; may be 0.</param>
/// <param name="Kinds">What it may end with.</param>
public readonly record struct BasicBlock(uint Id, BinaryAddress Start, uint Size, BlockKinds Kinds)
{
    /// <summary>One past the last address.</summary>
    public ulong End => Start.Value + Size;
}

/// <summary>A function's blocks, in the order of the binary within each of its pieces.</summary>
/// <param name="Entry">Where the function begins.</param>
/// <param name="Blocks">The blocks.</param>
public sealed record FunctionBlocks(BinaryAddress Entry, IReadOnlyList<BasicBlock> Blocks);

/// <summary>
/// The basic blocks of a binary as clang's -fbasic-block-address-map notes them: SHT_LLVM_BB_ADDR_MAP, versions 1 to 5 (clang 19 writes 2,
/// clang 22 writes 5).
/// </summary>
/// <remarks>LLVM, llvm/docs/Extensions.rst and llvm/include/llvm/Object/ELFTypes.h.</remarks>
public static class BlockAddressMap
{
    private const uint SHT_LLVM_BB_ADDR_MAP = 0x6fff4c0a;

    private const int NewestVersion = 5;

    private const int FuncEntryCount = 1, BBFreq = 2, BrProb = 4, MultiBBRange = 8, OmitBBEntries = 16, CallsiteEndOffsets = 32, BBHash = 64, PostLinkCfg = 128;

    private const int KnownFeatures = 2 * PostLinkCfg - 1;

    /// <summary>Reads the map of a binary that is open. Functions that the linker dropped are left out.</summary>
    /// <returns>Empty when it has none.</returns>
    /// <exception cref="MalformedInputException">The map is damaged, or of a version that is not known.</exception>
    public static List<FunctionBlocks> Of(ElfFile elf)
    {
        List<FunctionBlocks> functions = [];
        foreach (ElfSection section in elf.Sections)
            if (section is { Type: SHT_LLVM_BB_ADDR_MAP, HasBytes: true })
                Parse(elf.ReadSection(section).Span, section.Name, functions);
        functions.RemoveAll(function => function.Blocks.Count == 0 || !elf.IsCode(function.Entry));
        return functions;
    }

    /// <summary>Reads one section to its end.</summary>
    /// <param name="where">The section's name, for errors.</param>
    /// <exception cref="MalformedInputException">It is damaged, or of a version that is not known.</exception>
    public static void Parse(ReadOnlySpan<byte> section, string where, List<FunctionBlocks> functions)
    {
        SpanReader reader = new(section, where);
        while (!reader.AtEnd)
            functions.Add(ReadFunction(ref reader));
    }

    private static FunctionBlocks ReadFunction(ref SpanReader reader)
    {
        byte version = reader.ReadU8();
        if (version is 0 or > NewestVersion)
            throw reader.Malformed($"block address map of version {version}; 1 to {NewestVersion} are known");
        int features = version >= 5 ? reader.ReadU16() : reader.ReadU8();
        if ((features & ~KnownFeatures) != 0)
            throw reader.Malformed($"block address map with features 0x{features:x}, of which not all are known");
        ulong ranges = (features & MultiBBRange) == 0 ? 1 : Count(ref reader, "ranges", bytesEach: 9);
        if (ranges == 0)
            throw reader.Malformed("a function without ranges");
        List<BasicBlock> blocks = [];
        ulong entry = 0, entries = 0;
        for (ulong range = 0; range < ranges; range++)
        {
            ulong start = reader.ReadU64();
            if (range == 0)
                entry = start;
            bool hasEntries = (features & OmitBBEntries) == 0;
            ulong count = hasEntries ? Count(ref reader, "blocks", bytesEach: 3) : reader.ReadULeb128();
            entries += count;
            if (hasEntries)
                ReadBlocks(ref reader, version, features, start, count, blocks);
        }
        SkipAnalysis(ref reader, features, entries);
        return new(new(entry), blocks);
    }

    private static void ReadBlocks(ref SpanReader reader, byte version, int features, ulong start, ulong count, List<BasicBlock> blocks)
    {
        ulong end = start;
        for (ulong i = 0; i < count; i++)
        {
            uint id = version >= 2 ? ReadU32(ref reader) : (uint)i;
            ulong begin = Add(ref reader, end, ReadU32(ref reader));
            end = begin;
            if ((features & CallsiteEndOffsets) != 0)
                for (ulong calls = Count(ref reader, "call sites", bytesEach: 1); calls > 0; calls--)
                    end = Add(ref reader, end, ReadU32(ref reader));
            // From the last call site's end, where there is one.
            end = Add(ref reader, end, ReadU32(ref reader));
            uint kinds = ReadU32(ref reader);
            if (kinds > 31 || end - begin > uint.MaxValue)
                throw reader.Malformed($"impossible block of kinds 0x{kinds:x} and {end - begin} bytes");
            if ((features & BBHash) != 0)
                reader.Skip(sizeof(ulong));
            blocks.Add(new(id, new(begin), (uint)(end - begin), (BlockKinds)kinds));
        }
    }

    /// <summary>Passes over what the compiler itself thought of frequencies.</summary>
    private static void SkipAnalysis(ref SpanReader reader, int features, ulong blocks)
    {
        if ((features & FuncEntryCount) != 0)
            reader.ReadULeb128();
        if ((features & (BBFreq | BrProb)) == 0)
            return;
        for (ulong i = 0; i < blocks; i++)
        {
            if ((features & BBFreq) != 0)
                reader.ReadULeb128();
            if ((features & PostLinkCfg) != 0)
                reader.ReadULeb128();
            if ((features & BrProb) == 0)
                continue;
            for (ulong successors = Count(ref reader, "successors", bytesEach: 2); successors > 0; successors--)
            {
                reader.ReadULeb128();
                reader.ReadULeb128();
                if ((features & PostLinkCfg) != 0)
                    reader.ReadULeb128();
            }
        }
    }

    /// <summary>A number of things that follow, refused when there are too few bytes left for them.</summary>
    private static ulong Count(ref SpanReader reader, string what, int bytesEach)
    {
        ulong count = reader.ReadULeb128();
        return count <= (ulong)(reader.Remaining / bytesEach)
            ? count : throw reader.Malformed($"{count} {what} in {reader.Remaining} bytes");
    }

    private static uint ReadU32(ref SpanReader reader)
    {
        ulong value = reader.ReadULeb128();
        return value <= uint.MaxValue ? (uint)value : throw reader.Malformed($"{value} does not fit 32 bits");
    }

    private static ulong Add(ref SpanReader reader, ulong address, uint offset) =>
        offset < ulong.MaxValue - address ? address + offset : throw reader.Malformed("address overflow");
}
