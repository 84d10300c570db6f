using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.EndToEnd;

public class CommandLineTests
{
    [Fact]
    public void Version_is_printed()
    {
        ToolResult result = Tool.Cli("--version").Succeeded();
        Assert.Matches(@"^\d+\.\d+\.\d+(\+[0-9a-f]{40})?\s*$", result.Output);
        if (Directory.Exists(Path.Combine(Tool.RepositoryRoot(), ".git")) || File.Exists(Path.Combine(Tool.RepositoryRoot(), ".git")))
            Assert.Contains('+', result.Output);
    }

    [Theory]
    [InlineData("no verb 'sevre'", "see 'perforator --help'", "sevre", "--port", "0")]
    [InlineData("a verb is needed", "see 'perforator --help'")]
    [InlineData("no option '--nonsense'", "see 'perforator services --help'", "services", "--nonsense", "one", "two")]
    public void Wrong_usage_is_named_and_exits_with_2(string said, string hint, params string[] arguments)
    {
        ToolResult result = Tool.Cli(arguments);
        Assert.Equal(2, result.ExitCode);
        Assert.Empty(result.Output);
        Assert.Contains(said, result.Error);
        Assert.EndsWith($"{hint}\n", result.Error);
    }
}
