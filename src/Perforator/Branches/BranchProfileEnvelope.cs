using System.Buffers.Binary;
using Perforator.Bytes;

namespace Perforator.Branches;

/// <summary>
/// What stands before the message of an encoded <see cref="BranchProfileSet"/>, so that a reader knows what will come, and what it will
/// need, before it reads on.
/// </summary>
/// <param name="CompressedLength">Bytes that follow the envelope.</param>
/// <param name="MessageLength">Bytes of the message, decompressed.</param>
public readonly record struct BranchProfileEnvelope(ulong CompressedLength, ulong MessageLength)
{
    /// <summary>Bytes of an envelope.</summary>
    public const int Length = 64;

    private const string Where = "branch profile file";
    private const uint Version = 1;

    /// <summary>RFC 1950.</summary>
    private const uint CompressionZlib = 1;

    /// <summary>
    /// Deflate never shrinks more than 1032 : 1 (zlib, "Maximum Compression Factor"); a declared length beyond that lies.
    /// </summary>
    private const ulong MaxDeflateRatio = 1032;

    internal static ReadOnlySpan<byte> Magic => "PFBRANCH"u8;

    /// <summary>Reads an envelope from the first bytes of a file or upload.</summary>
    /// <exception cref="MalformedInputException">They are too few, or no envelope of a version that is known.</exception>
    public static BranchProfileEnvelope Parse(ReadOnlySpan<byte> bytes)
    {
        SpanReader reader = new(bytes, Where);
        if (!bytes.StartsWith(Magic))
            throw reader.Malformed("not a branch profile file");
        reader.Skip(8);
        uint version = reader.ReadU32();
        if (version != Version)
            throw new MalformedInputException(
                $"version {version} is not known; a newer perforator may have written it", Where, 8)
            { IsOtherVersion = true };
        uint compression = reader.ReadU32();
        if (compression != CompressionZlib)
            throw reader.Malformed($"compression {compression} is not known");
        BranchProfileEnvelope envelope = new(reader.ReadU64(), reader.ReadU64());
        reader.ReadBytes(32);
        if (envelope.MessageLength > envelope.CompressedLength * MaxDeflateRatio)
            throw reader.Malformed($"{envelope.CompressedLength} bytes cannot hold {envelope.MessageLength}");
        return envelope;
    }

    /// <summary>Refuses a message that is too large.</summary>
    /// <exception cref="MalformedInputException">It is.</exception>
    public void RequireAtMost(int maxMessageLength)
    {
        if (MessageLength > (ulong)maxMessageLength)
            throw new MalformedInputException(
                $"{MessageLength} bytes uncompressed; at most {maxMessageLength} are accepted", Where, 24)
            { IsTooLarge = true };
    }

    internal void Write(Span<byte> to, ReadOnlySpan<byte> hash)
    {
        Magic.CopyTo(to);
        BinaryPrimitives.WriteUInt32LittleEndian(to[8..], Version);
        BinaryPrimitives.WriteUInt32LittleEndian(to[12..], CompressionZlib);
        BinaryPrimitives.WriteUInt64LittleEndian(to[16..], CompressedLength);
        BinaryPrimitives.WriteUInt64LittleEndian(to[24..], MessageLength);
        hash.CopyTo(to[32..]);
    }
}
