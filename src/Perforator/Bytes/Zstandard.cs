using System.Buffers;
using System.Runtime.InteropServices;

namespace Perforator.Bytes;

/// <summary>
/// Zstandard (RFC 8878) through the system's libzstd.so.1: sections compressed with <c>-gz=zstd</c>, <c>perf record -z</c> and
/// uploads. Decompressed sizes are always capped by the caller.
/// </summary>
public static partial class Zstandard
{
    private const string Library = "libzstd.so.1";

    /// <summary>The level <see cref="Compress"/> uses when none is given: libzstd's own default.</summary>
    public const int DefaultLevel = 3;

    /// <summary>The first four bytes of every frame, little-endian.</summary>
    public const uint FrameMagic = 0xFD2FB528;

    /// <summary>Compresses into one frame that states its size.</summary>
    /// <exception cref="UserErrorException">libzstd is not installed.</exception>
    public static byte[] Compress(ReadOnlySpan<byte> data, int level = DefaultLevel)
    {
        RequireLibrary();
        byte[] buffer = new byte[(int)ZSTD_compressBound((nuint)data.Length)];
        nuint written;
        unsafe
        {
            fixed (byte* source = data)
            fixed (byte* target = buffer)
                written = ZSTD_compress(target, (nuint)buffer.Length, source, (nuint)data.Length, level);
        }
        if (ZSTD_isError(written) != 0)
            throw new InvalidOperationException($"libzstd: {ErrorName(written)}");
        return buffer[..(int)written];
    }

    /// <summary>Decompresses all frames of <paramref name="data"/>.</summary>
    /// <param name="maxSize">The most bytes to produce; more is malformed. Memory grows with what is really produced.</param>
    /// <param name="where">The structure's name, for errors.</param>
    /// <exception cref="MalformedInputException">Damaged or truncated, or more than <paramref name="maxSize"/> bytes.</exception>
    /// <exception cref="UserErrorException">libzstd is not installed.</exception>
    public static byte[] Decompress(ReadOnlySpan<byte> data, int maxSize, string where)
    {
        using ZstandardDecoder decoder = new(where);
        ArrayBufferWriter<byte> output = new(Math.Clamp(data.Length, 256, 1 << 20));
        decoder.Decode(data, output, maxSize);
        decoder.Complete();
        return output.WrittenSpan.ToArray();
    }

    internal static void RequireLibrary()
    {
        if (!NativeLibrary.TryLoad(Library, typeof(Zstandard).Assembly, DllImportSearchPath.SafeDirectories, out _))
            throw new UserErrorException(
                $"{Library} is missing, and this input is compressed with Zstandard; install it (Debian: apt-get install libzstd1)");
    }

    internal static unsafe string ErrorName(nuint code) => Marshal.PtrToStringUTF8((nint)ZSTD_getErrorName(code)) ?? "unknown error";

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct ZSTD_inBuffer
    {
        public byte* Source;
        public nuint Size;
        public nuint Position;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct ZSTD_outBuffer
    {
        public byte* Target;
        public nuint Size;
        public nuint Position;
    }

    [LibraryImport(Library)]
    private static partial nuint ZSTD_compressBound(nuint size);

    [LibraryImport(Library)]
    private static unsafe partial nuint ZSTD_compress(byte* target, nuint capacity, byte* source, nuint size, int level);

    [LibraryImport(Library)]
    internal static partial uint ZSTD_isError(nuint code);

    [LibraryImport(Library)]
    private static unsafe partial byte* ZSTD_getErrorName(nuint code);

    [LibraryImport(Library)]
    internal static partial nint ZSTD_createDStream();

    [LibraryImport(Library)]
    internal static partial nuint ZSTD_freeDStream(nint stream);

    [LibraryImport(Library)]
    internal static partial nuint ZSTD_initDStream(nint stream);

    [LibraryImport(Library)]
    internal static unsafe partial nuint ZSTD_decompressStream(nint stream, ZSTD_outBuffer* output, ZSTD_inBuffer* input);
}
