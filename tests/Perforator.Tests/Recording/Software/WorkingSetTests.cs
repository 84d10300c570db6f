using Perforator.Recording.Software;

namespace Perforator.Tests.Recording.Software;

public class WorkingSetTests
{
    [Fact]
    public void What_the_last_two_samples_touched_is_likely()
    {
        WorkingSet set = new();
        set.Learn([7, 3]);
        Assert.Empty(set.Likely);
        set.Learn([3, 7, 9]);
        Assert.Equal([3, 7], set.Likely);
        set.Learn([9]);
        Assert.Equal([9], set.Likely);
    }

    [Fact]
    public void What_three_of_eight_samples_touched_is_likely_until_they_are_long_ago()
    {
        WorkingSet set = new();
        for (ulong i = 0; i < 5; i++)
            set.Learn(i % 2 == 0 ? [5] : [100 + i]);
        Assert.Equal([5], set.Likely);
        for (ulong i = 0; i < 8; i++)
            set.Learn([200 + i]);
        Assert.Empty(set.Likely);
    }

    [Fact]
    public void Of_a_large_table_hardly_a_page_is_read_ahead_and_of_what_is_always_touched_every_one()
    {
        const int Samples = 400, Table = 2000, Lookups = 150;
        Random random = new(1);
        ulong[] always = [.. Enumerable.Range(0, 20).Select(i => (ulong)(1_000_000 + i))];
        WorkingSet set = new();
        int late = 0, useless = 0;
        for (int sample = 0; sample < Samples; sample++)
        {
            HashSet<ulong> touched = [.. always, .. Enumerable.Range(0, Lookups).Select(_ => (ulong)random.Next(Table))];
            if (sample >= Samples / 2)
            {
                late++;
                useless += set.Likely.Count(page => !touched.Contains(page));
                Assert.Subset(set.Likely.ToHashSet(), always.ToHashSet());
            }
            set.Learn(touched);
        }
        Assert.InRange(useless / (double)late, 0, 5);
    }

    [Fact]
    public void What_is_worth_reading_ahead_is_found_out_anew()
    {
        Random random = new(1);
        WorkingSet set = new();
        for (int sample = 0; sample < 300; sample++)
            set.Learn([.. Enumerable.Range(0, 150).Select(_ => (ulong)random.Next(2000)).Distinct()]);
        Assert.InRange(set.Likely.Count, 0, 10);
        ulong[] pages = [.. Enumerable.Range(0, 100).Select(i => (ulong)(5000 + i))];
        for (int sample = 0; sample < 20; sample++)
            set.Learn(pages);
        Assert.Equal(pages, set.Likely);
    }
}
