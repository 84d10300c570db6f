using Perforator.SampleProfiles;

namespace Perforator.Tests.SampleProfiles;

public sealed class NameMapTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(16)]
    [InlineData(17)]
    [InlineData(500)]
    public void Is_a_sorted_dictionary(int names)
    {
        Random random = new(names);
        SortedDictionary<string, ulong> expected = new(FunctionNameOrder.Names);
        NameMap<ulong> map = new();
        for (ulong i = 0; i < 2000; i++)
        {
            string name = $"f{random.Next(names)}";
            if (random.Next(4) == 0)
                Assert.Equal(expected.Remove(name), map.Remove(name));
            else
                map.Set(name, expected[name] = i);
            Assert.Equal(expected.Count, map.Count);
            Assert.Equal(expected.TryGetValue(name, out ulong value), map.TryGetValue(name, out ulong found));
            Assert.Equal(value, found);
        }
        Assert.Equal(expected, map);
        Assert.Equal(expected.Keys, map.Names);
        Assert.Equal(expected.Values, map.Values);
    }
}
