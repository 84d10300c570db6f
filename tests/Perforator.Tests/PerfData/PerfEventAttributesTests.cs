using Perforator.Bytes;
using Perforator.PerfData;

namespace Perforator.Tests.PerfData;

public class PerfEventAttributesTests
{
    private static byte[] OfSize(int size)
    {
        byte[] data = new PerfEventAttributes
        {
            Type = 1,
            Config = 2,
            SamplePeriod = 3,
            SampleType = (PerfSampleType)4,
            ReadFormat = (PerfReadFormat)5,
            Flags = (PerfAttributeFlags)(2UL << 15),
            BranchSampleType = (PerfBranchSampleType)7,
            SampleRegistersUser = 8,
            SampleRegistersInterrupt = 9,
        }.ToBytes();
        Array.Resize(ref data, Math.Max(size, data.Length));
        BitConverter.GetBytes(size).CopyTo(data, 4);
        return data[..size];
    }

    [Theory]
    [InlineData(64, 0, 0, 0)]
    [InlineData(72, 0, 0, 0)]
    [InlineData(80, 7, 0, 0)]
    [InlineData(96, 7, 8, 0)]
    [InlineData(104, 7, 8, 9)]
    [InlineData(112, 7, 8, 9)]
    [InlineData(120, 7, 8, 9)]
    [InlineData(128, 7, 8, 9)]
    [InlineData(136, 7, 8, 9)]
    [InlineData(4096, 7, 8, 9)]
    public void Every_size_is_read_and_fields_a_smaller_one_lacks_are_zero(int size, ulong branches, ulong user, ulong interrupt)
    {
        PerfEventAttributes attributes = PerfEventAttributes.Parse(OfSize(size));
        Assert.Equal((1U, 2UL, 3UL, 4UL, 5UL, 2),
            (attributes.Type, attributes.Config, attributes.SamplePeriod, (ulong)attributes.SampleType, (ulong)attributes.ReadFormat, attributes.PreciseIp));
        Assert.Equal((branches, user, interrupt),
            ((ulong)attributes.BranchSampleType, attributes.SampleRegistersUser, attributes.SampleRegistersInterrupt));
    }

    [Fact]
    public void Size_zero_means_the_first_published_size()
    {
        byte[] data = OfSize(112);
        BitConverter.GetBytes(0).CopyTo(data, 4);
        Assert.Equal(0UL, (ulong)PerfEventAttributes.Parse(data).BranchSampleType);
    }

    [Theory]
    [InlineData(112, 113)]
    [InlineData(112, 63)]
    [InlineData(112, -1)]
    [InlineData(63, 63)]
    [InlineData(7, 7)]
    public void A_size_that_lies_is_refused(int present, int claimed)
    {
        byte[] data = OfSize(112)[..present];
        if (present >= 8)
            BitConverter.GetBytes(claimed).CopyTo(data, 4);
        Assert.Throws<MalformedInputException>(() => PerfEventAttributes.Parse(data));
    }
}
