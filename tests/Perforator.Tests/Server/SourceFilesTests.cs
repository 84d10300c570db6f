using Perforator.Generation;
using Perforator.Server;
using Perforator.Server.Results;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Server;

/// <summary>What a page may show of source: paths come from uploads, and only what lies below one folder is read.</summary>
public sealed class SourceFilesTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    private SourceFiles Of(string? url = null) =>
        new(new ServerSettings(folder["data"], ServerSettings.DefaultAddress) { SourceRoot = folder["src"], SourceUrl = url });

    public SourceFilesTests()
    {
        Directory.CreateDirectory(folder["src/lib"]);
        File.WriteAllText(folder["src/lib/a.c"], "one\ntwo\n" + new string('x', 1000) + "\n");
        File.WriteAllText(folder["secret"], "secret\n");
        Directory.CreateDirectory(folder["src-other"]);
        File.WriteAllText(folder["src-other/b.c"], "other\n");
        File.CreateSymbolicLink(folder["src/link.c"], folder["secret"]);
        File.CreateSymbolicLink(folder["src/within.c"], folder["src/lib/a.c"]);
        File.CreateSymbolicLink(folder["src/up"], folder.Path);
        File.WriteAllBytes(folder["src/huge.c"], new byte[(8 << 20) + 1]);
    }

    [Theory]
    [InlineData("/build/app/lib/a.c")]
    [InlineData("/lib/a.c")]
    [InlineData("a.c", false)]
    [InlineData("lib/a.c")]
    [InlineData("/build/app/tools/../lib/./a.c")]
    [InlineData("/elsewhere/within.c")]
    public void A_file_is_found_by_the_longest_end_of_its_path(string path, bool isThere = true)
    {
        IReadOnlyDictionary<uint, string> lines = Of().Read(path, [2, 3, 99]);
        if (!isThere)
        {
            Assert.Empty(lines);
            return;
        }
        Assert.Equal([2u, 3u], lines.Keys.Order());
        Assert.Equal("two", lines[2]);
        Assert.Equal(401, lines[3].Length);
    }

    [Theory]
    [InlineData("/x/../../secret")]
    [InlineData("../secret")]
    [InlineData("../src-other/b.c")]
    [InlineData("link.c")]
    [InlineData("up/secret")]
    [InlineData("/up/src-other/b.c")]
    [InlineData("/etc/passwd")]
    [InlineData("lib")]
    [InlineData("huge.c")]
    [InlineData("")]
    [InlineData("a\0b")]
    public void Nothing_outside_the_folder_is_ever_read(string path) => Assert.Empty(Of().Read(path, [1]));

    [Fact]
    public void Without_a_folder_no_file_is_read() =>
        Assert.Empty(new SourceFiles(new ServerSettings(folder["data"], ServerSettings.DefaultAddress)).Read(folder["src/lib/a.c"], [1]));

    [Theory]
    [InlineData("https://git.example/{service}/{build}/{path}#L{line}", "/build/app/a b.c", "https://git.example/api/aa01/build/app/a%20b.c#L7")]
    [InlineData("https://git.example/{path:/build/app/}#L{line}", "/build/app/x/../src/a.c", "https://git.example/src/a.c#L7")]
    [InlineData("https://git.example/{path:/build/app/}", "/usr/include/a.h", null)]
    [InlineData("https://git.example/{path}", "/a/javascript:\"><b>.c", "https://git.example/a/javascript%3A%22%3E%3Cb%3E.c")]
    public void An_address_is_made_of_the_template(string template, string file, string? expected)
    {
        Assert.Null(SourceFiles.FaultOf(template));
        Assert.Equal(expected, Of(template).UrlOf(new SourcePlace(file, 7), "api", "aa01"));
    }

    [Theory]
    [InlineData("javascript:{path}")]
    [InlineData("https://git.example/")]
    [InlineData("https://git.example/{path}/{branch}")]
    [InlineData("git.example/{path}")]
    public void A_template_that_makes_no_address_is_told(string template) =>
        Assert.Contains("--source-url", SourceFiles.FaultOf(template), StringComparison.Ordinal);

    public void Dispose() => folder.Dispose();
}
