using Perforator.Bytes;

namespace Perforator.Tests.Bytes;

public class SpanReaderTests
{
    [Theory]
    [InlineData(new byte[] { 0x02 }, 2UL)]
    [InlineData(new byte[] { 0xff, 0x00 }, 127UL)]
    [InlineData(new byte[] { 0x80, 0x01 }, 128UL)]
    [InlineData(new byte[] { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01 }, ulong.MaxValue)]
    public void Reads_uleb128(byte[] bytes, ulong value) => Assert.Equal(value, new SpanReader(bytes, "test").ReadULeb128());

    [Theory]
    [InlineData(new byte[] { 0x7e }, -2L)]
    [InlineData(new byte[] { 0xff, 0x00 }, 127L)]
    [InlineData(new byte[] { 0x80, 0x7f }, -128L)]
    [InlineData(new byte[] { 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7f }, long.MinValue)]
    public void Reads_sleb128(byte[] bytes, long value) => Assert.Equal(value, new SpanReader(bytes, "test").ReadSLeb128());

    [Fact]
    public void A_uleb128_number_beyond_64_bits_is_malformed()
    {
        byte[] bytes = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        Assert.Throws<MalformedInputException>(() => new SpanReader(bytes, "test").ReadULeb128());
    }

    [Fact]
    public void Reading_past_the_end_names_the_structure_and_the_offset()
    {
        MalformedInputException e = Assert.Throws<MalformedInputException>(() =>
        {
            SpanReader outer = new(new byte[10], "file");
            outer.Skip(4);
            SpanReader inner = outer.Slice(3, "header");
            inner.ReadU16();
            inner.ReadU16();
        });
        Assert.Equal("header", e.Where);
        Assert.Equal(6UL, e.Offset);
    }
}
