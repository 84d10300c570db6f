namespace Perforator.Generation;

/// <summary>What a compiler packs into DWARF's discriminators.</summary>
internal enum DiscriminatorCoding
{
    /// <summary>LLVM's prefix encoding of base, duplication factor and copy id.</summary>
    Llvm,

    /// <summary>One number: flow-sensitive discriminators (FS-AFDO), and those of GCC up to 15.</summary>
    Whole,

    /// <summary>GCC 16's: base in bits 0 to 7, duplication factor in 8 to 14, copy id above.</summary>
    Gcc16,
}

/// <summary>
/// What clang packs into a DWARF discriminator: base discriminator, duplication factor and copy id, each prefix-encoded, lowest bits
/// first. LLVM's <c>DILocation::encodeDiscriminator</c>. Flow-sensitive discriminators (FS-AFDO) are taken whole.
/// </summary>
internal static class Discriminator
{
    /// <summary>Tells the copies of one line apart that control flow tells apart.</summary>
    public static uint Base(uint discriminator, DiscriminatorCoding coding) => coding switch
    {
        DiscriminatorCoding.Llvm => Decode(discriminator),
        DiscriminatorCoding.Gcc16 => discriminator & 0xff,
        _ => discriminator,
    };

    /// <summary>How many copies of the code an unrolled or vectorised loop has: each stands for that many; at least 1.</summary>
    public static uint DuplicationFactor(uint discriminator, DiscriminatorCoding coding)
    {
        uint factor = coding switch
        {
            DiscriminatorCoding.Llvm => Decode(Next(discriminator)),
            DiscriminatorCoding.Gcc16 => discriminator >> 8 & 0x7f,
            _ => 1,
        };
        return factor == 0 ? 1 : factor;
    }

    /// <summary>One component: absent if bit 0 is set; else 5 bits, or 12 in two parts if bit 6 is set.</summary>
    private static uint Decode(uint bits)
    {
        if ((bits & 1) != 0)
            return 0;
        bits >>= 1;
        return (bits & 0x20) != 0 ? ((bits >> 1) & 0xfe0) | (bits & 0x1f) : bits & 0x1f;
    }

    private static uint Next(uint bits) => (bits & 1) != 0 ? bits >> 1 : bits >> ((bits & 0x40) != 0 ? 14 : 7);
}
