using Perforator.Generation;

namespace Perforator.Tests.Generation;

public class DisjointRangesTests
{
    private static string Cut(params (ulong Begin, ulong End, ulong Count)[] ranges) =>
        string.Join(' ', DisjointRanges.Of([.. ranges.Select(r => new RangeCount(r.Begin, r.End, r.Count))])
            .Select(r => $"{r.Begin}-{r.End}:{r.Count}"));

    [Fact]
    public void Overlapping_ranges_add_up_where_they_overlap() => Assert.Equal("10-19:300 20-29:200", Cut((10, 19, 100), (10, 29, 200)));

    [Fact]
    public void Where_one_ends_and_another_begins_both_count() =>
        Assert.Equal("10-19:100 20-20:300 21-29:200", Cut((10, 20, 100), (20, 29, 200)));

    [Fact]
    public void Gaps_stay_gaps() => Assert.Equal("10-19:10 40-49:20", Cut((10, 19, 10), (40, 49, 20)));

    [Fact]
    public void Code_of_a_touched_function_that_did_not_run_has_zero() =>
        Assert.Equal("0-9:0 10-19:100 20-29:0 30-39:200 40-50:0", Cut((0, 50, 0), (10, 19, 100), (30, 39, 200)));

    [Fact]
    public void A_single_address_is_a_range() => Assert.Equal("7-7:3", Cut((7, 7, 3)));
}
