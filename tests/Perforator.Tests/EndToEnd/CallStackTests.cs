using System.Text.RegularExpressions;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.EndToEnd;

/// <summary><c>record --format perf-script --call-stacks</c>, read by llvm-profgen as hybrid samples.</summary>
public sealed class CallStackTests
{
    [Fact]
    public void Each_branch_stack_has_the_callers_that_the_program_has()
    {
        using TemporaryFolder folder = new();
        string source = Path.Combine(
            Tool.RepositoryRoot(), "testdata", "recording", "callers.c"), binary = folder["callers"], text = folder["callers.txt"];
        Tool.Run("clang-19", ["-O2", "-g", "-fdebug-info-for-profiling", "-fno-omit-frame-pointer", "-mno-omit-leaf-frame-pointer", "-fno-optimize-sibling-calls", source, "-o", binary]).Succeeded();
        string contexts = "";
        // A machine may be busy: until both callers were met often enough, the program runs longer.
        for (int rounds = 200_000; rounds <= 3_200_000; rounds *= 4)
        {
            ToolResult recorded = Tool.Cli(
                "record", "--max-overhead", "100%", "--format", "perf-script", "--call-stacks", "-o", text, "--", binary, $"{rounds}");
            if (!File.Exists(text))
                continue;
            recorded.Succeeded();
            if (Regex.Count(File.ReadAllText(text), "^$", RegexOptions.Multiline) < 500)
                continue;
            Tool.Run("llvm-profgen-19",
                [$"--perfscript={text}", $"--binary={binary}", $"--output={folder["out"]}", "--format=text", "--csspgo-preinliner=0", "--gen-cs-nested-profile=0"]).Succeeded();
            contexts = File.ReadAllText(folder["out"]);
            break;
        }
        double Samples(string caller) =>
            double.Parse(
                Regex.Match(contexts, $@"^\[main:\d+(?:\.\d+)? @ {caller}:0 @ work\]:(\d+)", RegexOptions.Multiline).Groups[1].Value);
        Assert.InRange(Samples("often") / Samples("seldom"), 3, 20);
        // work has no caller but these two, and no sample without a caller.
        Assert.Equal(2, Regex.Count(contexts, @"^\[[^\n]*work\]", RegexOptions.Multiline));

        // What is written is perf's text, which is read as any.
        string profile = folder["profile"];
        Tool.Cli("generate", "--binary", binary, "--perf-script", text, "--format", "text", "-o", profile).Succeeded();
        Assert.Matches(@"(?m)^work:\d+:\d+$", File.ReadAllText(profile));
    }

    [Theory]
    [InlineData("--call-stacks needs --format perf-script", "-o", "x.branches")]
    [InlineData("--call-stacks is the software recorder's", "--format", "perf-script", "--source", "lbr", "-o", "x.txt")]
    [InlineData("--format perf-script needs a file", "--format", "perf-script")]
    public void Callers_are_asked_for_where_they_can_be_had(string message, params string[] arguments)
    {
        ToolResult result = Tool.Cli(["record", "--call-stacks", .. arguments, "--", "true"]);
        Assert.Equal(2, result.ExitCode);
        Assert.Contains(message, result.Error, StringComparison.Ordinal);
    }
}
