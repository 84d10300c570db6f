using Perforator.Api;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Api;

public sealed class RecordingPlanTests : IDisposable
{
    private sealed class SetTime : TimeProvider
    {
        public DateTimeOffset Now { get; set; } = DateTimeOffset.UtcNow;

        public override DateTimeOffset GetUtcNow() => Now;

        public override long GetTimestamp() => Now.UtcTicks;
    }

    private readonly TemporaryFolder folder = new();
    private readonly SetTime time = new();
    private readonly List<string> said = [];

    private RecordingPlan New(string? spool = null) => new(spool, time, said.Add);

    private static PlanAnswer Answer(double rate, string service = "search") =>
        new([new ServicePlan(
            service, rate, "new", new Dictionary<string, string> { ["team"] = "finders" })], HoldSeconds: 3600, FallbackRate: 0.125);

    [Fact]
    public void The_last_plan_holds_for_its_time_and_then_the_fallback_rate()
    {
        RecordingPlan plan = New();
        Assert.Equal(RecordingPlan.UsualFallbackRate, plan.RateOf("search"));
        plan.Take(Answer(0.5));
        Assert.Equal((0.5, 0.125), (plan.RateOf("search"), plan.RateOf("one that the plan does not name")));
        Assert.Equal("finders", plan.LabelsOf("search")["team"]);
        time.Now += TimeSpan.FromMinutes(59);
        Assert.Equal(0.5, plan.RateOf("search"));
        // What an upload's answer says of one service changes its rate, and not how long the plan holds.
        plan.Take(new ServicePlan("search", 0, "sufficient", new Dictionary<string, string>()));
        Assert.Equal(0, plan.RateOf("search"));
        time.Now += TimeSpan.FromMinutes(2);
        Assert.Equal(0.125, plan.RateOf("search"));
        plan.Take(Answer(0.5));
        Assert.Equal(0.5, plan.RateOf("search"));
    }

    [Fact]
    public void A_plan_outlives_a_restart_where_there_is_a_spool()
    {
        string spool = Directory.CreateDirectory(folder["spool"]).FullName;
        New(spool).Take(Answer(0.5));
        time.Now += TimeSpan.FromMinutes(30);
        RecordingPlan restarted = New(spool);
        Assert.Equal(0.5, restarted.RateOf("search"));
        time.Now += TimeSpan.FromMinutes(31);
        Assert.Equal(0.125, restarted.RateOf("search"));
        Assert.Empty(said);

        foreach (string damaged in (string[])["", "null", "{", "{\"services\":null}", "{\"services\":[null],\"holdSeconds\":1,\"fallbackRate\":1}"])
        {
            File.WriteAllText(Path.Combine(spool, RecordingPlan.FileName), damaged);
            Assert.Equal(RecordingPlan.UsualFallbackRate, New(spool).RateOf("search"));
        }
        Assert.Contains(
            said, line => line.StartsWith(Path.Combine(spool, RecordingPlan.FileName) + " is not used: ", StringComparison.Ordinal));
        said.Clear();
        RecordingPlan unwritable = New(folder["none/spool"]);
        unwritable.Take(Answer(0.25));
        unwritable.Take(Answer(0.5));
        Assert.Equal(0.5, unwritable.RateOf("search"));
        Assert.Contains("cannot be kept in", Assert.Single(said), StringComparison.Ordinal);
    }

    [Fact]
    public void A_rate_stays_within_the_budget_whatever_a_server_says_and_a_server_without_plans_gets_all_of_it()
    {
        RecordingPlan plan = New();
        foreach ((double said, double rate) in ((double, double)[])[(7, 1), (-1, 0), (double.NaN, 0), (double.PositiveInfinity, 1)])
        {
            plan.Take(Answer(said));
            Assert.Equal(rate, plan.RateOf("search"));
        }
        plan.TakeNone(new Uri("http://old:7733"));
        plan.TakeNone(new Uri("http://old:7733"));
        Assert.Equal(1, plan.RateOf("search"));
        Assert.Contains("makes no plans", Assert.Single(said), StringComparison.Ordinal);
        plan.Take(Answer(0.5));
        Assert.Equal(0.5, plan.RateOf("search"));
    }

    [Fact]
    public void The_mean_rate_of_a_time_in_which_plans_changed_is_told()
    {
        RecordingPlan plan = New();
        plan.Take(Answer(1));
        Assert.Equal(1, Take());
        time.Now += TimeSpan.FromSeconds(30);
        plan.Take(Answer(0));
        time.Now += TimeSpan.FromSeconds(90);
        Assert.Equal(0.25, Take(), 3);
        time.Now += TimeSpan.FromSeconds(90);
        Assert.Equal(0, Take());

        double Take()
        {
            double mean = plan.MeanRateOf("search");
            plan.RestartMeans();
            return mean;
        }
    }

    public void Dispose() => folder.Dispose();
}
