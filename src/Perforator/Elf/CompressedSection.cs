using Perforator.Bytes;

namespace Perforator.Elf;

/// <summary>
/// Compressed sections: SHF_COMPRESSED with an Elf64_Chdr (<c>-gz=zlib</c>, <c>-gz=zstd</c>) and the older GNU form, a section
/// named .zdebug_* that begins with "ZLIB" and a big-endian size.
/// </summary>
internal static class CompressedSection
{
    /// <summary>
    /// The most bytes a section may grow to, per compressed byte. Deflate cannot exceed 1032; real debug sections stay below 20.
    /// </summary>
    private const ulong MaxRatio = 1032;

    private const ulong FreeAllowance = 1 << 20;

    /// <summary>Decompresses a section that has SHF_COMPRESSED.</summary>
    /// <exception cref="MalformedInputException">Damaged, of unknown type, or not of the size that it states.</exception>
    public static byte[] Decompress(ReadOnlySpan<byte> data, string name)
    {
        SpanReader reader = new(data, name);
        uint type = reader.ReadU32();
        reader.Skip(4);
        ulong size = reader.ReadU64();
        reader.Skip(8);
        return type switch
        {
            ElfConstants.ELFCOMPRESS_ZLIB => Exactly(size, Zlib.Decompress(reader.Rest, Cap(reader, size), name), reader),
            ElfConstants.ELFCOMPRESS_ZSTD => Exactly(size, Zstandard.Decompress(reader.Rest, Cap(reader, size), name), reader),
            _ => throw reader.Malformed($"unknown compression type {type}"),
        };
    }

    /// <summary>Decompresses a .zdebug_* section.</summary>
    /// <exception cref="MalformedInputException">Damaged, or not of the size that it states.</exception>
    public static byte[] DecompressGnu(ReadOnlySpan<byte> data, string name)
    {
        SpanReader reader = new(data, name, bigEndian: true);
        if (!reader.ReadBytes(4).SequenceEqual("ZLIB"u8))
            throw reader.Malformed("does not begin with \"ZLIB\"");
        ulong size = reader.ReadU64();
        return Exactly(size, Zlib.Decompress(reader.Rest, Cap(reader, size), name), reader);
    }

    private static int Cap(in SpanReader reader, ulong size)
    {
        if (size > int.MaxValue || size > FreeAllowance + MaxRatio * (ulong)reader.Remaining)
            throw reader.Malformed($"implausible size {size} for {reader.Remaining} compressed bytes");
        return (int)size;
    }

    private static byte[] Exactly(ulong size, byte[] data, in SpanReader reader) =>
        (ulong)data.Length == size ? data : throw reader.Malformed($"decompresses to {data.Length} bytes instead of {size}");
}
