using System.Buffers.Binary;
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

    /// <summary>The usual extension of a branch profile file.</summary>
    public const string FileExtension = ".branches";

    private const int EnvelopeLength = 64;
    private const uint Version = 1;

    /// <summary>RFC 1950.</summary>
    private const uint CompressionZlib = 1;

    /// <summary>Deflate never shrinks more than 1032 : 1 (zlib, "Maximum Compression Factor"); a declared length beyond that lies.</summary>
    private const ulong MaxDeflateRatio = 1032;

    private static ReadOnlySpan<byte> Magic => "PFBRANCH"u8;

    /// <summary>Whether the bytes begin like a branch profile file.</summary>
    public static bool HasMagic(ReadOnlySpan<byte> bytes) => bytes.StartsWith(Magic);

    /// <summary>Encodes a set.</summary>
    public static byte[] Encode(BranchProfileSet set)
    {
        byte[] message = BranchProfileMessage.Encode(set);
        using MemoryStream output = new();
        output.Write(new byte[EnvelopeLength]);
        using (ZLibStream compressor = new(output, CompressionLevel.Optimal, leaveOpen: true))
            compressor.Write(message);
        byte[] encoded = output.ToArray();
        Magic.CopyTo(encoded);
        BinaryPrimitives.WriteUInt32LittleEndian(encoded.AsSpan(8), Version);
        BinaryPrimitives.WriteUInt32LittleEndian(encoded.AsSpan(12), CompressionZlib);
        BinaryPrimitives.WriteUInt64LittleEndian(encoded.AsSpan(16), (ulong)(encoded.Length - EnvelopeLength));
        BinaryPrimitives.WriteUInt64LittleEndian(encoded.AsSpan(24), (ulong)message.Length);
        SHA256.HashData(message, encoded.AsSpan(32));
        return encoded;
    }

    /// <summary>Decodes a set.</summary>
    /// <exception cref="MalformedInputException">
    /// The bytes are not a branch profile file, are truncated or damaged, are larger than allowed, or are not what <see cref="Encode"/>
    /// writes for any set.
    /// </exception>
    public static BranchProfileSet Decode(byte[] encoded, int maxMessageLength = DefaultMaxMessageLength)
    {
        SpanReader reader = new(encoded, "branch profile file");
        if (!HasMagic(encoded))
            throw reader.Malformed("not a branch profile file");
        reader.Skip(8);
        uint version = reader.ReadU32();
        if (version != Version)
            throw reader.Malformed($"version {version} is not known; a newer perforator may have written it");
        uint compression = reader.ReadU32();
        if (compression != CompressionZlib)
            throw reader.Malformed($"compression {compression} is not known");
        ulong compressedLength = reader.ReadU64();
        ulong messageLength = reader.ReadU64();
        ReadOnlySpan<byte> hash = reader.ReadBytes(32);
        if (compressedLength > (ulong)reader.Remaining)
            throw reader.Malformed($"truncated: {compressedLength} bytes wanted, {reader.Remaining} left");
        if (compressedLength < (ulong)reader.Remaining)
            throw reader.Malformed($"{(ulong)reader.Remaining - compressedLength} bytes too many");
        if (messageLength > (ulong)maxMessageLength)
            throw reader.Malformed($"{messageLength} bytes uncompressed; at most {maxMessageLength} are accepted");
        if (messageLength > compressedLength * MaxDeflateRatio)
            throw reader.Malformed($"{compressedLength} bytes cannot hold {messageLength}");

        byte[] message = Decompress(encoded, (int)messageLength);
        if (!SHA256.HashData(message).AsSpan().SequenceEqual(hash))
            throw new MalformedInputException("damaged: the checksum does not match", "branch profile file", 32);
        return BranchProfileMessage.Decode(message);
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

    private static byte[] Decompress(byte[] encoded, int messageLength)
    {
        byte[] message = Zlib.Decompress(encoded.AsSpan(EnvelopeLength), messageLength, "branch profile file");
        return message.Length == messageLength
            ? message
            : throw new MalformedInputException($"the message is not of {messageLength} bytes, as declared", "branch profile file", 24);
    }
}
