using System.Text.Json;
using Perforator.Branches;
using Perforator.Tests.Infrastructure;
using Perforator.Tests.Server;

namespace Perforator.Tests.EndToEnd;

/// <summary>
/// Which profile <c>pgo</c> and <c>flags</c> give: selectors, gates, hashes, names, and what stands in when none can be had.
/// </summary>
public sealed class PgoChoiceTests : IClassFixture<LoopProgram>, IDisposable
{
    private readonly LoopProgram program;
    private readonly TemporaryFolder folder = new();
    private readonly ServerProcess server;

    public PgoChoiceTests(LoopProgram program)
    {
        this.program = program;
        server = ServerProcess.Start(folder["data"]);
        server.PutBinaryAsync(program.BuildId.ToString(), File.ReadAllBytes(program.Binary)).GetAwaiter().GetResult().Dispose();
    }

    public void Dispose()
    {
        server.Dispose();
        folder.Dispose();
    }

    private ToolResult Cli(params string[] arguments) => Tool.Run(Tool.Perforator, arguments, environment: new Dictionary<string, string>
    {
        ["XDG_CACHE_HOME"] = folder["cache"],
        ["PERFORATOR_SERVER"] = server.Address.ToString(),
    });

    private string Path(params string[] arguments) => Cli(["pgo", .. arguments]).Succeeded().Output.TrimEnd('\n');

    private async Task GoodDataAsync(int minute = 0) =>
        await server.UploadAsync(program.Recorded(rounds: program.ExecutableBytes * 2, minute));

    [Fact]
    public async Task A_service_of_several_files_is_one_profile_and_what_is_missing_is_named()
    {
        const string LibraryId = "0102030405060708090a0b0c0d0e0f1011121314";
        string library = program.Compile("libwork.so", "-g", $"-Wl,--build-id=0x{LibraryId}");
        (await server.PutBinaryAsync(LibraryId, await File.ReadAllBytesAsync(library))).Dispose();
        await GoodDataAsync();
        string alone = Path("loop");
        await server.UploadAsync(
            program.Recorded(rounds: program.ExecutableBytes * 3, 1, other: (BuildId.Parse(LibraryId), "/opt/libwork.so")));
        // Most branches are in a file of which the server has nothing: that is every day's, and no reason to give nothing.
        await server.UploadAsync(
            program.Recorded(rounds: program.ExecutableBytes * 10, 2, other: (BuildId.Parse("cc01"), "/lib/libc.so.6")));

        JsonElement report = JsonDocument.Parse(Cli("pgo", "loop", "--json").Succeeded().Error).RootElement;
        Assert.Equal(
            ["libc.so", "libwork.so", "loop"],
            report.GetProperty("files").EnumerateArray().Select(static file => file.GetProperty("name").GetString()));
        Assert.Equal(
            [false, true, true],
            report.GetProperty("files").EnumerateArray().Select(static file => file.GetProperty("isUsed").GetBoolean()));
        Assert.Equal(program.ExecutableBytes * 5, report.GetProperty("totalBranches").GetUInt64());
        Assert.Contains(
            "File: libc.so: 66.67 % of the branches, 0 % of the profile: NOT in it", Cli("pgo", "loop", "--report").Error,
            StringComparison.Ordinal);
        program.CompileWith(Path("loop"));

        Assert.NotEqual(alone, Path("loop"));
        Assert.Equal(alone, Path("loop", "--only", "loop"));
        Assert.Equal(Path("loop", "--build-id", LibraryId), Path("loop", "--build-id", LibraryId[..5]));
        Assert.Contains("at least the first 4", Cli("pgo", "loop", "--build-id", "01").Error, StringComparison.Ordinal);
        ToolResult services = Cli("services", "loop").Succeeded();
        Assert.Contains(
            "warning: /lib/libc.so.6 (cc01), 66.7 % of the branches: the server lacks the binary", services.Error,
            StringComparison.Ordinal);
        Assert.DoesNotContain("libwork", services.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_profile_is_had_again_by_its_hash_and_by_names_that_roll_back()
    {
        await GoodDataAsync();
        string first = Path("loop");
        string firstHash = JsonDocument.Parse(Cli("pgo", "loop", "--json").Succeeded().Error).RootElement.GetProperty("kept").GetString()!;
        await server.UploadAsync(program.Recorded(rounds: 77, minute: 1));
        ToolResult changed = Cli("pgo", "loop", "--report", "--diff");
        string second = changed.Succeeded().Output.TrimEnd('\n');
        Assert.NotEqual(first, second);
        Assert.Contains("verlap", changed.Error, StringComparison.Ordinal);
        string secondHash =
            JsonDocument.Parse(
                Cli("history", "loop", "--json").Succeeded().Output).RootElement.GetProperty("entries")[0].GetProperty("profile")
                .GetString()!;

        Assert.Equal(first, Path("loop", "--at", firstHash[..8]));
        Cli("promote", "loop", firstHash[..16], "--as", "stable").Succeeded();
        Assert.Equal(first, Path("loop", "--name", "stable"));
        Cli("promote", "loop", secondHash, "--as", "stable").Succeeded();
        Assert.Equal(second, Path("loop", "--name", "stable"));
        Assert.Contains($"{secondHash[..16]}", Cli("history", "loop").Succeeded().Output, StringComparison.Ordinal);
        Cli("promote", "loop", "--as", "stable", "--roll-back").Succeeded();
        Assert.Equal(first, Path("loop", "--name", "stable"));
        Cli("promote", "loop", "--as", "stable", "--remove").Succeeded();
        OneLine(1, "has no profile named 'stable'", Cli("pgo", "loop", "--name", "stable"));
        OneLine(1, "has no kept profile", Cli("pgo", "loop", "--at", "00000000"));
        Assert.Equal(2, Cli("pgo", "loop", "--at", firstHash, "--name", "stable").ExitCode);
        Assert.Equal(2, Cli("pgo", "loop", "--at", firstHash, "--since", "7d").ExitCode);

        Assert.Contains(
            "100 % of the samples find their place", Cli("pgo", "loop", "--fit", program.Binary).Succeeded().Error,
            StringComparison.Ordinal);
    }

    [Fact]
    public async Task Selectors_take_profiles_by_label_and_say_what_there_is()
    {
        BranchProfileSet east = program.Recorded(rounds: program.ExecutableBytes * 2), west = program.Recorded(
            rounds: program.ExecutableBytes * 3, minute: 1);
        east.Labels["cluster"] = "eu-1";
        west.Labels["cluster"] = "us-1";
        await server.UploadAsync(east);
        string only = Path("loop");
        await server.UploadAsync(west);
        Assert.NotEqual(only, Path("loop"));
        Assert.Equal(only, Path("loop{cluster=~\"eu-.*\"}"));
        Assert.Equal(only, Path("loop{cluster!=\"us-1\"}", "--half-life", "none"));
        OneLine(1, "its labels are", Cli("pgo", "loop{cluster=\"asia\"}"));
        OneLine(1, "is unknown", Cli("pgo", "lop"));
        Assert.Equal(2, Cli("pgo", "loop{cluster").ExitCode);
        Assert.Equal(2, Cli("pgo", "{cluster=\"eu-1\"}").ExitCode);
    }

    [Fact]
    public async Task Gates_end_with_3_and_a_line_each_and_a_build_may_have_the_last_profile_instead()
    {
        await GoodDataAsync();
        ToolResult good = Cli("pgo", "loop", "--min-ratio", "1", "--min-coverage", "0.5");
        string profile = good.Succeeded().Output;
        Assert.Matches("^loop: [^\n]*; --at [0-9a-f]{16} pins it\n$", good.Error);
        ToolResult refused = Cli("pgo", "loop", "--min-ratio", "9", "--max-age", "1h", "--min-hosts", "2");
        Assert.Equal((3, ""), (refused.ExitCode, refused.Output));
        Assert.Equal(3, refused.Error.Split('\n').Count(static line => line.StartsWith("perforator: ", StringComparison.Ordinal)));
        Assert.Contains("TakenBranchesToExecutableBytesRatio: 2", refused.Error, StringComparison.Ordinal);

        ToolResult last = Cli("pgo", "loop", "--min-ratio", "9", "--or-last");
        Assert.Equal((0, profile), (last.ExitCode, last.Output));
        Assert.Contains("perforator: warning: the ratio 2 is below --min-ratio 9", last.Error, StringComparison.Ordinal);
        server.Kill();
        last = Cli("pgo", "loop", "--or-last");
        Assert.Equal((0, profile), (last.ExitCode, last.Output));
        Assert.Contains("warning: cannot reach the server", last.Error, StringComparison.Ordinal);
        ToolResult never = Cli("pgo", "search", "--or-last");
        Assert.Equal((0, ""), (never.ExitCode, never.Output));
        Assert.Contains("no profile of an earlier time", never.Error, StringComparison.Ordinal);
        OneLine(1, "cannot reach the server", Cli("pgo", "loop"));
    }

    [Theory]
    [InlineData("--min-coverage 1.5")]
    [InlineData("--min-overlap -1")]
    [InlineData("--max-age 0h")]
    [InlineData("--max-age 1d --until 2026-03-01")]
    [InlineData("--since 2026-03-02 --until 2026-03-01")]
    [InlineData("--binary /bin/true --min-hosts 2")]
    [InlineData("--half-life -1")]
    [InlineData("--symbol-list --format text")]
    public void Gates_and_choices_that_contradict_each_other_are_refused(string options)
    {
        ToolResult refused = Cli(["pgo", "loop", .. options.Split(' ')]);
        Assert.Equal((2, ""), (refused.ExitCode, refused.Output));
        Assert.Equal(2, Cli("pgo", "loop{host=\"a\"}", "--min-hosts", "2").ExitCode);
    }

    [Fact]
    public async Task Damage_in_the_store_is_one_line_and_leaves_nothing_half_written()
    {
        await GoodDataAsync();
        byte[] binary = File.ReadAllBytes(program.Binary);
        string[] stored =
            [.. Directory.GetFiles(folder["data"], "*", SearchOption.AllDirectories)
                .Where(file => new FileInfo(file).Length == binary.Length && File.ReadAllBytes(file).AsSpan().SequenceEqual(binary))];
        File.WriteAllBytes(Assert.Single(stored), binary[..(binary.Length / 3)]);
        ToolResult damaged = Cli("pgo", "loop");
        OneLine(1, "loop", damaged);
        Assert.False(Directory.Exists(folder["cache"]));
    }

    [Fact]
    public async Task The_cache_gives_up_what_was_used_longest_ago()
    {
        await GoodDataAsync();
        Directory.CreateDirectory(folder["cache/perforator"]);
        string[] old = [.. Enumerable.Range(0, 4).Select(i => folder[$"cache/perforator/old.{i}.afdo"])];
        for (int i = 0; i < old.Length; i++)
        {
            using (FileStream file = File.Create(old[i]))
                file.SetLength(400L << 20);
            File.SetLastAccessTimeUtc(old[i], DateTime.UtcNow.AddDays(-1 - i));
        }
        string profile = Path("loop");
        Assert.Equal([true, true, false, false], old.Select(File.Exists));
        Assert.True(File.Exists(profile));
    }

    [Fact]
    public async Task Flags_are_those_that_the_compiler_takes_and_it_is_asked_once()
    {
        await GoodDataAsync();
        string flags = Flags("loop", "--compiler", "clang++-19");
        Assert.Matches(
            @"^-fprofile-sample-use=\S+/loop\.[0-9a-f]{32}\.afdo -fsample-profile-use-profi --start-no-unused-arguments -mllvm=-inline-enable-cost-benefit-analysis=true ", flags);
        string profile = flags.Split(' ')[0].Split('=')[1];

        // Makefiles that link with the compile line's flags, and take warnings for errors, go on as before.
        Tool.Run("clang++-19", ["-c", "-o", folder["empty.o"], "-x", "c", "/dev/null"]).Succeeded();
        Tool.Run("clang++-19", ["-Werror", .. flags.Split(' '), "-shared", "-o", folder["empty.so"], folder["empty.o"]]).Succeeded();

        string compiler = folder.Write("older-clang", $"""
            #!/bin/sh
            echo x >> {folder["calls"]}
            case "$*" in *-mllvm=*|*salvage*) echo "error: unknown argument"; exit 1;; esac
            exec clang++-19 "$@"
            """);
        Tool.Run("chmod", ["+x", compiler]).Succeeded();
        string older = Flags("loop", "--compiler", compiler);
        Assert.Contains(" -mllvm -inline-enable-cost-benefit-analysis=true", older, StringComparison.Ordinal);
        Assert.DoesNotContain("salvage", older, StringComparison.Ordinal);
        int calls = File.ReadAllLines(folder["calls"]).Length;
        Assert.Equal(older, Flags("loop", "--compiler", compiler));
        Assert.Equal(calls + 1, File.ReadAllLines(folder["calls"]).Length);

        string link = Flags("--profile", profile, "--compiler", "clang++-19", "--lto", "--ldflags");
        Assert.StartsWith($"-flto=thin -fuse-ld=lld -fprofile-sample-use={profile} -Wl,-mllvm,", link, StringComparison.Ordinal);
        string probes = folder.Write("probes.afdo", "main:100:10\n 1: 10\n !CFGChecksum: 563088904013236\n");
        string withProbes = Flags("--profile", probes, "--compiler", "clang++-19");
        Assert.StartsWith(
            $"-fpseudo-probe-for-profiling -fprofile-sample-use={probes} --start-no-unused-arguments -mllvm=", withProbes,
            StringComparison.Ordinal);
        Assert.DoesNotContain("profi ", withProbes + " ", StringComparison.Ordinal);
        OneLine(1, "pseudo probes, which rustc does not have", Cli("flags", "--profile", probes, "--rustc"));

        OneLine(1, "does not take", Cli("flags", "--profile", profile, "--compiler", "g++"));
        ToolResult none = Cli("flags", "loop", "--compiler", "g++", "--or-last");
        Assert.Equal((0, ""), (none.ExitCode, none.Output));
        OneLine(1, "cannot run no-such-compiler", Cli("flags", "--profile", profile, "--compiler", "no-such-compiler"));
        Assert.Equal(2, Cli("flags").ExitCode);
    }

    private string Flags(params string[] arguments) =>
        Assert.Single(Cli(["flags", .. arguments]).Succeeded().Output.Split('\n', StringSplitOptions.RemoveEmptyEntries));

    private static void OneLine(int exitCode, string contained, ToolResult result)
    {
        Assert.Equal((exitCode, ""), (result.ExitCode, result.Output));
        Assert.Matches("^perforator: [^\n]*\n$", result.Error);
        Assert.Contains(contained, result.Error, StringComparison.Ordinal);
    }
}
