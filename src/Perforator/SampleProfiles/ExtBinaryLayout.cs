namespace Perforator.SampleProfiles;

/// <summary>Section types of the extensible binary format (<c>SecType</c> in LLVM's SampleProf.h).</summary>
internal enum SecType : ulong
{
    SecInValid = 0,
    SecProfSummary = 1,
    SecNameTable = 2,
    SecProfileSymbolList = 3,
    SecFuncOffsetTable = 4,
    SecFuncMetadata = 5,
    SecCSNameTable = 6,
    SecLBRProfile = 32,
}

/// <summary>
/// Section flags: those of every section in the low 32 bits, those of one section type in the high 32 bits
/// (<c>SecCommonFlags</c>, <c>SecNameTableFlags</c>, … in LLVM's SampleProf.h).
/// </summary>
internal static class SecFlags
{
    public const ulong SecFlagCompress = 1;
    public const ulong SecFlagFlat = 2;

    /// <summary>Of the name table.</summary>
    public const ulong SecFlagMD5Name = 1UL << 32;

    /// <inheritdoc cref="SecFlagMD5Name"/>
    public const ulong SecFlagFixedLengthMD5 = 2UL << 32;

    /// <inheritdoc cref="SecFlagMD5Name"/>
    public const ulong SecFlagUniqSuffix = 4UL << 32;

    /// <summary>Of the summary.</summary>
    public const ulong SecFlagPartial = 1UL << 32;

    /// <inheritdoc cref="SecFlagPartial"/>
    public const ulong SecFlagFullContext = 2UL << 32;

    /// <inheritdoc cref="SecFlagPartial"/>
    public const ulong SecFlagFSDiscriminator = 4UL << 32;

    /// <inheritdoc cref="SecFlagPartial"/>
    public const ulong SecFlagIsPreInlined = 16UL << 32;

    /// <inheritdoc cref="SecFlagPartial"/>
    public const ulong SecFlagHasVTableTypeProf = 32UL << 32;

    /// <summary>Of the function metadata.</summary>
    public const ulong SecFlagIsProbeBased = 1UL << 32;

    /// <inheritdoc cref="SecFlagIsProbeBased"/>
    public const ulong SecFlagHasAttribute = 2UL << 32;

    /// <summary>Of the function offset table.</summary>
    public const ulong SecFlagOrdered = 1UL << 32;

    /// <summary>All flags that are understood of a section's type; those of unknown types say nothing to who passes over them.</summary>
    public static ulong Known(SecType type) => SecFlagCompress | SecFlagFlat | type switch
    {
        SecType.SecNameTable => SecFlagMD5Name | SecFlagFixedLengthMD5 | SecFlagUniqSuffix,
        SecType.SecProfSummary =>
            SecFlagPartial | SecFlagFullContext | SecFlagFSDiscriminator | SecFlagIsPreInlined | SecFlagHasVTableTypeProf,
        SecType.SecFuncMetadata => SecFlagIsProbeBased | SecFlagHasAttribute,
        SecType.SecProfileSymbolList or SecType.SecLBRProfile or SecType.SecCSNameTable => 0,
        // Not read.
        _ => ulong.MaxValue,
    };

    /// <summary>What LLVM calls a flag that is not understood here.</summary>
    public static string NameOf(SecType type, ulong flag) => (type, flag >> 32) switch
    {
        (SecType.SecNameTable, 8) => "SecFlagEytzinger (names in Eytzinger order)",
        (SecType.SecProfileSymbolList, 1) => "SecFlagMD5 (a list of hashes)",
        _ => $"0x{flag:x}",
    };
}

/// <summary>What both binary formats share.</summary>
internal static class BinaryFormat
{
    /// <summary>"SPROF42" and the format's number, most significant byte first, stored as ULEB128 (<c>SPMagic</c>).</summary>
    public const ulong BinaryMagic = 0x5350_524f_4634_32ff;

    /// <inheritdoc cref="BinaryMagic"/>
    public const ulong ExtBinaryMagic = 0x5350_524f_4634_3204;

    public const ulong Version = 103;

    /// <summary>What LLVM 23 writes; it differs from <see cref="Version"/> in flags only.</summary>
    public const ulong NewestVersion = 104;

    /// <summary>Line offsets have 16 bits in every format.</summary>
    public const uint MaxLineOffset = 0xffff;
}
