using System.Buffers;
using Perforator.Bytes;

namespace Perforator.Tests.Bytes;

public class ZstandardTests
{
    private static readonly byte[] Data = [.. Enumerable.Range(0, 300_000).Select(i => (byte)(i * i >> 7))];

    [Fact]
    public void What_was_compressed_comes_back()
    {
        byte[] packed = Zstandard.Compress(Data);
        Assert.True(packed.Length < Data.Length);
        Assert.Equal(Data, Zstandard.Decompress(packed, Data.Length, "test"));
        Assert.Empty(Zstandard.Decompress(Zstandard.Compress([]), 0, "test"));
    }

    [Fact]
    public void A_stream_may_be_cut_anywhere()
    {
        byte[] packed = Zstandard.Compress(Data);
        using ZstandardDecoder decoder = new("test");
        ArrayBufferWriter<byte> output = new();
        for (int at = 0; at < packed.Length; at += 1000)
            decoder.Decode(packed.AsSpan(at, Math.Min(1000, packed.Length - at)), output, int.MaxValue);
        decoder.Complete();
        Assert.Equal(Data, output.WrittenSpan.ToArray());
    }

    [Fact]
    public void Damage_truncation_and_excess_are_malformed()
    {
        byte[] packed = Zstandard.Compress(Data);
        Assert.Throws<MalformedInputException>(() => Zstandard.Decompress(packed, Data.Length - 1, "test"));
        Assert.Throws<MalformedInputException>(() => Zstandard.Decompress(packed.AsSpan(0, packed.Length - 1), Data.Length, "test"));
        Assert.Throws<MalformedInputException>(() => Zstandard.Decompress("not zstd"u8, 100, "test"));
    }

    [Fact]
    public void Zlib_is_capped_and_checked_too()
    {
        using MemoryStream packed = new();
        using (System.IO.Compression.ZLibStream deflate = new(packed, System.IO.Compression.CompressionLevel.Fastest, leaveOpen: true))
            deflate.Write(Data);
        Assert.Equal(Data, Zlib.Decompress(packed.ToArray(), Data.Length, "test"));
        Assert.Throws<MalformedInputException>(() => Zlib.Decompress(packed.ToArray(), Data.Length - 1, "test"));
        Assert.Throws<MalformedInputException>(() => Zlib.Decompress("not zlib"u8, 100, "test"));
    }
}
