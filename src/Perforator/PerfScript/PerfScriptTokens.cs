using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Perforator.Branches;

namespace Perforator.PerfScript;

/// <summary>The blank-separated tokens of one line, and how a branch and a number read.</summary>
internal ref struct PerfScriptTokens(ReadOnlySpan<byte> line)
{
    /// <summary>Two numbers of 16 digits, the flags, a number of cycles, the longest type and the longest speculation.</summary>
    private const int LongestUsual = 96;

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

    /// <summary>How much of the line is left.</summary>
    public readonly int Remaining => rest.Length;

    /// <summary>What is left of the line, without leading blanks.</summary>
    public readonly ReadOnlySpan<byte> Rest => rest.TrimStart((byte)' ');

    /// <summary>
    /// Stands for an address of another binary than those that text has addresses of as linked: in no process is anything mapped there.
    /// </summary>
    private const ulong Elsewhere = 1;

    /// <summary>Whether a token looks like a branch: <c>0x…/…</c>, or the same with a build id and a colon before it.</summary>
    public static bool IsBranch(ReadOnlySpan<byte> token) =>
        token.Length > 3 && token.Contains((byte)'/') && ((token[0] == '0' && token[1] == 'x') || BuildIdLength(token) > 0);

    /// <summary>Length of the build id in <c>id:0x…</c>; 0 when the token does not begin so.</summary>
    private static int BuildIdLength(ReadOnlySpan<byte> token)
    {
        int at = 0;
        while (at < token.Length && char.IsAsciiHexDigit((char)token[at]))
            at++;
        return at > 0 && token.Length > at + 3 && token[at..].StartsWith(":0x"u8) ? at : 0;
    }

    /// <summary>Whether a token looks like a branch of brstacksym: <c>symbol+0x…/symbol+0x…/…</c>.</summary>
    public static bool IsSymbolicBranch(ReadOnlySpan<byte> token) => token.Contains((byte)'/') && token.IndexOf("+0x"u8) > 0;

    /// <summary>
    /// A branch as perf prints it: <c>0xFROM/0xTO/prediction/transaction/abort/cycles[/type[/speculation]]</c>, where prediction is
    /// M (missed), P or -, with N behind it if the branch was not taken.
    /// </summary>
    /// <param name="token">The whole token.</param>
    /// <param name="linked">The binaries whose addresses, with a build id before them, are those that they are linked to; those of others
    /// are elsewhere.</param>
    public static bool TryBranch(ReadOnlySpan<byte> token, LinkedAddresses linked, out BranchEntry branch)
    {
        branch = default;
        int at = 0;
        if (!TryAddress(token, linked, ref at, out ulong from))
            return false;
        SkipFile(token, ref at);
        if (at >= token.Length || token[at++] != '/' || !TryAddress(token, linked, ref at, out ulong to))
            return false;
        SkipFile(token, ref at);
        if (at < token.Length && token[at] != '/')
            return false;
        ReadOnlySpan<byte> fields = token[at..];
        ReadOnlySpan<byte> prediction = NextField(ref fields);
        BranchFlags flags =
            prediction is [(byte)'M', ..]
                ? BranchFlags.Mispredicted : prediction is [(byte)'P', ..] ? BranchFlags.Predicted : BranchFlags.None;
        if (prediction is [_, (byte)'N'])
            flags |= BranchFlags.NotTaken;
        if (NextField(ref fields) is [(byte)'X'])
            flags |= BranchFlags.InTransaction;
        if (NextField(ref fields) is [(byte)'A'])
            flags |= BranchFlags.Abort;
        NextField(ref fields); // cycles
        branch = new(new(from), new(to), flags | TypeAndSpeculation(fields));
        return true;
    }

    /// <summary>
    /// Where the fields asked for include dso, as they do by default, each address has its file behind it: <c>0x…(/bin/a)</c>.
    /// </summary>
    private static void SkipFile(ReadOnlySpan<byte> token, ref int at)
    {
        if (at < token.Length && token[at] == '(' && token[at..].IndexOf(")/"u8) is > 0 and int end)
            at += end + 1;
    }

    /// <summary>What follows the next slash, up to the one behind it.</summary>
    private static ReadOnlySpan<byte> NextField(ref ReadOnlySpan<byte> fields)
    {
        if (fields.IsEmpty)
            return default;
        int end = fields[1..].IndexOf((byte)'/') + 1;
        ReadOnlySpan<byte> field = end == 0 ? fields[1..] : fields[1..end];
        fields = end == 0 ? default : fields[end..];
        return field;
    }

    /// <summary>What the fields behind the cycles say: <c>/type</c> or <c>/type/speculation</c>, each of which may be empty or -.</summary>
    private static BranchFlags TypeAndSpeculation(ReadOnlySpan<byte> fields)
    {
        BranchFlags flags = IsInterrupt(NextField(ref fields)) ? BranchFlags.Interrupt : BranchFlags.None;
        return NextField(ref fields).SequenceEqual("SPEC_WRONG_PATH"u8) ? flags | BranchFlags.SpeculativeWrongPath : flags;
    }

    /// <summary>
    /// Whether a type is one of those that are no branch instruction (perf, util/branch.c). ARM64_DEBUG_EXIT, elsewhere printed ARCH_3, is
    /// the return from a debugger's stop; types that perf has no name for are newer faults.
    /// </summary>
    private static bool IsInterrupt(ReadOnlySpan<byte> type) => type.Length > 2 &&
        (type.SequenceEqual("IRQ"u8) || type.SequenceEqual("SERROR"u8) || type.StartsWith("FAULT_"u8) || type.SequenceEqual("(null)"u8)
        || (type.StartsWith("ARCH_"u8) && !type.SequenceEqual("ARCH_3"u8))
        || (type.StartsWith("ARM64_"u8) && !type.SequenceEqual("ARM64_DEBUG_EXIT"u8)));

    /// <summary>
    /// The branch that text begins with, if it is in the form that nearly all have: <c>0xFROM/0xTO/P/-/-/0</c>, with M or - for P and
    /// any number of cycles, and with or without type and speculation. All others are for <see cref="TryBranch"/>.
    /// </summary>
    /// <param name="text">From the branch on, beyond the end of its line where there is more.</param>
    /// <returns>Length of the token, or 0 when it is not in that form or too near the end of the text to tell.</returns>
    public static int ReadUsualBranch(ReadOnlySpan<byte> text, out BranchEntry branch)
    {
        const int Prefix = 0x7830; // 0x
        branch = default;
        if (text.Length < LongestUsual)
            return 0;
        ref byte start = ref MemoryMarshal.GetReference(text);
        if (Unsafe.ReadUnaligned<ushort>(ref start) != Prefix)
            return 0;
        int at = 2 + HexDigits.ReadUpTo16(ref Unsafe.Add(ref start, 2), out ulong from);
        if (at == 2 || Unsafe.Add(ref start, at) != '/' || Unsafe.ReadUnaligned<ushort>(ref Unsafe.Add(ref start, at + 1)) != Prefix)
            return 0;
        at += 3;
        int digits = HexDigits.ReadUpTo16(ref Unsafe.Add(ref start, at), out ulong to);
        at += digits;
        ulong fields = Unsafe.ReadUnaligned<ulong>(ref Unsafe.Add(ref start, at));
        if (digits == 0 || (fields & 0x00ff_00ff_00ff_00ff) != 0x002f_002f_002f_002f)
            return 0;
        int end = at + 7;
        while ((uint)(Unsafe.Add(ref start, end) - '0') <= 9 && end < LongestUsual - 1)
            end++;
        if (end == at + 7)
            return 0;
        int cycles = end;
        if (Unsafe.Add(ref start, end) == '/')
            while (Unsafe.Add(ref start, end) > ' ' && end < LongestUsual - 1)
                end++;
        if (Unsafe.Add(ref start, end) > ' ')
            return 0;
        BranchFlags flags = BranchFlags.None;
        switch ((byte)(fields >> 8))
        {
            case (byte)'P': flags = BranchFlags.Predicted; break;
            case (byte)'M': flags = BranchFlags.Mispredicted; break;
            case (byte)'-': break;
            default: return 0;
        }
        if ((fields & 0x0000_ff00_ff00_0000) != 0x0000_2d00_2d00_0000)
            return 0;
        if (end > cycles)
            flags |= TypeAndSpeculation(text[cycles..end]);
        branch = new(new(from), new(to), flags);
        return end;
    }

    /// <summary>A whole token of hexadecimal digits, with or without 0x.</summary>
    public static bool TryHex(ReadOnlySpan<byte> token, out ulong value)
    {
        int at = token.Length > 2 && token[0] == '0' && token[1] == 'x' ? 2 : 0;
        return HexDigits.ReadAll(token, ref at, out value) && at == token.Length;
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

    /// <summary>An address, with or without the build id of its binary.</summary>
    private static bool TryAddress(ReadOnlySpan<byte> token, LinkedAddresses linked, ref int at, out ulong value)
    {
        int length = BuildIdLength(token[at..]);
        if (length == 0)
            return TryHexPrefixed(token, ref at, out value);
        ReadOnlySpan<byte> id = token.Slice(at, length);
        at += length + 1;
        bool isAddress = TryHexPrefixed(token, ref at, out ulong address);
        value = linked.TryPlace(id, address, out ulong placed) ? placed : Elsewhere;
        return isAddress;
    }

    private static bool TryHexPrefixed(ReadOnlySpan<byte> token, ref int at, out ulong value)
    {
        value = 0;
        if (at + 2 >= token.Length || token[at] != '0' || token[at + 1] != 'x')
            return false;
        at += 2;
        return HexDigits.ReadAll(token, ref at, out value);
    }
}
