using System.Diagnostics;
using Perforator.Api;

namespace Perforator.Tests.Api;

/// <summary>Selectors read as Prometheus reads them.</summary>
public class ServiceSelectorTests
{
    private static readonly Dictionary<string, string> Labels = new()
    {
        ["service"] = "api",
        ["cluster"] = "eu-1",
        ["cpu"] = "AMD EPYC 9654",
        ["source"] = "lbr",
        ["odd"] = "a\"b\\c",
    };

    [Theory]
    [InlineData("api", true)]
    [InlineData("api{}", true)]
    [InlineData("api{cluster=\"eu-1\"}", true)]
    [InlineData("api{cluster=\"eu\"}", false)]
    [InlineData("{cluster=~\"eu-.*\", cpu=~'.*EPYC.*',}", true)]
    [InlineData("api{cluster=~\"eu\"}", false)]
    [InlineData("api{cluster=~\"eu|eu-1\"}", true)]
    [InlineData("api{cpu!~\"AMD.*\"}", false)]
    [InlineData("api{source!=\"lbr\"}", false)]
    [InlineData("api{zone=\"\"}", true)]
    [InlineData("api{zone!=\"\"}", false)]
    [InlineData("api{zone=~\".+\"}", false)]
    [InlineData("api{cluster=~\"\"}", false)]
    [InlineData("api{odd=\"a\\\"b\\\\c\"}", true)]
    [InlineData("api{odd=`a\"b\\c`}", true)]
    [InlineData("api { cluster = \"eu-1\" , source =~ `l.r` }", true)]
    public void Conditions_hold_of_the_whole_value_and_a_missing_label_is_empty(string text, bool matches) =>
        Assert.Equal(matches, ServiceSelector.Parse(text).Matches(Labels));

    [Theory]
    [InlineData("")]
    [InlineData("{")]
    [InlineData("api{cluster}")]
    [InlineData("api{cluster=eu}")]
    [InlineData("api{cluster=\"eu}")]
    [InlineData("api{cluster=~\"(\"}")]
    [InlineData("api{cluster=\"a\" source=\"b\"}")]
    [InlineData("api{cluster=\"a\"} or b")]
    [InlineData("api{cluster=\"a\\d\"}")]
    [InlineData("api{cluster=~`(?=eu)`}")]
    [InlineData("../etc{}")]
    public void What_is_no_selector_is_told_in_one_sentence(string text)
    {
        UserErrorException error = Assert.Throws<UserErrorException>(() => ServiceSelector.Parse(text));
        Assert.DoesNotContain('\n', error.Message);
    }

    [Fact]
    public void Equal_conditions_have_one_form()
    {
        string canonical = ServiceSelector.Parse("api{source='lbr', cluster=~`eu-\\d`,source=\"lbr\"}").ToString();
        Assert.Equal("api{cluster=~\"eu-\\\\d\",source=\"lbr\"}", canonical);
        Assert.Equal(canonical, ServiceSelector.Parse(canonical).ToString());
        Assert.Null(ServiceSelector.Parse("api{}").Conditions);
    }

    [Fact]
    public void Expressions_meant_to_take_for_ever_do_not()
    {
        Stopwatch watch = Stopwatch.StartNew();
        string value = new('a', 900);
        Assert.False(ServiceSelector.Parse("api{x=~\"(a+)+b\"}").Matches(new Dictionary<string, string> { ["x"] = value }));
        Assert.Throws<UserErrorException>(() => ServiceSelector.Parse("api{x=~\"((a{1,999}){1,999}){1,999}\"}"));
        Assert.Throws<UserErrorException>(() => ServiceSelector.Parse($"api{{x=\"{new string('a', 2000)}\"}}"));
        Assert.Throws<UserErrorException>(() => ServiceSelector.Parse($"api{{{string.Concat(Enumerable.Repeat("a=\"b\",", 600))}}}"));
        // Backtracking would take longer than the universe is old.
        Assert.True(watch.Elapsed < TimeSpan.FromMinutes(1));
    }
}
