using Perforator.SampleProfiles;

namespace Perforator.Tests.SampleProfiles;

public sealed class LocationMapTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(-1)]
    [InlineData(7919)]
    public void KeepsLocationsInOrderHoweverTheyAreAdded(int step)
    {
        const int Count = 5000;
        LocationMap<BodySample> map = new();
        for (int i = 0; i < Count; i++)
        {
            uint n = (uint)(((long)i * step % Count + Count) % Count);
            map.GetOrAdd(new(n / 3, n % 3), static () => new BodySample()).AddSamples(n);
        }

        Assert.Equal(Count, map.Count);
        uint expected = 0;
        foreach ((LineLocation location, BodySample sample) in map)
        {
            Assert.Equal(new LineLocation(expected / 3, expected % 3), location);
            Assert.Equal(expected, sample.Samples);
            expected++;
        }
        Assert.Equal((uint)Count, expected);
        Assert.Equal(4999UL, map[new(4999 / 3, 4999 % 3)].Samples);
        Assert.False(map.TryGetValue(new(1, 3), out _));
    }

    [Fact]
    public void AgreesWithASortedDictionaryUnderRandomChanges()
    {
        Random random = new(20);
        LocationMap<BodySample> map = new();
        SortedDictionary<LineLocation, BodySample> reference = [];
        for (int i = 0; i < 20_000; i++)
        {
            LineLocation location = new((uint)random.Next(60), (uint)random.Next(40));
            if (random.Next(3) == 0)
            {
                Assert.Equal(reference.Remove(location), map.Remove(location));
            }
            else
            {
                BodySample sample = map.GetOrAdd(location, static () => new BodySample());
                Assert.True(!reference.TryGetValue(location, out BodySample? known) || ReferenceEquals(known, sample));
                reference[location] = sample;
            }
        }
        Assert.Equal(reference.ToArray(), map.ToArray());
        Assert.Equal(reference.First(), map.First);
    }

    [Fact]
    public void NamesSortByTheirUtf8Bytes()
    {
        string[] sorted = ["", "_Z", "_Z1a", "_Z1b", "é", "\uffee", "😀"];
        Assert.Equal(sorted, sorted.Reverse().Order(FunctionNameOrder.Names));
        Assert.Equal(["9", "10", "18446744073709551615"], new[] { "18446744073709551615", "10", "9" }.Order(FunctionNameOrder.Md5Names));
    }
}
