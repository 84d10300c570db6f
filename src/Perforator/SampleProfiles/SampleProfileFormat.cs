namespace Perforator.SampleProfiles;

/// <summary>The encodings of LLVM's sample profiles.</summary>
public enum SampleProfileFormat
{
    /// <summary>Lines of text, for people and diffs.</summary>
    Text,

    /// <summary>LLVM's first binary encoding: no sections, no flags; cannot hold probe-based profiles.</summary>
    Binary,

    /// <summary>LLVM's extensible binary encoding, the default of its tools: sections with flags.</summary>
    ExtBinary,
}

/// <summary>What a writer may choose; only <see cref="SampleProfileFormat.ExtBinary"/> has choices.</summary>
public sealed record SampleProfileWriteOptions
{
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
