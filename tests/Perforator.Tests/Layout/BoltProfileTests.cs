using Perforator.Branches;
using Perforator.Elf;
using Perforator.Layout;
using Perforator.Layout.Bolt;
using Perforator.Tests.Infrastructure;
using Perforator.Tests.PerfData;

namespace Perforator.Tests.Layout;

/// <summary><c>--for bolt</c>: what BOLT makes of it, next to what perf2bolt makes of the same recording.</summary>
public sealed class BoltProfileTests : IClassFixture<LayoutProgram>, IClassFixture<WalkedProgram>
{
    private readonly LayoutProgram program;
    private readonly WalkedProgram walked;

    public BoltProfileTests(LayoutProgram program, WalkedProgram walked)
    {
        this.program = program;
        this.walked = walked;
    }

    /// <summary>A BOLT tool by its own name: what Debian links to it as perf2bolt-19 takes itself for llvm-bolt.</summary>
    private static string Bolt(int version, string tool)
    {
        string path = $"/usr/lib/llvm-{version}/bin/{tool}";
        Skip.IfNot(File.Exists(path), $"{path} is not there; eng/setup bolt-{version} installs it");
        return path;
    }

    private static string[] SortedLines(string file) => [.. File.ReadAllLines(file).Order(StringComparer.Ordinal)];

    private string Generate(string binary, string perfData, string name)
    {
        string output = program.Folder[name];
        Tool.Cli("generate", "--binary", binary, "--perf-data", perfData, "--for", "bolt", "-o", output).Succeeded();
        return output;
    }

    /// <summary>Stacks with mispredictions of a C program, and a recording of a C++ program with exceptions.</summary>
    [SkippableTheory]
    [InlineData(19, false)]
    [InlineData(19, true)]
    [InlineData(22, false)]
    [InlineData(22, true)]
    public void Perf2bolt_makes_the_same_of_it_as_of_the_recording(int version, bool recorded)
    {
        string perf2bolt = Bolt(version, "perf2bolt");
        Tool.Require("perf");
        (string binary, string perfData) = recorded ? (program.Binary, program.Recording) : (walked.Binary, walked.OneProcess);
        string profile = Generate(binary, perfData, $"same-{version}-{recorded}.pa"), ours = profile
            + ".fdata", theirs = profile + ".theirs";
        Tool.Run(perf2bolt, ["-pa", "-p", profile, "-o", ours, binary]).Succeeded();
        Tool.Run(perf2bolt, ["-p", perfData, "-o", theirs, binary]).Succeeded();
        Assert.Equal(SortedLines(theirs), SortedLines(ours));
        Assert.True(SortedLines(ours).Length > 30, $"{SortedLines(ours).Length} lines");
        Assert.Equal(!recorded, SortedLines(ours).Any(line => line.Split(' ') is [.., var missed, _] && missed != "0"));
    }

    [SkippableFact]
    public void A_program_laid_out_by_it_takes_fewer_branches_and_may_be_profiled_again()
    {
        string bolt = Bolt(19, "llvm-bolt"), perf2bolt = Bolt(19, "perf2bolt");
        Tool.Require("valgrind");
        string profile = Generate(
            program.Binary, program.Recording, "first.pa"), first = program.Folder["bolted"], second = program.Folder["bolted-again"];
        string[] options = ["-reorder-blocks=ext-tsp", "-reorder-functions=hfsort", "-split-functions", "-enable-bat"];
        Tool.Run(bolt, [program.Binary, "-pa", "-p", profile, "-o", first, .. options]).Succeeded();
        Assert.Equal(LayoutProgram.Output(program.Binary), LayoutProgram.Output(first));
        (long taken, long all) = LayoutProgram.ConditionalBranches(first);
        (long takenBefore, long allBefore) = LayoutProgram.ConditionalBranches(program.Binary);
        Assert.True(taken * 1.2 < takenBefore
            && all < allBefore * 1.1, $"{taken} of {all} conditional branches are taken, before it {takenBefore} of {allBefore}");

        // Of the binary that BOLT wrote, translated by its own table of addresses.
        string again = Generate(first, program.Record(first), "again.pa"), translated = again + ".fdata";
        string report = Tool.Run(perf2bolt, ["-pa", "-p", again, "-o", translated, first]).Succeeded().Output;
        Assert.Contains("traces mismatching disassembled function contents: 0 ", report);
        Assert.Contains("boltedcollection", SortedLines(translated));
        Assert.Contains(SortedLines(translated), line => line.Contains("_ZL10unexpectedi", StringComparison.Ordinal));
        Tool.Run(bolt, [program.Binary, "-data", translated, "-o", second, .. options]).Succeeded();
        Assert.Equal(LayoutProgram.Output(program.Binary), LayoutProgram.Output(second));
        Assert.True(LayoutProgram.ConditionalBranches(second).Taken * 1.2 < takenBefore);
    }

    /// <summary>
    /// The next release is laid out by the last one's counts: functions whose code changed are matched by what their blocks look like.
    /// </summary>
    [SkippableTheory]
    [InlineData(19)]
    [InlineData(22)]
    public void Another_build_is_laid_out_by_matching_its_functions(int version)
    {
        string bolt = Bolt(version, "llvm-bolt"), perf2bolt = Bolt(version, "perf2bolt");
        Tool.Require("valgrind");
        string profile = Generate(program.Binary, program.Recording, $"stale-{version}.pa"), yaml = profile + ".yaml";
        Tool.Run(perf2bolt, ["-pa", "-p", profile, "-w", yaml, "-o", profile + ".fdata", program.Binary]).Succeeded();
        string changed = program.Folder.Write("changed.cpp", LayoutProgram.Source
            .Replace("int s = 0;\n", "int s = 0; if (x < 0) { s = sink / x; puts(\"negative\"); }\n", StringComparison.Ordinal)
            .Replace("static volatile int sink;", "static volatile int sink; __attribute__((noinline, used)) int added(int x) { return sink % x; }",
                StringComparison.Ordinal));
        string newer = program.Folder[$"newer-{version}"], laidOut = newer + ".bolt";
        LayoutProgram.CompileFrom(changed, newer);
        string report = Tool.Run(bolt,
            [
                newer, "-data", yaml, "-infer-stale-profile", "-o", laidOut, "-reorder-blocks=ext-tsp", "-reorder-functions=hfsort",
                "-split-functions",
            ]).Succeeded().Output;
        Assert.Contains("BOLT-INFO: inferred profile for ", report);
        Assert.Equal(LayoutProgram.Output(newer), LayoutProgram.Output(laidOut));
        (long taken, _) = LayoutProgram.ConditionalBranches(laidOut);
        (long takenBefore, _) = LayoutProgram.ConditionalBranches(newer);
        Assert.True(taken * 1.2 < takenBefore, $"{taken} conditional branches are taken, before it {takenBefore}");
    }

    [Fact]
    public void Ranges_without_their_branch_are_split_by_the_branches_to_where_they_begin()
    {
        CodeFunctions functions = CodeFunctions.Of(walked.Elf);
        ElfSymbol fold = Symbol("fold"), main = Symbol("main");
        (BinaryAddress begin, BinaryAddress end) = (fold.Address, new(fold.Address.Value + 4));
        BranchProfile profile = new(walked.Elf.BuildId, walked.Binary);
        profile.AddBranch(end, begin, 30);
        profile.AddBranch(main.Address, begin, 10);
        profile.AddRange(begin, end, 20);
        profile.AddTrace(main.Address, begin, end, 2);
        profile.AddRange(begin, main.Address, 7);
        BoltProfile bolt = BoltProfile.Of(profile, functions);
        using MemoryStream text = new();
        bolt.Write(text);
        string lines = System.Text.Encoding.UTF8.GetString(text.ToArray());
        // 30 of 42 arrivals are from inside: 14 of 20.
        Assert.Contains($"F {begin.Value:x} {end.Value:x} 14\nf {begin.Value:x} {end.Value:x} 8\n", lines);
        Assert.Equal((2, 29UL, 27UL, 7UL), (bolt.Functions, bolt.Ranges, bolt.UnpairedRanges, bolt.RangesLeftOut));

        ElfSymbol Symbol(string name)
        {
            foreach (ElfSymbol symbol in walked.Elf.Symbols.Symbols)
                if (walked.Elf.Symbols.Name(symbol) == name)
                    return symbol;
            throw new InvalidOperationException(name);
        }
    }

    [Theory]
    [InlineData("-Wl,--gc-sections", "link with -Wl,--emit-relocs")]
    [InlineData("-s", "link with -Wl,--emit-relocs")]
    public void A_binary_that_BOLT_cannot_move_functions_of_is_refused(string flag, string expected)
    {
        string source = program.Folder.Write("small.c", "int main(void) { return 0; }"), binary = program.Folder["small"];
        Tool.Run("clang-19", ["-O1", "-Wl,--build-id", flag, source, "-o", binary]).Succeeded();
        ToolResult result =
            Tool.Cli("generate", "--binary", binary, "--perf-data", program.Recording, "--for", "bolt", "-o", program.Folder["none.pa"]);
        Assert.Equal(1, result.ExitCode);
        Assert.Contains(expected, Assert.Single(result.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries)));
        Assert.False(File.Exists(program.Folder["none.pa"]));
    }

    [SkippableFact]
    public void A_binary_written_by_BOLT_without_its_table_is_refused()
    {
        string bolt = Bolt(19, "llvm-bolt"), binary = program.Folder["no-table"];
        Tool.Run(bolt, [program.Binary, "-o", binary]).Succeeded();
        ToolResult result = Tool.Cli("generate", "--binary", binary, "--perf-data", program.Recording, "--for", "bolt");
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("--enable-bat", result.Error);
    }

    [Theory]
    [InlineData("--format", "text")]
    [InlineData("--symbol-list")]
    public void Options_of_sample_profiles_are_refused(params string[] option) => Assert.Contains(
        $"{option[0]} is for sample profiles",
        Tool.Cli(["generate", "--binary", program.Binary, "--perf-data", program.Recording, "--for", "bolt", .. option]).Error);
}
