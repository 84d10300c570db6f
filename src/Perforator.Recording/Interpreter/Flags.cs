namespace Perforator.Recording.Interpreter;

/// <summary>Bits of RFLAGS.</summary>
internal static class Flags
{
    public const ulong CF = 1, PF = 4, AF = 0x10, ZF = 0x40, SF = 0x80, DF = 0x400, OF = 0x800;

    /// <summary>The status flags, all that an arithmetic instruction can change.</summary>
    public const ulong Status = CF | PF | AF | ZF | SF | OF;

    /// <summary>The status flags of <c>a - b</c>.</summary>
    /// <param name="a">Zero-extended, like <paramref name="b"/>.</param>
    /// <param name="size">Bytes.</param>
    public static ulong OfDifference(ulong a, ulong b, int size)
    {
        int unused = 64 - (size * 8);
        ulong result = (a - b) << unused >> unused, borrows = ((~a & b)
            | (~(a ^ b) & result)) << unused, overflow = ((a ^ b) & (a ^ result)) << unused;
        return ((long)borrows < 0 ? CF : 0) | (ulong.IsEvenInteger(ulong.PopCount((byte)result)) ? PF : 0) | ((a ^ b ^ result) & AF)
            | (result == 0 ? ZF : 0) | ((long)(result << unused) < 0 ? SF : 0) | ((long)overflow < 0 ? OF : 0);
    }
}
