namespace Perforator.SampleProfiles;

/// <summary>The encodings of sample profiles: LLVM's, and those of other compilers.</summary>
public enum SampleProfileFormat
{
    /// <summary>Lines of text, for people and diffs.</summary>
    Text,

    /// <summary>LLVM's first binary encoding: no sections, no flags; cannot hold probe-based profiles.</summary>
    Binary,

    /// <summary>LLVM's extensible binary encoding, the default of its tools: sections with flags.</summary>
    ExtBinary,

    /// <summary>GCC's AFDO profile, for <c>gcc -fauto-profile</c>.</summary>
    Gcc,

    /// <summary>A pprof of calls, for <c>go build -pgo</c>; it is only written.</summary>
    Go,
}

/// <summary>What a writer may choose; of LLVM's only <see cref="SampleProfileFormat.ExtBinary"/> has choices.</summary>
public sealed record SampleProfileWriteOptions
{
    /// <summary>
    /// Major version of the GCC that is to read a profile in <see cref="SampleProfileFormat.Gcc"/>: 12 to 15 read one form, 16 another.
    /// </summary>
    public int GccVersion { get; init; } = 15;

    /// <summary>Store 64-bit MD5 hashes instead of names (<c>llvm-profdata --use-md5</c>): smaller, but names are lost.</summary>
    public bool Md5Names { get; init; }

    /// <summary>Compress every section with zlib (<c>llvm-profdata --compress-all-sections</c>).</summary>
    public bool CompressAllSections { get; init; }

    /// <summary>Compress the profile symbol list, as AutoFDO's <c>create_llvm_prof</c> does.</summary>
    public bool CompressSymbols { get; init; }

    /// <summary>
    /// Put functions without inlined callees into sections of their own (LLVM's <c>CtxSplitLayout</c>), so that a ThinLTO backend
    /// need not read them.
    /// </summary>
    public bool SplitLayout { get; init; }
}
