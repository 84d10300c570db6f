using Perforator.Recording.PerfEvents;

namespace Perforator.Tests.Recording.PerfEvents;

public class SamplingBudgetTests
{
    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);

    private static void Calm(SamplingBudget budget, int seconds)
    {
        for (int i = 0; i < seconds; i++)
            budget.Account(Second, 100, TimeSpan.Zero, 4, 0);
    }

    [Fact]
    public void More_stacks_than_wanted_lengthen_the_period_until_they_are_as_many()
    {
        SamplingBudget budget = new();
        Assert.True(budget.Account(Second, (ulong)SamplingBudget.StacksPerSecond * 6, TimeSpan.Zero, 128, 0));
        Assert.Equal(8UL, budget.Factor);
        Assert.False(budget.Account(Second, (ulong)SamplingBudget.StacksPerSecond * 6 / 8, TimeSpan.Zero, 128, 0));
    }

    [Fact]
    public void Cpu_time_of_the_reader_lengthens_it_by_what_the_host_has()
    {
        SamplingBudget budget = new(0.01);
        Assert.False(budget.Account(Second, 1, TimeSpan.FromMilliseconds(39), 4, 0));
        Assert.True(budget.Account(Second, 1, TimeSpan.FromMilliseconds(79), 4, 0));
        Assert.Equal(2UL, budget.Factor);
    }

    [Fact]
    public void It_is_shortened_again_slowly_and_never_below_its_own()
    {
        SamplingBudget budget = new();
        budget.Account(Second, 1, TimeSpan.Zero, 4, throttles: 3);
        Assert.Equal(2UL, budget.Factor);
        Calm(budget, 9);
        Assert.Equal(2UL, budget.Factor);
        Calm(budget, 1);
        Assert.Equal(1UL, budget.Factor);
        Calm(budget, 50);
        Assert.Equal(1UL, budget.Factor);
    }

    [Fact]
    public void It_ends_at_a_thousand_times()
    {
        SamplingBudget budget = new();
        for (int i = 0; i < 30; i++)
            budget.Account(Second, ulong.MaxValue, TimeSpan.Zero, 1, 0);
        Assert.Equal(1024UL, budget.Factor);
    }

    [Theory]
    [InlineData(1_000_003, 1, 1_000_003)]
    [InlineData(1_000_003, 2, 2_000_029)]
    [InlineData(2_000_003, 1024, 2_048_003_077)]
    public void Periods_are_prime(ulong period, ulong factor, ulong expected)
    {
        ulong longer = SamplingBudget.Period(period, factor);
        Assert.Equal(expected, longer);
        for (ulong divisor = 2; divisor * divisor <= longer; divisor++)
            Assert.NotEqual(0UL, longer % divisor);
    }
}
