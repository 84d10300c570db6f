using Perforator.Dwarf;
using Perforator.Symbolize;

namespace Perforator.Tests.Symbolize;

public class AddressIndexTests
{
    [Fact]
    public void The_innermost_range_answers()
    {
        AddressIndex index = AddressIndex.Of([(new(10, 100), 0), (new(20, 40), 1), (new(30, 40), 2), (new(60, 70), 3), (new(200, 210), 4)]);
        Assert.Equal((-1, 10UL), Find(index, 9));
        Assert.Equal((0, 20UL), Find(index, 10));
        Assert.Equal((1, 30UL), Find(index, 29));
        Assert.Equal((2, 40UL), Find(index, 39));
        Assert.Equal((0, 60UL), Find(index, 40));
        Assert.Equal((3, 70UL), Find(index, 60));
        Assert.Equal((0, 100UL), Find(index, 99));
        Assert.Equal((-1, 200UL), Find(index, 100));
        Assert.Equal((-1, ulong.MaxValue), Find(index, 210));
        Assert.Equal((-1, ulong.MaxValue), Find(AddressIndex.Of([]), 5));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Any_ranges_give_what_a_plain_search_gives(int seed)
    {
        Random random = new(seed);
        List<(AddressRange Range, int Value)> ranges = [];
        for (int i = 0; i < 60; i++)
        {
            ulong low = (ulong)random.Next(100);
            ranges.Add((new(low, low + 1 + (ulong)random.Next(40)), i));
        }
        AddressIndex index = AddressIndex.Of(ranges);
        for (int probe = 0; probe < 2000; probe++)
        {
            ulong address = (ulong)random.Next(160);
            int expected =
                ranges.Where(r => address >= r.Range.Low && address < r.Range.High).OrderBy(r => r.Range.Low).Select(r => r.Value)
                    .LastOrDefault(-1);
            int actual = index.Find(address, out ulong end);
            Assert.Equal(expected, actual);
            Assert.True(end > address);
            Assert.Equal(actual, index.Find(Math.Min(end, 200) - 1, out _));
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Of_overlapping_ranges_the_one_below_goes_on_and_else_the_smallest_answers(int seed)
    {
        Random random = new(seed);
        List<(AddressRange Range, int Value)> ranges = [];
        for (int i = 0; i < 40; i++)
        {
            ulong low = (ulong)random.Next(150);
            ranges.Add((new(low, low + (ulong)random.Next(12)), random.Next(20)));
        }
        AddressIndex index = AddressIndex.OfOverlapping(ranges);
        int below = -1;
        for (ulong address = 0; address < 170; address++)
        {
            List<int> covering = [.. ranges.Where(r => address >= r.Range.Low && address < r.Range.High).Select(r => r.Value)];
            int expected = covering.Contains(below) ? below : covering.DefaultIfEmpty(-1).Min();
            Assert.Equal(expected, index.Find(address, out _));
            below = expected;
        }
    }

    private static (int, ulong) Find(AddressIndex index, ulong address) => (index.Find(address, out ulong end), end);
}
