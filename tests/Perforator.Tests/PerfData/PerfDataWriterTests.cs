using System.Text.RegularExpressions;
using Perforator.Branches;
using Perforator.PerfData;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.PerfData;

/// <summary>What we write, read by the tools people have.</summary>
public sealed partial class PerfDataWriterTests : IClassFixture<WalkedProgram>
{
    private readonly WalkedProgram program;

    public PerfDataWriterTests(WalkedProgram program) => this.program = program;

    [Fact]
    public void What_is_written_is_read_back_the_same()
    {
        SinkLog written = new(), read = new();
        program.Feed(written);
        PerfDataSummary summary = new PerfDataReader(read).ReadFile(program.PerfData);
        Assert.Equal(written.Lines, read.Lines);
        Assert.Equal(0UL, read.Losses.Total);
        Assert.Equal((WalkedProgram.Samples, 1, "testhost", "Test CPU"),
            ((int)summary.BranchSamples, summary.Events, summary.HostName, summary.CpuModel));
    }

    [SkippableFact]
    public void Perf_script_prints_the_same_stacks_and_mappings()
    {
        Tool.Require("perf");
        string script = Tool.Run("perf", ["script", "-i", program.PerfData, "-F", "ip,brstack", "--show-mmap-events"]).Succeeded().Output;
        SinkLog log = new();
        program.Feed(log);
        List<string> expected = [.. log.Lines.Where(line => line.StartsWith("sample ", StringComparison.Ordinal))
            .Select(line =>
                string.Join(' ', line.Split(' ')[3..]).Replace("[Mispredicted]", "/M").Replace("[Predicted]", "/P").Replace('>', '/'))];
        List<string> printed = [.. script.Split('\n').Where(line => BranchLine().IsMatch(line))
            .Select(line => "0x" + Flags().Replace(line.Trim(), "/$1"))
            .Select(line => Blanks().Replace(line, " "))];
        Assert.Equal(WalkedProgram.Samples, printed.Count);
        Assert.Equal(expected, printed);
        Assert.Equal(program.Processes.Length, MappingLines().Count(script));
    }

    [SkippableFact]
    public void Perf_report_follows_the_branch_history()
    {
        Tool.Require("perf");
        ToolResult report =
            Tool.Run("perf", ["report", "-i", program.PerfData, "--branch-history", "--stdio", "--no-children"]).Succeeded();
        Assert.Contains("program", report.Output);
        ToolResult branches =
            Tool.Run("perf", ["report", "-i", program.PerfData, "--stdio", "-F", "overhead,symbol_from,symbol_to"]).Succeeded();
        Assert.Contains("fold", branches.Output);
        Assert.Contains(Path.GetFileName(program.Binary), Tool.Run("perf", ["buildid-list", "-i", program.PerfData]).Succeeded().Output);
    }

    /// <summary>
    /// llvm-profgen's own counts from our file. It looks only at the process it saw last (llvm-project issue 164581), so the file has
    /// one here.
    /// </summary>
    [SkippableFact]
    public void Llvm_profgen_counts_the_same_branches_and_ranges()
    {
        Tool.Require("llvm-profgen-19");
        Tool.Require("perf");
        string output = program.Folder["unsymbolized.txt"];
        Tool.Run("llvm-profgen-19", ["--perfdata="
            + program.OneProcess, "--binary=" + program.Binary, "--skip-symbolization", "--output=" + output]).Succeeded();
        (string[] ranges, string[] branches) = Unsymbolized(File.ReadAllLines(output));

        BranchAggregator aggregator = new(new WalkedProgram.Resolver(program.Module));
        new PerfDataReader(aggregator).ReadFile(program.OneProcess);
        BranchProfile profile = Assert.Single(aggregator.Profiles.Values);
        // Its addresses count from the first page of code.
        const ulong External = 1;
        ulong origin = program.Elf.LoadSegments.First(segment => segment.IsExecutable).Address.Value & ~0xfffUL;
        Assert.Equal(branches, profile.Branches.Sorted().Where(pair => !Outside(pair.Second))
            .GroupBy(pair => (From: Outside(pair.First) ? External : pair.First.Value, To: pair.Second.Value))
            .Select(group => $"{group.Key.From - origin:x}->{group.Key.To - origin:x}:{group.Sum(pair => (long)pair.Count)}")
            .Order(StringComparer.Ordinal));
        Assert.Equal(ranges, profile.Ranges.Sorted().Where(pair => !Outside(pair.First))
            .Select(pair => $"{pair.First.Value - origin:x}-{pair.Second.Value - origin:x}:{pair.Count}").Order(StringComparer.Ordinal));

        // It knows no code without a symbol, such as the procedure linkage table.
        bool Outside(BinaryAddress address) => address.IsExternal || InPlt(address);

        bool InPlt(BinaryAddress address) =>
            program.Elf.Section(".plt") is { } plt && address >= plt.Address && address.Value - plt.Address.Value < plt.Size;
    }

    [SkippableFact]
    public void Perf2bolt_counts_the_same_branches()
    {
        // Debian's perf2bolt-19 is a link that takes itself for llvm-bolt, and writes a binary.
        const string Perf2bolt = "/usr/lib/llvm-19/bin/perf2bolt";
        Skip.IfNot(File.Exists(Perf2bolt), "bolt-19 is not installed; eng/setup installs it");
        Tool.Require("perf");
        string output = program.Folder["bolt.fdata"];
        ToolResult result = Tool.Run(Perf2bolt, ["-p", program.OneProcess, "-o", output, program.Binary]).Succeeded();
        Assert.Matches(@"^1 \S+ [0-9a-f]+ 1 \S+ [0-9a-f]+ \d+ \d+$", File.ReadLines(output).First());
        Match read = BoltRead().Match(result.Output + result.Error);
        Assert.True(read.Success, result.Output + result.Error);
        Assert.Equal(
            (WalkedProgram.Samples, WalkedProgram.Samples * 32), (int.Parse(read.Groups[1].Value), int.Parse(read.Groups[2].Value)));
        Assert.DoesNotContain("WARNING: build-id", result.Output + result.Error);
    }

    [Fact]
    public void Stacks_longer_than_a_record_are_cut_and_counted()
    {
        using MemoryStream file = new();
        using PerfDataWriter writer = new(file);
        BranchEntry[] stack = new BranchEntry[PerfDataWriter.MaxBranches + 10];
        Array.Fill(stack, new BranchEntry(new(0x20), new(0x10)));
        writer.OnSample(new BranchSample { ProcessId = 7, ThreadId = 7, Stack = stack });
        writer.OnSample(new BranchSample { ProcessId = 7, ThreadId = 7, Stack = [] });
        writer.Complete();
        Assert.Equal(10UL, writer.Losses[PerfDataWriter.StackTooLong]);
        Assert.Equal(1UL, writer.Losses[PerfRecordReader.EmptyBranchStack]);
        file.Position = 0;
        SinkLog log = new();
        Assert.Equal(1UL, new PerfDataReader(log).Read(file).BranchSamples);
        Assert.Equal(PerfDataWriter.MaxBranches, Assert.Single(log.Lines).Count(c => c == '>'));
    }

    /// <summary>llvm-profgen's unsymbolized profile: a count of ranges, the ranges, a count of branches, the branches.</summary>
    internal static (string[] Ranges, string[] Branches) Unsymbolized(string[] lines)
    {
        int ranges = int.Parse(lines[0].Trim());
        string[] all = [.. lines.Select(line => line.Trim())];
        return ([.. all[1..(1 + ranges)].Order(StringComparer.Ordinal)], [.. all[(2 + ranges)..].Where(line => line.Length > 0)
            .Order(StringComparer.Ordinal)]);
    }

    [GeneratedRegex(@"^\s*[0-9a-f]+\s+0x[0-9a-f]+/0x")]
    private static partial Regex BranchLine();

    [GeneratedRegex(@"/([MP-])/-/-/\d+(//)?(/\S*)?")]
    private static partial Regex Flags();

    [GeneratedRegex(@" +")]
    private static partial Regex Blanks();

    [GeneratedRegex(@"PERF_RECORD_MMAP2 \d+/\d+: \[0x")]
    private static partial Regex MappingLines();

    [GeneratedRegex(@"read (\d+) samples and (\d+) (?:LBR|brstack) entries")]
    private static partial Regex BoltRead();
}
