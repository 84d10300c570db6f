namespace Perforator.SampleProfiles;

/// <summary>
/// The order in which LLVM sorts function names wherever a profile lists them (<c>sampleprof::FunctionId::compare</c>): names by
/// their UTF-8 bytes, MD5 names by number.
/// </summary>
public sealed class FunctionNameOrder : IComparer<string>
{
    /// <summary>For profiles with real names.</summary>
    public static readonly FunctionNameOrder Names = new(md5: false);

    /// <summary>For profiles with MD5 names, which are decimal numbers.</summary>
    public static readonly FunctionNameOrder Md5Names = new(md5: true);

    private readonly bool md5;

    private FunctionNameOrder(bool md5) => this.md5 = md5;

    /// <inheritdoc/>
    public int Compare(string? x, string? y)
    {
        if (ReferenceEquals(x, y))
            return 0;
        if (x is null || y is null)
            return x is null ? -1 : 1;
        if (md5 && x.Length != y.Length)
            return x.Length - y.Length;
        int same = x.AsSpan().CommonPrefixLength(y);
        if (same == x.Length || same == y.Length)
            return x.Length - y.Length;
        return CodePointWeight(x[same]) - CodePointWeight(y[same]);
    }

    /// <summary>UTF-16 puts surrogates before U+E000…U+FFFF, UTF-8 behind.</summary>
    private static int CodePointWeight(char c) => c < 0xd800 ? c : c >= 0xe000 ? c - 0x800 : c + 0x2000;
}
