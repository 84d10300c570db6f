using System.Globalization;
using System.Text.Json;
using Perforator.Branches;
using Perforator.SampleProfiles;
using Perforator.Symbolize;
using Perforator.Tests.Generation;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.EndToEnd;

/// <summary>The verb <c>generate</c>: the real CLI on real files, good and bad.</summary>
public sealed class GenerateTests : IClassFixture<GenerateTests.Recording>, IDisposable
{
    private readonly Recording recording;
    private readonly TemporaryFolder folder = new();

    public GenerateTests(Recording recording) => this.recording = recording;

    /// <summary>A program with branch stacks of it.</summary>
    public sealed class Recording : IDisposable
    {
        public Recording()
        {
            Binary = Programs.CompileCpp("program", "-fdebug-info-for-profiling", "-fuse-ld=lld-19", "-Wl,--build-id");
            Script = PeerComparison.Record(Binary);
        }

        public PeerComparison Programs { get; } = new();

        public string Binary { get; }

        public string Script { get; }

        public void Dispose() => Programs.Dispose();
    }

    public void Dispose() => folder.Dispose();

    /// <summary>The verb must fail with one line that holds the words, and leave no file.</summary>
    private void AssertFails(string[] words, params string[] arguments)
    {
        string output = folder["out.afdo"];
        ToolResult result = Tool.Cli(["generate", .. arguments, "-o", output]);
        Assert.True(result.ExitCode == 1, $"exit code {result.ExitCode}: {result.Error}");
        Assert.Equal("", result.Output);
        string line = Assert.Single(result.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        foreach (string word in words)
            Assert.Contains(word, line);
        Assert.Equal([], Directory.GetFiles(folder.Path, "*.afdo*").Concat(Directory.GetFiles(folder.Path, ".*")));
    }

    [Fact]
    public void Every_format_holds_the_same_profile_and_LLVM_reads_it()
    {
        string peer = PeerComparison.Peer(recording.Binary, recording.Script);
        foreach (string format in new[] { "text", "binary", "extbinary" })
        {
            string output = folder[format];
            ToolResult result =
                Tool.Cli("generate", "--binary", recording.Binary, "--perf-script", recording.Script, "--format", format, "-o", output)
                    .Succeeded();
            Assert.Contains("TakenBranchesToExecutableBytesRatio: ", result.Error);
            Assert.Equal("", result.Output);
            Assert.Equal(Tool.Run("llvm-profdata-19", ["show", "--sample", recording.Script + ".peer"]).Succeeded().Output,
                Tool.Run("llvm-profdata-19", ["show", "--sample", output]).Succeeded().Output);
        }
        Assert.Equal(peer, File.ReadAllText(folder["text"]));
    }

    [Fact]
    public void Clang_takes_the_profile_without_a_warning()
    {
        foreach (string format in new[] { "text", "extbinary" })
        {
            string output = folder[format];
            Tool.Cli("generate", "--binary", recording.Binary, "--perf-script", recording.Script, "--format", format, "-o", output)
                .Succeeded();
            ToolResult compiled = Tool.Run("clang++-19",
                ["-O2", "-g", "-c", "-Wall", $"-fprofile-sample-use={output}", Path.Combine(PeerComparison.Sources, "lib.cpp"), "-o", folder["lib.o"]]).Succeeded();
            Assert.Equal("", compiled.Error);
        }
    }

    [Fact]
    public void Text_goes_to_standard_output_and_the_report_in_JSON_to_standard_error()
    {
        ToolResult result =
            Tool.Cli("generate", "--binary", recording.Binary, "--perf-script", recording.Script, "--perf-script", recording.Script, "--format", "text", "--json").Succeeded();
        using JsonDocument report = JsonDocument.Parse(result.Error);
        Assert.Equal(2, report.RootElement.GetProperty("totalProfiles").GetInt32());
        Assert.True(report.RootElement.GetProperty("totalBranches").GetInt64() > 60_000);
        Assert.True(report.RootElement.GetProperty("functions").GetInt32() > 10);
        Assert.StartsWith("_Z", result.Output[result.Output.IndexOf("_Z", StringComparison.Ordinal)..]);
    }

    [Fact]
    public void A_symbol_list_names_functions_without_samples()
    {
        string output = folder["symbols.afdo"];
        Tool.Cli("generate", "--binary", recording.Binary, "--perf-script", recording.Script, "--symbol-list", "-o", output).Succeeded();
        SampleProfile profile = SampleProfileReader.Load(output);
        Assert.Contains("main", profile.Symbols);
        Assert.True(profile.Symbols.Count > 20);
    }

    [Fact]
    public void The_symbol_list_is_llvm_profgens()
    {
        string peer = folder["peer.afdo"], ours = folder["ours.afdo"];
        Tool.Run("llvm-profgen-19", ["--perfscript", recording.Script, "--binary", recording.Binary, "--format", "extbinary", "--populate-profile-symbol-list", "-o", peer]).Succeeded();
        Tool.Cli("generate", "--binary", recording.Binary, "--perf-script", recording.Script, "--symbol-list", "-o", ours).Succeeded();
        Assert.Equal(File.ReadAllBytes(peer), File.ReadAllBytes(ours));
    }

    [Fact]
    public void Density_and_summary_are_LLVMs()
    {
        string output = folder["ours.afdo"], peer = folder["peer.txt"];
        string density = Tool.Run("llvm-profgen-19",
            ["--perfscript", recording.Script, "--binary", recording.Binary, "--format", "text", "--show-density", "-o", peer])
            .Succeeded().Output;
        using JsonDocument report =
            JsonDocument.Parse(
                Tool.Cli("generate", "--binary", recording.Binary, "--perf-script", recording.Script, "--json", "-o", output)
                    .Succeeded().Error);
        JsonElement fields = report.RootElement;
        Assert.Contains(
            string.Create(
                CultureInfo.InvariantCulture, $"Functions with density >= {fields.GetProperty("density").GetDouble():F1} account"),
                density);
        string summary = Tool.Run("llvm-profdata-19", ["show", "--sample", "--detailed-summary", peer]).Succeeded().Output;
        foreach ((string field, string label) in new[] { ("totalCount", "Total count"), ("maxCount", "Maximum block count"), ("maxFunctionCount", "Maximum function count"), ("counts", "Total number of blocks"), ("functions", "Total functions") })
            Assert.Contains($"{label}: {fields.GetProperty("summary").GetProperty(field).GetUInt64()}\n", summary);
        foreach (JsonElement cutoff in fields.GetProperty("summary").GetProperty("cutoffs").EnumerateArray())
            Assert.Contains(
                $"{cutoff.GetProperty("counts").GetUInt64()} blocks with count >= {cutoff.GetProperty("minCount").GetUInt64()} account",
                summary);
        string hot = Tool.Run("llvm-profdata-19", ["show", "--sample", "--hot-func-list", peer]).Succeeded().Output;
        Assert.Contains(
            $"{fields.GetProperty("hotFunctions").GetInt32()} out of {fields.GetProperty("functions").GetInt32()} functions", hot);
        Assert.Contains(
            string.Create(
                CultureInfo.InvariantCulture,
                $"({100 * fields.GetProperty("hotFunctionCoverage").GetDouble():F2}%) are from hot functions"), hot);
    }

    [Fact]
    public void A_wrong_option_is_a_usage_error()
    {
        ToolResult result =
            Tool.Cli("generate", "--binary", recording.Binary, "--perf-script", recording.Script, "--format", "wrong", "-o", folder["x"]);
        Assert.Equal(2, result.ExitCode);
        Assert.DoesNotContain("Unhandled", result.Error);
        Assert.Contains("wrong", result.Error.Split('\n')[0]);
    }

    [Theory]
    [InlineData("/tmp", "/tmp cannot be written: it is a folder")]
    [InlineData("/proc/none/x", "/proc/none/x cannot be written: there is no folder /proc/none")]
    [InlineData("/dev/full", "/dev/full cannot be written: No space left")]
    [InlineData("", "empty")]
    public void Where_nothing_can_be_written_is_said(string output, string words)
    {
        ToolResult result = Tool.Cli("generate", "--binary", recording.Binary, "--perf-script", recording.Script, "-o", output);
        Assert.Equal(1, result.ExitCode);
        Assert.Contains(words, Assert.Single(result.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries)));
    }

    [Fact]
    public void Several_processes_of_one_binary_at_different_addresses_add_up()
    {
        string two = folder["two.txt"];
        string text = File.ReadAllText(recording.Script);
        File.WriteAllText(
            two, text + text.Replace("0x5555555", "0x5666666", StringComparison.Ordinal)
                .Replace(" 5555555", " 5666666", StringComparison.Ordinal));
        string both = Tool.Cli("generate", "--binary", recording.Binary, "--perf-script", two, "--format", "text").Succeeded().Output;
        string twice =
            Tool.Cli("generate", "--binary", recording.Binary, "--perf-script", recording.Script, "--perf-script", recording.Script, "--format", "text").Succeeded().Output;
        Assert.Equal(twice, both);
    }

    [Fact]
    public void Own_files_and_perf_script_give_the_same_profile()
    {
        string branches = folder["own.branches"];
        SaveBranches(branches);
        string fromText =
            Tool.Cli("generate", "--binary", recording.Binary, "--perf-script", recording.Script, "--format", "text").Succeeded().Output;
        Assert.Equal(
            fromText, Tool.Cli("generate", "--binary", recording.Binary, "--branches", branches, "--format", "text").Succeeded().Output);
    }

    [Fact]
    public void Missing_files_are_named()
    {
        AssertFails(["/no/such/binary"], "--binary", "/no/such/binary", "--perf-script", recording.Script);
        AssertFails(["/no/such/script"], "--binary", recording.Binary, "--perf-script", "/no/such/script");
        AssertFails(["/no/such/branches"], "--binary", recording.Binary, "--branches", "/no/such/branches");
    }

    public static TheoryData<string, string, string> NoFiles()
    {
        TheoryData<string, string, string> cases = [];
        foreach (string option in new[] { "--perf-script", "--perf-data", "--branches", "--pprof" })
        {
            cases.Add(option, "/tmp", "folder");
            cases.Add(option, "", "empty");
            cases.Add(option, "/no/such/file", "does not exist");
            cases.Add(option, "/dev/null", "/dev/null");
        }
        cases.Add("--perf-script", "/dev/zero", "not text");
        cases.Add("--perf-data", "/dev/zero", "not a perf.data file");
        cases.Add("--branches", "/dev/zero", "did not end");
        return cases;
    }

    [Theory]
    [MemberData(nameof(NoFiles))]
    public void What_is_no_file_of_samples_is_said_to_be_none(string option, string path, string word) =>
        AssertFails([word], "--binary", recording.Binary, option, path);

    [Theory]
    [InlineData("/tmp", "folder")]
    [InlineData("/dev/null", "not an ELF file")]
    [InlineData("/dev/zero", "not an ELF file")]
    [InlineData("", "empty")]
    public void What_is_no_binary_is_said_to_be_none(string path, string word)
    {
        AssertFails([word], "--binary", path, "--perf-script", recording.Script);
        // A folder may hold the debug file.
        if (word != "folder")
            AssertFails([word], "--binary", recording.Binary, "--debug-file", path, "--perf-script", recording.Script);
    }

    [Fact]
    public void Samples_come_through_a_pipe_too()
    {
        string direct =
            Tool.Cli("generate", "--binary", recording.Binary, "--perf-script", recording.Script, "--format", "text").Succeeded().Output;
        ToolResult piped =
            Tool.Run(Tool.Perforator, ["generate", "--binary", recording.Binary, "--perf-script", "/dev/stdin", "--format", "text"], File.ReadAllText(recording.Script));
        Assert.Equal(direct, piped.Succeeded().Output);
    }

    [Theory]
    [InlineData("i386-linux-gnu", "32-bit")]
    [InlineData("aarch64_be-linux-gnu", "big-endian")]
    [InlineData("riscv64-linux-gnu", "machine 243")]
    public void Binaries_of_other_kinds_of_machine_are_refused(string target, string word)
    {
        string binary = folder["machine"];
        Tool.Run("clang-19", [$"--target={target}", "-c", "-g", folder.Write("empty.c", "void f(void) {}"), "-o", binary]).Succeeded();
        AssertFails([binary, word], "--binary", binary, "--perf-script", recording.Script);
    }

    [Fact]
    public void A_binary_without_code_is_said_to_have_none()
    {
        string library = folder["data.so"];
        Tool.Run("clang-19", ["-shared", "-nostdlib", "-g", folder.Write("data.c", "int data = 3;"), "-o", library]).Succeeded();
        AssertFails([library, "no code"], "--binary", library, "--perf-script", recording.Script);
    }

    [Fact]
    public void What_is_no_ELF_file_is_said_to_be_none() =>
        AssertFails(["text.txt", "not"], "--binary", folder.Write("text.txt", "no binary"), "--perf-script", recording.Script);

    [Fact]
    public void Without_debug_info_it_says_how_to_get_it()
    {
        string stripped = folder["stripped"];
        Tool.Run("llvm-strip-19", ["-g", recording.Binary, "-o", stripped]).Succeeded();
        AssertFails([stripped, "no debug info", "-g"], "--binary", stripped, "--perf-script", recording.Script);
    }

    [Fact]
    public void Branches_of_another_build_are_refused()
    {
        string branches = folder["own.branches"];
        SaveBranches(branches);
        string other = recording.Programs.CompileCpp("other", "-O1");
        AssertFails([branches, other, "build id"], "--binary", other, "--branches", branches);
    }

    /// <summary>perf script text names no build: that its branches do not fit the code is the sign.</summary>
    [Theory]
    [InlineData("-fuse-ld=lld-19")]
    [InlineData("-fuse-ld=bfd")]
    public void Text_of_another_build_is_refused(string linker)
    {
        Directory.CreateDirectory(recording.Programs["older"]);
        string older = recording.Programs.CompileCpp("older/program", "-O1", linker, "-Wl,--build-id");
        AssertFails([older, "not the build", "name the binary that ran"], "--binary", older, "--perf-script", recording.Script);
    }

    [Fact]
    public void A_mapping_of_another_build_is_refused()
    {
        string script = folder.Write("other.txt",
            " PERF_RECORD_MMAP2 1/1: [0x7f5555555000(0x10000) @ 0x1000 <00112233445566778899aabbccddeeff00112233>]: r-xp /opt/program\n" +
            " 7f5555555010 0x7f5555555020/0x7f5555555010/P/-/-/0\n");
        AssertFails([script, "another build", "00112233"], "--binary", recording.Binary, "--perf-script", script);
    }

    [Fact]
    public void Text_without_branch_stacks_says_how_to_record_them()
    {
        AssertFails(["no branch stacks", "perf record -b"],
            "--binary", recording.Binary, "--perf-script", folder.Write("plain.txt", "          401000 \n\n          401010 \n"));
        AssertFails(["no samples"], "--binary", recording.Binary, "--perf-script", folder.Write("empty.txt", ""));
        AssertFails(["no branches in"], "--binary", recording.Binary, "--perf-script",
            folder.Write("elsewhere.txt", " 7f0000000010 0x7f0000000020/0x7f0000000010/P/-/-/0\n"));
    }

    [Fact]
    public void A_damaged_file_of_ours_is_refused()
    {
        string branches = folder["own.branches"];
        SaveBranches(branches);
        byte[] bytes = File.ReadAllBytes(branches);
        File.WriteAllBytes(branches, bytes[..(bytes.Length / 2)]);
        AssertFails([branches], "--binary", recording.Binary, "--branches", branches);
    }

    [Fact]
    public void Nothing_to_generate_from_is_a_usage_error() => Assert.Equal(2, Tool.Cli("generate", "--binary", recording.Binary).ExitCode);

    private void SaveBranches(string path)
    {
        using Perforator.Generation.ProfiledBinary binary =
            Perforator.Generation.ProfiledBinary.Load(recording.Binary, LocalDebugFiles.Found);
        BranchAggregator aggregator = new(new SingleModuleResolver(binary.ToModule()));
        new Perforator.PerfScript.PerfScriptReader(aggregator).ReadFile(recording.Script);
        BranchProfileSet set = new();
        set.Add(aggregator);
        BranchProfileCodec.Write(path, set);
    }
}
