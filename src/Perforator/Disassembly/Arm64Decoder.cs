using System.Buffers.Binary;

namespace Perforator.Disassembly;

/// <summary>
/// A64, the AArch64 instruction set: every instruction is one little-endian word, and those that branch are told by few bits (Arm
/// Architecture Reference Manual, C4.1.66 "Branches, Exception Generating and System instructions").
/// </summary>
public sealed class Arm64Decoder : IInstructionDecoder
{
    private const int WordSize = 4;

    /// <inheritdoc/>
    public bool TryDecode(ReadOnlySpan<byte> code, BinaryAddress address, out Instruction instruction)
    {
        int misaligned = (int)(address.Value & (WordSize - 1));
        if (misaligned != 0 || code.Length < WordSize)
        {
            instruction = new Instruction(Math.Clamp(WordSize - misaligned, 1, Math.Max(code.Length, 1)), InstructionKind.Sequential, 0);
            return false;
        }
        uint word = BinaryPrimitives.ReadUInt32LittleEndian(code);
        InstructionKind kind = KindOf(word);
        instruction = new Instruction(WordSize, kind, address.Value + (ulong)OffsetOf(word, kind));
        if (kind is not (InstructionKind.ConditionalBranch or InstructionKind.UnconditionalBranch or InstructionKind.Call))
            instruction = instruction with { Target = 0 };

        // UDF: what padding and data between functions decode to.
        return word >> 16 != 0;
    }

    private static InstructionKind KindOf(uint word)
    {
        switch (word >> 26)
        {
            case 0b000101: // B
                return InstructionKind.UnconditionalBranch;
            case 0b100101: // BL
                return InstructionKind.Call;
        }
        switch (word >> 25 & 0b111111)
        {
            case 0b011010: // CBZ, CBNZ
            case 0b011011: // TBZ, TBNZ
            case 0b111010: // CB<cond>, which compares two registers or a register and a number (FEAT_CMPBR)
                return InstructionKind.ConditionalBranch;
        }
        if (word >> 24 == 0b01010100) // B.cond, BC.cond
            return InstructionKind.ConditionalBranch;
        if ((word & 0xffc0001f) == 0x5500001f) // RETAASPPC, RETABSPPC
            return InstructionKind.Return;
        if (word >> 25 == 0b1101011 && (word >> 16 & 0b11111) == 0b11111)
            return ThroughRegister(word >> 21 & 0b1111);
        return InstructionKind.Sequential;
    }

    /// <summary>Unconditional branches to a register, the pointer-authenticated forms (BRAA, BLRAAZ, RETAA…) included.</summary>
    private static InstructionKind ThroughRegister(uint opc) => opc switch
    {
        0b0000 or 0b1000 => InstructionKind.IndirectBranch,
        0b0001 or 0b1001 => InstructionKind.IndirectCall,
        0b0010 or 0b0100 => InstructionKind.Return, // RET, ERET
        _ => InstructionKind.Sequential,
    };

    /// <summary>Where a direct branch goes, in bytes from itself.</summary>
    private static long OffsetOf(uint word, InstructionKind kind)
    {
        if (kind is InstructionKind.UnconditionalBranch or InstructionKind.Call)
            return Signed(word, 0, 26);
        return (word >> 25 & 0b111111) switch
        {
            0b011011 => Signed(word, 5, 14),
            0b111010 => Signed(word, 5, 9),
            _ => Signed(word, 5, 19),
        };
    }

    private static long Signed(uint word, int lowest, int bits) => (long)((int)(word << (32 - lowest - bits)) >> (32 - bits)) * WordSize;
}
