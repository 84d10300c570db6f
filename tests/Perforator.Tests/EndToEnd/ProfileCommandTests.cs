using Perforator.Tests.Infrastructure;
using Perforator.Tests.SampleProfiles;

namespace Perforator.Tests.EndToEnd;

/// <summary>The real <c>perforator profile</c>, side by side with llvm-profdata-19.</summary>
public sealed class ProfileCommandTests
{
    private static readonly string Nested = Profdata.TestData("nested.txt");
    private static readonly string Newer = Profdata.TestData("newer.txt");

    [SkippableFact]
    public void EveryVerbPrintsWhatLlvmPrints()
    {
        Tool.Require(Profdata.Program);
        using TemporaryFolder folder = new();
        Assert.Equal(
            Profdata.Run("show", "--sample", "--detailed-summary", Nested),
            Tool.Cli("profile", "show", "--detailed-summary", Nested).Succeeded().Output);
        Assert.Equal(
            Profdata.Run("show", "--sample", "--function=twin_a", Nested),
            Tool.Cli("profile", "show", "--function", "twin_a", Nested).Succeeded().Output);
        Assert.Equal(Profdata.Run("overlap", "--sample", Nested, Newer), Tool.Cli("profile", "overlap", Nested, Newer).Succeeded().Output);
        Assert.Equal(Profdata.Run("merge", "--sample", "--text", "--weighted-input=3," + Newer, Nested, "-o", "-"),
            Tool.Cli("profile", "merge", Nested, "--weight", "3," + Newer, "--format", "text").Succeeded().Output);

        ToolResult converted = Tool.Cli("profile", "convert", Nested, "--md5", "-o", folder["ours"]).Succeeded();
        Assert.Equal("", converted.Output);
        Assert.Equal(Profdata.Merge(folder, "--extbinary", "--use-md5", Nested), File.ReadAllBytes(folder["ours"]));
        Assert.Equal(
            Profdata.Run("show", "--sample", "--show-sec-info-only", folder["ours"]),
            Tool.Cli("profile", "show", "--sections", folder["ours"]).Succeeded().Output);

        ToolResult trimmed = Tool.Cli("profile", "trim", "--min-samples", "100", "--format", "text", Nested).Succeeded();
        Assert.Equal("perforator: 3 of 5 functions dropped\n", trimmed.Error);
        Assert.StartsWith("main:4850:1\n", trimmed.Output);
    }

    [Fact]
    public void SummaryTellsQuality()
    {
        string summary = Tool.Cli("profile", "show", "--summary", "--topn", "1", Nested).Succeeded().Output;
        Assert.Contains("Total functions: 5\n", summary);
        Assert.Contains("Density: 90.0 samples a line", summary);
        Assert.Contains("Hot functions: 4 of 5, with 99.89 % of all samples", summary);
        Assert.Contains("4850 (77.76%)", summary);
        Assert.DoesNotContain("twin_a", summary);
    }

    [Theory]
    [InlineData("/nonexistent/profile does not exist", "profile", "show", "/nonexistent/profile")]
    [InlineData("not an LLVM sample profile", "profile", "show", "/proc/self/exe")]
    [InlineData("'x,y' is not N,FILE", "profile", "merge", "--weight", "x,y")]
    [InlineData("no profile to merge", "profile", "merge")]
    [InlineData("cannot hold a probe-based", "profile", "convert", "PROBES", "--format", "binary", "-o", "/tmp/never-written")]
    [InlineData("probe-based profile and one that is not", "profile", "merge", "PROBES", "NESTED")]
    [InlineData("has no function nobody", "profile", "show", "NESTED", "--function", "nobody")]
    [InlineData("above 0 and below 100", "profile", "trim", "NESTED", "--cutoff", "100")]
    public void FailuresAreOneClearLine(string expected, params string[] arguments)
    {
        ToolResult result =
            Tool.Cli([.. arguments.Select(
                static a => a switch { "PROBES" => Profdata.TestData("probes.txt"), "NESTED" => Nested, _ => a })]);
        Assert.Equal(1, result.ExitCode);
        Assert.Equal("", result.Output);
        Assert.Contains(expected, result.Error, StringComparison.OrdinalIgnoreCase);
        Assert.Single(result.Error.TrimEnd('\n').Split('\n'));
    }
}
