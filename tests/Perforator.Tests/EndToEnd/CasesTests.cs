using System.IO.Compression;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.EndToEnd;

/// <summary>Inputs as other tools write them (testdata/inputs): each gives the profile that its folder has.</summary>
public sealed class CasesTests(CasesTests.Files files) : IClassFixture<CasesTests.Files>
{
    /// <summary>The cases' files, uncompressed.</summary>
    public sealed class Files : IDisposable
    {
        private readonly TemporaryFolder folder = new();

        public Files()
        {
            string cases = Path.Combine(Tool.RepositoryRoot(), "testdata", "inputs");
            foreach (string path in Directory.EnumerateFiles(cases, "*", SearchOption.AllDirectories))
            {
                string target = folder[Path.GetRelativePath(cases, path)];
                Directory.CreateDirectory(Path.GetDirectoryName(target)!);
                if (!path.EndsWith(".gz", StringComparison.Ordinal))
                {
                    File.Copy(path, target);
                    continue;
                }
                using GZipStream compressed = new(File.OpenRead(path), CompressionMode.Decompress);
                using FileStream plain = File.Create(target[..^3]);
                compressed.CopyTo(plain);
            }
            File.CreateSymbolicLink(this["binary-by-symlink", "clang"], "clang-20");
        }

        public string this[string name, string file] => Path.Combine(folder[name], file);

        public void Dispose() => folder.Dispose();
    }

    [Theory]
    [InlineData("autofdo-text-file-offsets", "expected_bfd.txt", "prog_bfd_nopie", "counts_file_offsets.txt")]
    [InlineData("autofdo-text-file-offsets", "expected_bfd.txt", "prog_bfd_nopie", "counts_vaddr.txt")]
    [InlineData("binary-by-symlink", "expected.txt", "clang", "perf.script")]
    [InlineData("binary-by-symlink", "expected.txt", "clang-20", "perf.script")]
    [InlineData("bolt-preaggregated-T-E-R", "expected_traces.txt", "prog", "legacy_BF.txt")]
    [InlineData("bolt-preaggregated-T-E-R", "expected_traces.txt", "prog", "traces_T.txt")]
    [InlineData("bolt-preaggregated-T-E-R", "expected_traces.txt", "prog", "traces_after_B.txt")]
    [InlineData("bolt-preaggregated-T-E-R", "expected_basic.txt", "prog", "basic_S.txt")]
    [InlineData("bolt-preaggregated-T-E-R", "expected_basic.txt", "prog", "basic_E_S.txt")]
    [InlineData("buildid-prefixed-perfscript", "expected.txt", "prog", "agg.txt")]
    [InlineData("buildid-prefixed-perfscript", "expected.txt", "prog", "agg_bid.txt")]
    [InlineData("itrace-synthesized-stacks", "expected.txt", "prog", "lbr.perf.data")]
    [InlineData("itrace-synthesized-stacks", "expected.txt", "prog", "inject_hwindex.perf.data")]
    [InlineData("itrace-synthesized-stacks", "expected.txt", "prog", "inject_old_bst0.perf.data")]
    [InlineData("linux-kernel-kaslr", "expected.txt", "vmlinux", "kaslr.perf.data")]
    [InlineData("linux-kernel-kaslr", "expected.txt", "vmlinux", "nokaslr.perf.data")]
    [InlineData("linux-kernel-kaslr", "expected.txt", "vmlinux", "kaslr.script")]
    [InlineData("linux-kernel-kaslr", "expected.txt", "vmlinux", "nokaslr.script")]
    [InlineData("perf-6.12-build-ids", "expected.txt", "app-renamed", "good.perf.data")]
    [InlineData("perf-6.12-build-ids", "expected.txt", "app-renamed", "perf612.perf.data")]
    [InlineData("perf-script-pid-column", "expected_alpha.txt", "alpha", "two.perf.data")]
    [InlineData("perf-script-pid-column", "expected_alpha.txt", "alpha", "pid_tid.script")]
    [InlineData("perf-script-pid-column", "expected_alpha.txt", "alpha", "pid.script")]
    [InlineData("perf-script-pid-column", "expected_alpha.txt", "alpha", "callchain.script")]
    [InlineData("perf-script-pid-column", "expected_beta.txt", "beta", "pid.script")]
    [InlineData("perf-script-pid-column", "expected_beta.txt", "beta", "callchain.script")]
    [InlineData("short-build-id", "expected_fast.txt", "prog_fast", "new_fast.perf.data")]
    [InlineData("short-build-id", "expected_fast.txt", "prog_fast", "old_fast.perf.data")]
    [InlineData("short-build-id", "expected_md5.txt", "prog_md5", "new_md5.perf.data")]
    [InlineData("short-build-id", "expected_md5.txt", "prog_md5", "old_md5.perf.data")]
    public void The_profile_is_the_one_expected(string name, string expected, string binary, string input) =>
        Assert.Equal(File.ReadAllText(files[name, expected]), Generate(name, binary, input).Output);

    /// <summary>
    /// File offsets of what lld links, which are no addresses there; and of two blocks, each ended by whose it is, only the binary's.
    /// </summary>
    [Theory]
    [InlineData("prog_lld_nopie", "lld_counts_file_offsets.txt", "TotalBranches: 26196", "are in file offsets")]
    [InlineData("prog_pie", "lld_pie_file_offsets.txt", "TotalBranches: 31470", "are in file offsets")]
    [InlineData("prog_pie", "one_block.txt", "TotalBranches: 31470", "TotalProfiles: 1")]
    [InlineData("prog_pie", "two_blocks.txt", "TotalBranches: 31470", "TotalProfiles: 1")]
    public void Counts_of_AutoFDO_are_file_offsets_of_the_block_s_binary(string binary, string input, string branches, string says)
    {
        ToolResult result = Generate("autofdo-text-file-offsets", binary, input);
        Assert.Contains("work:", result.Output);
        Assert.Contains(branches, result.Error);
        Assert.Contains(says, result.Error);
    }

    [Fact]
    public void When_nothing_matches_it_says_what_was_recorded()
    {
        ToolResult result =
            Tool.Cli("generate", "--binary", files["short-build-id", "prog_md5"], "--perf-data", files["perf-script-pid-column", "two.perf.data"], "--format", "text");
        Assert.Equal(1, result.ExitCode);
        Assert.Matches(
            @"two\.perf\.data has no branches in .*prog_md5; what it recorded is /src/c1/pid/beta \([0-9a-f]+, 80\.1 %\), /src/c1/pid/alpha \([0-9a-f]+, 19\.9 %\): name", result.Error);
        result = Tool.Cli(
            "generate", "--binary", files["perf-script-pid-column", "alpha"], "--perf-script",
            files["autofdo-text-file-offsets", "one_block.txt"], "--format", "text");
        Assert.Equal(1, result.ExitCode);
        Assert.Contains(
            "what it recorded is /data/local/src/app_test_loop (0ff1cba1b39e0a261a0d7d11e05631b642097aef, 100 %)", result.Error);
    }

    /// <summary>A renamed binary in text without build ids, and one without a build id of its own.</summary>
    [Fact]
    public void What_a_recording_has_a_file_as_can_be_said()
    {
        using TemporaryFolder folder = new();
        string renamed = folder["renamed"], bare = folder["bare"], script = files["binary-by-symlink", "perf.script"], expected = File.ReadAllText(files["binary-by-symlink", "expected.txt"]);
        File.Copy(files["binary-by-symlink", "clang-20"], renamed);
        Assert.Contains(
            "/clang-20 (no build id, ", Tool.Cli("generate", "--binary", renamed, "--perf-script", script, "--format", "text").Error);
        Assert.Equal(
            expected, Tool.Cli("generate", "--binary", renamed, "--perf-script", script, "--recorded-as", "clang-20", "--format", "text")
                .Succeeded().Output);

        string data = files["short-build-id", "new_md5.perf.data"];
        Tool.Run("llvm-objcopy-19", ["--remove-section=.note.gnu.build-id", files["short-build-id", "prog_md5"], bare]).Succeeded();
        ToolResult result =
            Tool.Cli("generate", "--binary", bare, "--perf-data", data, "--recorded-as", "prog_md5", "--format", "text").Succeeded();
        Assert.Equal(File.ReadAllText(files["short-build-id", "expected_md5.txt"]), result.Output);
        File.Move(bare, folder["prog_md5"]);
        result = Tool.Cli("generate", "--binary", folder["prog_md5"], "--perf-data", data, "--format", "text");
        Assert.Equal(1, result.ExitCode);
        Assert.Contains(
            "has none, so that it cannot be told whether it is the build that ran: give the file that has it, or say --recorded-as ",
            result.Error);
    }

    private ToolResult Generate(string name, string binary, string input) => Tool.Cli(
        "generate", "--binary", files[name, binary],
        input.EndsWith(".perf.data", StringComparison.Ordinal) ? "--perf-data" : "--perf-script", files[name, input], "--format", "text")
        .Succeeded();
}
