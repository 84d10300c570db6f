using System.Text;
using Perforator.Branches;
using Perforator.Elf;
using Perforator.Inputs;
using Perforator.PerfScript;
using Perforator.Tests.PerfData;

namespace Perforator.Tests.PerfScript;

public sealed class PerfScriptFormsTests : IDisposable
{
    private readonly SinkLog log = new();
    private readonly Infrastructure.TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    private void Read(string text) => new PerfScriptReader(log).Read(new MemoryStream(Encoding.UTF8.GetBytes(text)));

    [Fact]
    public void Columns_before_the_branches_tell_the_process()
    {
        Read("""
            server  7/9 [001] 12.345678: PERF_RECORD_MMAP2 7/7: [0x1000(0x1000) @ 0 08:01 1 1]: r-xp /bin/a
            my server  7/9 [001] 12.345678:     100003 cycles:u:      1040 0x1030/0x1010/M/-/-/3  0x1020/0x1000/P/-/-/0
            server  8/8  12.345679: cycles:upp:  0x1048/0x1010/-/-/-/0
            """);
        Assert.Equal(
            [
                "map 7 0x1000-0x2000 +0x0 /bin/a", "map 0 0x1000-0x2000 +0x0 /bin/a",
                "sample 7/0 @0 0x1040 0x1030>0x1010[Mispredicted] 0x1020>0x1000[Predicted]",
                "sample 8/0 @0 0x0 0x1048>0x1010",
            ], log.Lines);
        Assert.Equal(0UL, log.Losses.Total);
    }

    /// <summary>Most programs are linked to the same addresses: the build id alone tells whose one is.</summary>
    [Fact]
    public void Addresses_with_build_ids_of_several_binaries_are_each_its_own()
    {
        LoadSegment code = new(new(0x1000), new(0x1000), 0x1000, 0x1000, IsExecutable: true);
        Module program = new(
            BuildId.Parse("aaaaaaaa11"), "/bin/program", [code]), library = new(BuildId.Parse("bbbbbbbb22"), "/lib/library", [code]);
        string path = folder.Write("ids.script", """
            aaaaaaaa11:0x1030/aaaaaaaa11:0x1010/M/-/-/3  aaaaaaaa11:0x1020/aaaaaaaa11:0x1000/-/-/-/0
            bbbbbbbb22:0x1030/bbbbbbbb22:0x1010/-/-/-/3
            aaaaaaaa11:0x1040/bbbbbbbb22:0x1000/-/-/-/3
            cccccccc33:0x1030/cccccccc33:0x1010/-/-/-/3
            """);
        using FileStream file = File.OpenRead(path);
        BranchProfileSet set = RecordedInput.Read(file, path, new RecordedBinaries([program, library])).Set;
        Assert.Equal((3UL, 2UL), (set.Profiles[program.BuildId].BranchEntries, set.Profiles[library.BuildId].BranchEntries));
        Assert.Equal(
            (2UL, 1UL), (set.Profiles[program.BuildId].Branches.InternalTotal, set.Profiles[library.BuildId].Branches.InternalTotal));
        Assert.Equal(1UL, set.Losses[BranchAggregator.ExternalBranch]);
    }

    [Fact]
    public void Files_behind_addresses_are_passed_over()
    {
        Read("""
            server  7/7  0.000001:  1 cycles:u:  1040 main+0x10 (/bin/a) 0x1030(/bin/a)/0x1010(/bin/a)/M/-/-/3/COND/-  0x1020([unknown])/0x1000(/bin/a)/P/-/-/0
                 1040 0x1030(/bin/a)/0x1010(inlined)/P/-/-/3/IRQ/SPEC_WRONG_PATH
            """);
        Assert.Equal(
            ["sample 7/0 @0 0x0 0x1030>0x1010[Mispredicted] 0x1020>0x1000[Predicted]", "sample 0/0 @0 0x1040 0x1030>0x1010[Predicted, SpeculativeWrongPath, Interrupt]"], log.Lines);
        Assert.Equal(0UL, log.Losses.Total);
    }

    [Fact]
    public void Symbols_beside_addresses_are_passed_over_and_alone_they_are_counted()
    {
        Read("""
            1040 0x1030/0x1010/M/-/-/3  main+0x10/fold+0x0/M/-/-/3
            1040 main+0x10/fold+0x0/M/-/-/3
            main+0x10/fold+0x0/M/-/-/3
            """);
        Assert.Equal(["sample 0/0 @0 0x1040 0x1030>0x1010[Mispredicted]"], log.Lines);
        Assert.Equal(2UL, log.Losses[PerfScriptReader.SymbolicBranches]);
        Assert.Equal(2UL, log.Losses.Total);
    }

    [Fact]
    public void Hybrid_stacks_take_the_leaf_and_an_exec_is_told()
    {
        Read("""
            server 7 PERF_RECORD_COMM exec: server:7/7

                1044
                2010
              0x1030/0x1010/P/-/-/3 0x1020/0x1000/P/-/-/3

            """);
        Assert.Equal(["exec 7", "sample 0/0 @0 0x1044 0x1030>0x1010[Predicted] 0x1020>0x1000[Predicted]"], log.Lines);
        Assert.Equal(0UL, log.Losses.Total);
    }

    [Theory]
    [InlineData("B 1030 1010 5 2\nB X:0 1020 3 0\nF 1010 1030 4\nf 1020 1030 1\nS 1030 7\nB bb:99 1040 1 0\nnonsense here\n")]
    [InlineData("2\n0x1010-0x1030:4\n1020-1030:1\n1\n1030:7\n3\n1030->1010:5\n0->1020:3\n0->1040:1\nnonsense\n")]
    public void Counts_of_bolt_and_autofdo_are_taken_as_they_are(string text)
    {
        Module module = new(BuildId.Parse("aa"), "/bin/a", [new(new(0x1000), new(0), 0x100, 0x100, true)]);
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        Assert.True(BranchCountText.IsCounts(bytes));
        BranchCountText counts = new(new SingleModuleResolver(module), module);
        counts.Read(new MemoryStream(bytes));
        BranchProfile profile = Assert.Single(counts.Profiles);
        BinaryAddress external = BinaryAddress.External;
        Assert.Equal(
            [(new BinaryAddress(0x1030), new BinaryAddress(0x1010), 5UL), (external, new(0x1020), 3UL), (external, new(0x1040), 1UL)],
            profile.Branches.Sorted().Select(pair => (pair.First, pair.Second, pair.Count)));
        Assert.Equal(
            [(0x1010UL, 0x1030UL, 4UL), (0x1020UL, 0x1030UL, 1UL)],
            profile.Ranges.Sorted().Select(pair => (pair.First.Value, pair.Second.Value, pair.Count)));
        Assert.Equal((7UL, 9UL, 1UL), (profile.Addresses.Total, profile.BranchEntries, profile.Losses[BranchCountText.UnknownLine]));
    }

    [Theory]
    [InlineData("1040 0x1030/0x1010/M/-/-/3\n")]
    [InlineData("12\n1040 0x1030/0x1010/M/-/-/3\n")]
    [InlineData("")]
    [InlineData("F\n")]
    public void Samples_are_not_taken_for_counts(string text) => Assert.False(BranchCountText.IsCounts(Encoding.UTF8.GetBytes(text)));
}
