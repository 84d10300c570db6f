using System.Net;
using System.Text.Json;
using Perforator.Tests.Infrastructure;
using Perforator.Tests.Server;

namespace Perforator.Tests.EndToEnd;

/// <summary><c>perforator pgo</c> against a real server.</summary>
public sealed class PgoTests : IClassFixture<LoopProgram>, IDisposable
{
    private readonly LoopProgram program;
    private readonly TemporaryFolder folder = new();
    private readonly ServerProcess server;

    public PgoTests(LoopProgram program)
    {
        this.program = program;
        server = ServerProcess.Start(folder["data"]);
    }

    public void Dispose()
    {
        server.Dispose();
        folder.Dispose();
    }

    private async Task UploadBinaryAsync()
    {
        using HttpResponseMessage response =
            await server.PutBinaryAsync(program.BuildId.ToString(), await File.ReadAllBytesAsync(program.Binary));
        Assert.Equal(HttpStatusCode.Created, response.StatusCode);
    }

    private ToolResult Pgo(params string[] arguments) => Tool.Run(
        Tool.Perforator,
        ["pgo", .. arguments, .. arguments.Contains("--json") ? [] : (string[])["--report"], "--server", server.Address.ToString()],
        environment: new Dictionary<string, string> { ["XDG_CACHE_HOME"] = folder["cache"] });

    private static string OnlyLine(ToolResult result)
    {
        result.Succeeded();
        Assert.EndsWith("\n", result.Output, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', result.Output[..^1]);
        return result.Output[..^1];
    }

    [Fact]
    public async Task The_profile_is_named_by_its_content_and_clang_takes_it()
    {
        await server.UploadAsync(program.Recorded(rounds: 5000));
        await server.UploadAsync(program.Recorded(rounds: 7000, minute: 1));
        await UploadBinaryAsync();

        ToolResult first = Pgo("loop");
        string path = OnlyLine(first);
        Assert.Matches($"^{folder["cache"]}/perforator/loop\\.[0-9a-f]{{32}}\\.afdo$", path);
        program.CompileWith(path);
        double ratio = 12000.0 / program.ExecutableBytes;
        foreach (string field in (string[])[
            "Service: loop", "TotalProfiles: 2", "TotalSamples: 12000", "TotalBranches: 12000", "BogusLbrEntries: 0",
            "BranchCountMapSize: 1", "RangeCountMapSize: 1", "AddressCountMapSize: 0",
            $"TakenBranchesToExecutableBytesRatio: {ratio:0.###}"])
            Assert.Contains(field + "\n", first.Error, StringComparison.Ordinal);

        // Same inputs, same bytes, same path, and the file is not touched again; other inputs, another path.
        DateTime written = File.GetLastWriteTimeUtc(path);
        byte[] bytes = File.ReadAllBytes(path);
        Assert.Equal(path, OnlyLine(Pgo("loop")));
        Assert.Equal(written, File.GetLastWriteTimeUtc(path));
        Directory.Delete(folder["data/blobs/results"], recursive: true);
        Assert.Equal(path, OnlyLine(Pgo("loop")));
        Assert.Equal(bytes, File.ReadAllBytes(path));
        await server.UploadAsync(program.Recorded(rounds: 1, minute: 2));
        Assert.NotEqual(path, OnlyLine(Pgo("loop")));
        Assert.Equal(2, Directory.GetFiles(folder["cache/perforator"], "*.afdo").Length);
    }

    [Fact]
    public async Task A_local_binary_gives_the_same_profile_as_the_servers()
    {
        await server.UploadAsync(program.Recorded(rounds: 5000));
        ToolResult missing = Pgo("loop");
        Assert.Equal((1, ""), (missing.ExitCode, missing.Output));
        Assert.Contains("the server does not have the binary; give it with --binary FILE", missing.Error, StringComparison.Ordinal);

        string here = OnlyLine(Pgo("loop", "--binary", program.Binary));
        await UploadBinaryAsync();
        Assert.Equal(here, OnlyLine(Pgo("loop")));

        string other = program.Compile("other", "-g", "-DNDEBUG", "-fno-omit-frame-pointer");
        ToolResult wrong = Pgo("loop", "--binary", other);
        Assert.Equal(1, wrong.ExitCode);
        Assert.Matches($"^perforator: loop has no profiles of build id [0-9a-f]+ in that time; it has: {program.BuildId}\n$", wrong.Error);
        Tool.Run("llvm-objcopy-19", ["--only-keep-debug", program.Binary, folder["loop.debug"]]).Succeeded();
        Assert.Contains(
            "loop.debug holds no code, only debug info", Pgo("loop", "--binary", folder["loop.debug"]).Error, StringComparison.Ordinal);
        wrong = Pgo("loop", "--binary", other, "--build-id", program.BuildId.ToString());
        Assert.Equal(1, wrong.ExitCode);
        Assert.Matches($"^perforator: .*/other has build id [0-9a-f]+, not {program.BuildId};.*\n$", wrong.Error);
    }

    [Fact]
    public async Task A_symbol_list_comes_with_the_profile_when_asked_for()
    {
        await server.UploadAsync(program.Recorded(rounds: 100));
        await UploadBinaryAsync();

        string without = OnlyLine(Pgo("loop")), with = OnlyLine(Pgo("loop", "--symbol-list"));
        Assert.NotEqual(without, with);
        Assert.Equal(with, OnlyLine(Pgo("loop", "--symbol-list", "--binary", program.Binary)));
        Assert.Equal(without, OnlyLine(Pgo("loop")));
        Assert.DoesNotMatch(@"(?m)^main$", Listed(without));
        Assert.Matches(@"(?m)^main$", Listed(with));
        Assert.Matches(@"(?m)^main$", Listed(OnlyLine(Pgo("loop", "--symbol-list", "--late-inlining"))));
        program.CompileWith(with);

        ToolResult text = Pgo("loop", "--symbol-list", "--format", "text");
        Assert.Equal((2, ""), (text.ExitCode, text.Output));
        Assert.Contains("--symbol-list needs --format extbinary", text.Error, StringComparison.Ordinal);

        static string Listed(string profile) => Tool.Cli("profile", "show", "--symbols", profile).Succeeded().Output;
    }

    [Fact]
    public async Task Time_spans_and_output_formats_are_kept_to()
    {
        await server.UploadAsync(program.Recorded(rounds: 100));
        await server.UploadAsync(program.Recorded(rounds: 10, minute: 60));
        await UploadBinaryAsync();

        string text = OnlyLine(Pgo("loop", "--format", "text", "--since", "2026-03-01T10:30", "-o", folder["out.txt"]));
        Assert.Equal(folder["out.txt"], text);
        Assert.Contains("work:", File.ReadAllText(text), StringComparison.Ordinal);
        Assert.Contains("TotalSamples: 10\n", Pgo("loop", "--since", "2026-03-01T10:30").Succeeded().Error, StringComparison.Ordinal);
        Assert.Contains("TotalSamples: 100\n", Pgo("loop", "--until", "2026-03-01T10:30").Succeeded().Error, StringComparison.Ordinal);
        ToolResult none = Pgo("loop", "--since", "2026-03-02");
        Assert.Equal((1, "perforator: service loop has no profiles in that time\n"), (none.ExitCode, none.Error));
        Assert.Equal(2, Pgo("loop", "--since", "yesterday").ExitCode);

        Directory.CreateDirectory(folder["profiles"]);
        Assert.StartsWith(folder["profiles/loop."], OnlyLine(Pgo("loop", "-o", folder["profiles"])), StringComparison.Ordinal);
        none = Pgo("loop", "-o", folder["none/"]);
        Assert.Equal((1, false), (none.ExitCode, Directory.Exists(folder["none"])));
        Assert.Contains($"cannot be written: there is no folder {folder["none"]}", none.Error, StringComparison.Ordinal);
        JsonElement json = JsonDocument.Parse(Pgo("loop", "--json").Succeeded().Error).RootElement;
        Assert.Equal((110UL, 2UL), (json.GetProperty("totalSamples").GetUInt64(), json.GetProperty("totalProfiles").GetUInt64()));
    }

    [Fact]
    public async Task A_ratio_below_the_gate_ends_with_3_and_no_profile()
    {
        await server.UploadAsync(program.Recorded(rounds: program.ExecutableBytes / 2));
        await UploadBinaryAsync();
        ToolResult refused = Pgo("loop", "--min-ratio", "1.0");
        Assert.Equal((3, ""), (refused.ExitCode, refused.Output));
        Assert.Matches(@"\nperforator: the ratio 0\.\d+ is below --min-ratio 1;", refused.Error);
        Assert.False(Directory.Exists(folder["cache"]));

        await server.UploadAsync(program.Recorded(rounds: program.ExecutableBytes, minute: 1));
        OnlyLine(Pgo("loop", "--min-ratio", "1.0"));
    }

    [Fact]
    public async Task Builds_without_a_binary_are_named_with_what_they_have_and_the_profile_is_of_the_others()
    {
        await server.UploadAsync(program.Recorded(rounds: 100, minute: 3000));
        await server.UploadAsync(Uploads.Set("loop", "aa01", count: 1_000_000));
        await server.UploadAsync(Uploads.Set("loop", "bb02", count: 50, minute: 3000));
        await UploadBinaryAsync();
        ToolResult result = Pgo("loop").Succeeded();
        Assert.Matches($"  build {program.BuildId} [^\n]*, current: 100 branches", result.Error);
        Assert.Matches(
            "  build bb02 [^\n]*, current: 50 branches[^\n]*\n    not in the profile: the server does not have the binary", result.Error);
        Assert.Matches(
            "  build aa01 [^\n]*\\): 1000000 branches[^\n]*\n    not in the profile: the server does not have the binary", result.Error);
        Assert.Equal(1, Pgo("loop", "--build-id", "aa01").ExitCode);
    }

    [Fact]
    public async Task Binaries_that_are_not_what_they_say_are_refused()
    {
        byte[] binary = await File.ReadAllBytesAsync(program.Binary);
        Tool.Run("llvm-objcopy-19", ["--only-keep-debug", program.Binary, folder["loop.debug"]]).Succeeded();
        foreach ((string id, byte[] bytes, string expected) in new[]
        {
            ("aa01", binary, $"has build id {program.BuildId}"),
            (program.BuildId.ToString(), "#!/bin/sh"u8.ToArray(), "is not a binary that can be profiled"),
            (program.BuildId.ToString(), binary[..100], "is not a binary that can be profiled"),
            ("bb02", await File.ReadAllBytesAsync(folder["loop.debug"]), $"has build id {program.BuildId}"),
            ("xyz", binary, "is not a build id"),
        })
        {
            using HttpResponseMessage response = await server.PutBinaryAsync(id, bytes);
            Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
            Assert.Contains(expected, await response.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        }
        Assert.False(Directory.Exists(folder["data/blobs/binaries"]));
        Assert.Empty(Directory.GetFiles(folder["data/blobs/tmp"]));

        await UploadBinaryAsync();
        using HttpResponseMessage again = await server.PutBinaryAsync(program.BuildId.ToString(), binary);
        Assert.Equal(HttpStatusCode.OK, again.StatusCode);
        Assert.Empty((await server.UploadAsync(program.Recorded(rounds: 1))).WantedBinaries);
    }

    [Fact]
    public async Task A_binary_without_debug_info_is_told_how_to_be_built()
    {
        string stripped = program.Compile("stripped", "-s");
        string buildId;
        using (Perforator.Elf.ElfFile elf = Perforator.Elf.ElfFile.Load(stripped))
            buildId = elf.BuildId.ToString();
        await server.UploadAsync(Uploads.Set("loop", buildId));
        using (HttpResponseMessage response = await server.PutBinaryAsync(buildId, await File.ReadAllBytesAsync(stripped)))
            Assert.Equal(HttpStatusCode.Created, response.StatusCode);
        ToolResult result = Pgo("loop");
        Assert.Equal((1, ""), (result.ExitCode, result.Output));
        Assert.Contains("/opt/loop has no debug info: rebuild with -g", result.Error, StringComparison.Ordinal);
    }
}
