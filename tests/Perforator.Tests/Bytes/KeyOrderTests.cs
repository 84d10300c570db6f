using Perforator.Bytes;

namespace Perforator.Tests.Bytes;

public sealed class KeyOrderTests
{
    [Theory]
    [InlineData(0, 64)]
    [InlineData(1, 64)]
    [InlineData(40, 3)]
    [InlineData(40, 64)]
    [InlineData(1000, 4)]
    [InlineData(1000, 21)]
    [InlineData(1000, 64)]
    public void Keys_are_sorted_and_equal_ones_keep_their_order(int count, int bits)
    {
        Random random = new(count + bits);
        ulong[] keys = [.. Enumerable.Range(0, count).Select(_ => (ulong)random.NextInt64() * 2654435761 >> (64 - bits))];
        Assert.Equal(Enumerable.Range(0, count).OrderBy(i => keys[i]), KeyOrder.Of(keys));
    }

    [Fact]
    public void Pairs_are_sorted_by_first_then_second()
    {
        Random random = new(1);
        ulong[] first = [.. Enumerable.Range(0, 500).Select(_ => random.Next(8) == 0 ? ulong.MaxValue : (ulong)random.Next(20))];
        ulong[] second = [.. Enumerable.Range(0, 500).Select(_ => (ulong)random.Next(1000) << 20)];
        Assert.Equal(Enumerable.Range(0, 500).OrderBy(i => first[i]).ThenBy(i => second[i]), KeyOrder.Of(first, second));
    }
}
