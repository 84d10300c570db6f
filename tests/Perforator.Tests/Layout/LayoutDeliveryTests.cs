using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Layout;

/// <summary><c>pgo --for bolt</c> and <c>--for propeller</c>: the server's data of one build, laid out with the binary at hand.</summary>
public sealed class LayoutDeliveryTests : IClassFixture<LayoutProgram>
{
    private readonly LayoutProgram program;

    public LayoutDeliveryTests(LayoutProgram program) => this.program = program;

    [Fact]
    public void A_layout_from_the_server_is_the_one_from_the_file()
    {
        using ServerProcess server = ServerProcess.Start(program.Folder["data"]);
        Tool.Cli("import", program.Recording, "--service", "shapes", "--binary", program.Binary, "--server", server.Address.ToString())
            .Succeeded();
        foreach ((string consumer, string[] suffixes) in new[] { ("bolt", (string[])[""]), ("propeller", [".cc_profile", ".ld_profile"]) })
        {
            string here = program.Folder[consumer + "-here"], served = program.Folder[consumer + "-served"];
            Tool.Cli("generate", "--binary", program.Binary, "--perf-data", program.Recording, "--for", consumer, "-o", here).Succeeded();
            ToolResult result = Pgo("--for", consumer, "-o", served).Succeeded();
            Assert.Equal(suffixes.Select(suffix => served + suffix), result.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries));
            foreach (string suffix in suffixes)
                Assert.Equal(File.ReadAllText(here + suffix), File.ReadAllText(served + suffix));
            Assert.Contains("TotalProfiles: 1\n", result.Error);
        }

        string other = program.Compile("other-build", "-O1");
        ToolResult unknown =
            Tool.Cli("pgo", "shapes", "--for", "bolt", "--binary", other, "-o", program.Folder["none"], "--server", server.Address.ToString());
        Assert.Equal(1, unknown.ExitCode);
        Assert.False(File.Exists(program.Folder["none"]));

        ToolResult Pgo(params string[] arguments) =>
            Tool.Cli(["pgo", "shapes", "--binary", program.Binary, "--server", server.Address.ToString(), .. arguments]);
    }

    [Theory]
    [InlineData("name the binary to lay out with --binary", "-o", "x")]
    [InlineData("Give -o FILE", "--binary", "x")]
    [InlineData("--at is for sample profiles", "--binary", "x", "-o", "y", "--at", "0123456789")]
    [InlineData("--min-ratio is for sample profiles", "--binary", "x", "-o", "y", "--min-ratio", "1")]
    public void What_a_layout_cannot_go_by_is_refused(string expected, params string[] arguments)
    {
        ToolResult result = Tool.Cli(["pgo", "shapes", "--for", "propeller", .. arguments]);
        Assert.Equal(2, result.ExitCode);
        Assert.Contains(expected, result.Error);
    }

    [Theory]
    [InlineData("-Wl,--emit-relocs", "bolt", "--ldflags")]
    [InlineData("", "bolt")]
    [InlineData("-fbasic-block-address-map", "propeller")]
    [InlineData("-fbasic-block-address-map -fbasic-block-sections=list=app.cc_profile", "propeller", "--profile", "app")]
    [InlineData("-fuse-ld=lld -Wl,--symbol-ordering-file=app.ld_profile -Wl,--no-warn-symbol-ordering", "propeller", "--profile", "app", "--ldflags")]
    [InlineData(
        "-fuse-ld=lld -Wl,--lto-basic-block-address-map -Wl,--lto-basic-block-sections=app.cc_profile -Wl,--symbol-ordering-file=app.ld_profile -Wl,--no-warn-symbol-ordering",
        "propeller", "--profile", "app", "--ldflags", "--lto")]
    public void Flags_are_those_of_each_build_step(string expected, params string[] arguments) =>
        Assert.Equal(expected + "\n", Tool.Cli(["flags", "--for", .. arguments]).Succeeded().Output);
}
