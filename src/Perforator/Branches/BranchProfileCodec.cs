using System.IO.Compression;
using System.Security.Cryptography;
using Perforator.Bytes;

namespace Perforator.Branches;

/// <summary>
/// The bytes of a <see cref="BranchProfileSet"/>: the body of an upload and the content of a branch profile file. An envelope of 64
/// bytes (magic, version, compression, both lengths, SHA-256 of the message; all little-endian) and the compressed protobuf message.
/// The same set always gives the same message and hash.
/// </summary>
public static class BranchProfileCodec
{
    /// <summary>The largest message decoded unless the caller says otherwise, in bytes after decompression.</summary>
    public const int DefaultMaxMessageLength = 256 << 20;

    /// <summary>
    /// The most rows (counters) decoded unless the caller says otherwise. A row may take three bytes of the message, and a thousandth of
    /// that compressed, but takes some 100 bytes of memory.
    /// </summary>
    public const long DefaultMaxRows = 16_000_000;

    /// <summary>The most rows that a server takes in one set; agents send what is larger as several.</summary>
    public const long MaxUploadRows = 1_000_000;

    private const string Where = "branch profile file";

    /// <summary>The usual extension of a branch profile file.</summary>
    public const string FileExtension = ".branches";

    /// <summary>Whether the bytes begin like a branch profile file.</summary>
    public static bool HasMagic(ReadOnlySpan<byte> bytes) => bytes.StartsWith(BranchProfileEnvelope.Magic);

    /// <summary>Encodes a set.</summary>
    public static byte[] Encode(BranchProfileSet set) => Enclose(BranchProfileMessage.Encode(set));

    /// <summary>Compresses a message and puts its envelope before it.</summary>
    internal static byte[] Enclose(byte[] message)
    {
        using MemoryStream output = new();
        output.Write(new byte[BranchProfileEnvelope.Length]);
        using (ZLibStream compressor = new(output, CompressionLevel.Optimal, leaveOpen: true))
            compressor.Write(message);
        byte[] encoded = output.ToArray();
        new BranchProfileEnvelope(
            (ulong)(encoded.Length - BranchProfileEnvelope.Length), (ulong)message.Length).Write(encoded, SHA256.HashData(message));
        return encoded;
    }

    /// <summary>Decodes a set.</summary>
    /// <exception cref="MalformedInputException">
    /// The bytes are not a branch profile file, are truncated or damaged, are larger than allowed, or are not what <see cref="Encode"/>
    /// or a newer version writes for any set.
    /// </exception>
    public static BranchProfileSet Decode(
        ReadOnlySpan<byte> encoded, int maxMessageLength = DefaultMaxMessageLength, long maxRows = DefaultMaxRows)
    {
        BranchProfileEnvelope envelope = BranchProfileEnvelope.Parse(encoded);
        ulong length = (ulong)(encoded.Length - BranchProfileEnvelope.Length);
        if (envelope.CompressedLength > length)
            throw new MalformedInputException(
                $"truncated: {envelope.CompressedLength} bytes wanted, {length} left", Where, BranchProfileEnvelope.Length);
        if (envelope.CompressedLength < length)
            throw new MalformedInputException($"{length - envelope.CompressedLength} bytes too many", Where, BranchProfileEnvelope.Length);
        envelope.RequireAtMost(maxMessageLength);

        byte[] message = Decompress(encoded, (int)envelope.MessageLength);
        if (!SHA256.HashData(message).AsSpan().SequenceEqual(encoded.Slice(32, 32)))
            throw new MalformedInputException("damaged: the checksum does not match", Where, 32);
        return BranchProfileMessage.Decode(message, maxRows);
    }

    /// <summary>SHA-256 of the message of bytes that <see cref="Encode"/> made, in lower-case hexadecimal: equal for equal sets.</summary>
    public static string ContentHash(ReadOnlySpan<byte> encoded) => Convert.ToHexStringLower(encoded.Slice(32, 32));

    /// <summary>Loads a branch profile file.</summary>
    /// <exception cref="UserErrorException">The file cannot be read or is not a whole branch profile file.</exception>
    public static BranchProfileSet Load(string path)
    {
        using FileStream file = InputFile.Open(path);
        return Load(file, InputFile.NameOf(path));
    }

    /// <summary>Loads a branch profile file that is open, or comes through a pipe.</summary>
    /// <param name="path">What messages call it.</param>
    /// <exception cref="UserErrorException">It cannot be read or is not a whole branch profile file.</exception>
    public static BranchProfileSet Load(Stream file, string path)
    {
        try
        {
            return Decode(InputFile.ReadWhole(file, path));
        }
        catch (MalformedInputException e)
        {
            throw new UserErrorException($"{path} is not a usable branch profile file ({e.Message}); record or copy it again", e);
        }
    }

    /// <summary>Writes a branch profile file: the whole file appears under its name at once, or not at all.</summary>
    public static void Write(string path, BranchProfileSet set) => WholeFile.Write(path, Encode(set));

    private static byte[] Decompress(ReadOnlySpan<byte> encoded, int messageLength)
    {
        byte[] message = Zlib.Decompress(encoded[BranchProfileEnvelope.Length..], messageLength, Where);
        return message.Length == messageLength
            ? message
            : throw new MalformedInputException($"the message is not of {messageLength} bytes, as declared", Where, 24);
    }
}
