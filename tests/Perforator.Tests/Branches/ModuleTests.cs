using Perforator.Branches;
using Perforator.Elf;

namespace Perforator.Tests.Branches;

public class ModuleTests
{
    private static LoadSegment Segment(ulong address, ulong offset, ulong size, bool code = false) =>
        new(new(address), new(offset), size, size, code);

    private static ulong? StartOf(LoadSegment[] segments, ulong offset, ulong length) =>
        new Module(BuildId.Parse("aa"), "/bin/program", segments).StartOf(new(offset), length)?.Value;

    /// <summary>As lld lays programs out: code begins inside a page that the file's headers begin.</summary>
    [Fact]
    public void A_mapping_that_begins_before_its_segment_is_of_the_segment()
    {
        LoadSegment[] segments = [Segment(0, 0, 0x7fc), Segment(0x1800, 0x800, 0x500, code: true), Segment(0x2d00, 0xd00, 0x1d8)];
        Assert.Equal(0x1000UL, StartOf(segments, 0, 0x1000));
    }

    [Fact]
    public void Of_two_code_segments_in_one_page_it_is_the_one_shown_most()
    {
        LoadSegment[] segments = [Segment(0x1000, 0, 0x900, code: true), Segment(0x5900, 0x900, 0x5000, code: true)];
        Assert.Equal(0x1000UL, StartOf(segments, 0, 0x1000));
        Assert.Equal(0x5000UL, StartOf(segments, 0, 0x6000));
    }

    /// <summary>Executable segments first, last or alone, at offsets beyond 4 GiB (autofdo issue 135, llvm-project issue 63456).</summary>
    [Theory]
    [InlineData(0x400000UL, 0UL)]
    [InlineData(0x7f0000000000UL, 0x1_2345_6000UL)]
    public void Segments_may_stand_in_any_order_and_at_any_offset(ulong address, ulong offset)
    {
        LoadSegment code = Segment(address, offset, 0x3000, code: true), data = Segment(0x10000, offset + 0x3000, 0x1000);
        Assert.Equal(address, StartOf([code, data], offset, 0x3000));
        Assert.Equal(address + 0x1000, StartOf([data, code], offset + 0x1000, 0x1000));
        Assert.Equal(0x10000UL, StartOf([data, code], offset + 0x3000, 0x1000));
        Assert.Null(StartOf([data, code], offset + 0x9000, 0x1000));
    }

    [Fact]
    public void Gigantic_sizes_do_not_wrap()
    {
        LoadSegment[] segments = [Segment(0x1000, 0x1000, ulong.MaxValue, code: true)];
        Assert.Equal(0x1000UL, StartOf(segments, 0x1000, ulong.MaxValue));
        Assert.Null(StartOf([Segment(0x1000, 0x1000, 0)], 0x1000, 0x1000));
    }
}
