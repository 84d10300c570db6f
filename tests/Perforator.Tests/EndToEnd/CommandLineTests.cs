using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.EndToEnd;

public class CommandLineTests
{
    [Fact]
    public void Version_is_printed()
    {
        ToolResult result = Tool.Cli("--version").Succeeded();
        Assert.Matches(@"^\d+\.\d+\.\d+\s*$", result.Output);
    }
}
