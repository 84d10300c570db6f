using System.IO.Compression;

namespace Perforator.Bytes;

/// <summary>zlib streams (RFC 1950), decompressed under a cap.</summary>
public static class Zlib
{
    /// <summary>
    /// What most content takes at most when decompressed, to what it takes compressed; what takes more is given more when it comes.
    /// </summary>
    private const int UsualRatio = 8;

    /// <summary>Decompresses one zlib stream.</summary>
    /// <param name="maxSize">The most bytes to produce; more is malformed. Memory grows with what is really produced.</param>
    /// <param name="where">The structure's name, for errors.</param>
    /// <exception cref="MalformedInputException">Damaged, or more than <paramref name="maxSize"/> bytes.</exception>
    public static byte[] Decompress(ReadOnlySpan<byte> data, int maxSize, string where)
    {
        try
        {
            using MemoryStream input = new(data.ToArray(), writable: false);
            using ZLibStream inflate = new(input, CompressionMode.Decompress);
            byte[] output = GC.AllocateUninitializedArray<byte>((int)Math.Min(maxSize, Math.Max(256, UsualRatio * (long)data.Length)));
            int length = 0;
            while (true)
            {
                int read = inflate.Read(output, length, output.Length - length);
                length += read;
                if (read == 0 && length < output.Length)
                    break;
                if (length < output.Length)
                    continue;
                if (output.Length == maxSize)
                {
                    if (inflate.ReadByte() >= 0)
                        throw new MalformedInputException($"decompresses to more than {maxSize} bytes", where, 0);
                    break;
                }
                Array.Resize(ref output, (int)Math.Min(maxSize, 2L * output.Length));
            }
            return length == output.Length ? output : output[..length];
        }
        catch (Exception e) when (e is InvalidDataException or IOException)
        {
            throw new MalformedInputException($"damaged zlib data: {e.Message}", where, 0);
        }
    }
}
