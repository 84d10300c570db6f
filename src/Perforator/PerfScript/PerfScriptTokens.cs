using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Perforator.Branches;

namespace Perforator.PerfScript;

/// <summary>The blank-separated tokens of one line, and how a branch and a number read.</summary>
internal ref struct PerfScriptTokens(ReadOnlySpan<byte> line)
{
    private ReadOnlySpan<byte> rest = line;

    /// <summary>The next token; false at the end of the line.</summary>
    public bool Next(out ReadOnlySpan<byte> token)
    {
        int start = 0;
        while (start < rest.Length && rest[start] <= (byte)' ')
            start++;
        int end = start;
        while (end < rest.Length && rest[end] > (byte)' ')
            end++;
        token = rest[start..end];
        rest = rest[end..];
        return !token.IsEmpty;
    }

    /// <summary>What is left of the line, without leading blanks.</summary>
    public readonly ReadOnlySpan<byte> Rest => rest.TrimStart((byte)' ');

    /// <summary>Whether a token looks like a branch: <c>0x…/…</c>.</summary>
    public static bool IsBranch(ReadOnlySpan<byte> token) => token.Length > 3 && token[0] == '0' && token[1] == 'x' && token.Contains((byte)'/');

    /// <summary>Whether a token looks like a branch of brstacksym: <c>symbol+0x…/symbol+0x…/…</c>.</summary>
    public static bool IsSymbolicBranch(ReadOnlySpan<byte> token) => token.Contains((byte)'/') && token.IndexOf("+0x"u8) > 0;

    /// <summary>
    /// A branch as perf prints it: <c>0xFROM/0xTO/prediction/transaction/abort/cycles[/type/speculation]</c>, where prediction is
    /// M (missed), P or -, and speculation may be SPEC_WRONG_PATH.
    /// </summary>
    public static bool TryBranch(ReadOnlySpan<byte> token, out BranchEntry branch)
    {
        branch = default;
        int at = 0;
        if (!TryHexPrefixed(token, ref at, out ulong from) || at >= token.Length || token[at++] != '/' ||
            !TryHexPrefixed(token, ref at, out ulong to) || (at < token.Length && token[at] != '/'))
            return false;
        BranchFlags flags = BranchFlags.None;
        ReadOnlySpan<byte> fields = token[at..];
        if (fields.Length > 1)
            flags = fields[1] == 'M' ? BranchFlags.Mispredicted : fields[1] == 'P' ? BranchFlags.Predicted : BranchFlags.None;
        if (fields.Length > 3 && fields[3] == 'X')
            flags |= BranchFlags.InTransaction;
        if (fields.Length > 5 && fields[5] == 'A')
            flags |= BranchFlags.Abort;
        if (fields.Length > 16 && fields.IndexOf("SPEC_WRONG_PATH"u8) >= 0)
            flags |= BranchFlags.SpeculativeWrongPath;
        branch = new(new(from), new(to), flags);
        return true;
    }

    /// <summary>A whole token of hexadecimal digits, with or without 0x.</summary>
    public static bool TryHex(ReadOnlySpan<byte> token, out ulong value)
    {
        int at = token.Length > 2 && token[0] == '0' && token[1] == 'x' ? 2 : 0;
        return TryDigits(token, ref at, out value) && at == token.Length;
    }

    /// <summary>A whole token of decimal digits.</summary>
    public static bool TryDecimal(ReadOnlySpan<byte> token, out ulong value)
    {
        value = 0;
        foreach (byte c in token)
        {
            uint digit = (uint)c - '0';
            if (digit > 9 || value > (ulong.MaxValue - digit) / 10)
                return false;
            value = value * 10 + digit;
        }
        return !token.IsEmpty;
    }

    private static bool TryHexPrefixed(ReadOnlySpan<byte> token, ref int at, out ulong value)
    {
        value = 0;
        if (at + 2 >= token.Length || token[at] != '0' || token[at + 1] != 'x')
            return false;
        at += 2;
        return TryDigits(token, ref at, out value);
    }

    /// <summary>One to sixteen hexadecimal digits.</summary>
    private static bool TryDigits(ReadOnlySpan<byte> token, ref int at, out ulong value)
    {
        ref byte digits = ref MemoryMarshal.GetReference(DigitValues);
        ulong sum = 0;
        int start = at, i = at;
        for (; i < token.Length; i++)
        {
            uint digit = Unsafe.Add(ref digits, token[i]);
            if (digit > 15)
                break;
            sum = sum << 4 | digit;
        }
        at = i;
        value = sum;
        return i - start is > 0 and <= 16;
    }

    /// <summary>The value of each byte as a hexadecimal digit; 255 for the others.</summary>
    private static ReadOnlySpan<byte> DigitValues =>
    [
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 255, 255, 255, 255, 255, 255,
        255, 10, 11, 12, 13, 14, 15, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        255, 10, 11, 12, 13, 14, 15, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    ];
}
