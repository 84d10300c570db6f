using Perforator.Branches;

namespace Perforator.Tests.Branches;

public class BranchAggregatorTests
{
    private static readonly Module Program = new(
        BuildId.Parse("aa"), "/bin/program",
        [
            new(new(0x1000), new(0x0), 0x1000, 0x1000, true),
            new(new(0x403000), new(0x2000), 0x1000, 0x1000, true),
        ]);

    private sealed class OneModule : IModuleResolver
    {
        public Module? Resolve(Mapping mapping) => mapping.Path == Program.Path ? Program : null;
    }

    private static BranchEntry Entry(ulong from, ulong to) => new(new(from), new(to));

    private static void Sample(BranchAggregator aggregator, int process, params BranchEntry[] newestFirst) =>
        aggregator.OnSample(new BranchSample { ProcessId = process, ThreadId = process, Stack = newestFirst });

    [Fact]
    public void Processes_at_different_load_addresses_add_up()
    {
        BranchAggregator aggregator = new(new OneModule());
        aggregator.OnMapping(new(1, new(0x10000), 0x1000, new(0), Program.Path));
        aggregator.OnMapping(new(2, new(0x7f0000), 0x1000, new(0), Program.Path));
        Sample(aggregator, 1, Entry(0x10040, 0x10010), Entry(0x10030, 0x10020));
        Sample(aggregator, 2, Entry(0x7f0040, 0x7f0010), Entry(0x7f0030, 0x7f0020));

        BranchProfile profile = Assert.Single(aggregator.Profiles.Values);
        Assert.Equal([new(new(0x1030), new(0x1020), 2, 0), new(new(0x1040), new(0x1010), 2, 0)], profile.Branches.Sorted());
        Assert.Equal([new(new(0x1020), new(0x1040), 2, 0)], profile.Ranges.Sorted());
        Assert.Equal(
            [new(new(0x1030), new(0x1020), new(0x1040), 2, 0), new(new(0x1040), new(0x1010), BinaryAddress.External, 2, 0)],
            profile.Traces());
        Assert.Equal(0, profile.UnpairedRanges.Count);
        Assert.Equal(2UL, profile.Samples);
        Assert.Equal(4UL, profile.BranchEntries);
    }

    [Fact]
    public void Each_executable_segment_has_its_own_bias()
    {
        BranchAggregator aggregator = new(new OneModule());
        aggregator.OnMapping(new(1, new(0x10000), 0x1000, new(0), Program.Path));
        aggregator.OnMapping(new(1, new(0x50000), 0x1000, new(0x2000), Program.Path));
        Sample(aggregator, 1, Entry(0x10040, 0x50010));

        Assert.Equal([new(new(0x1040), new(0x403010), 1, 0)], aggregator.Profiles[Program.BuildId].Branches.Sorted());
    }

    [Fact]
    public void Branches_from_and_to_other_code_are_external_and_give_no_range()
    {
        BranchAggregator aggregator = new(new OneModule());
        aggregator.OnMapping(new(1, new(0x10000), 0x1000, new(0), Program.Path));
        aggregator.OnMapping(new(1, new(0x20000), 0x1000, new(0), "/lib/libc.so.6"));
        Sample(aggregator, 1, Entry(0x20040, 0x10010), Entry(0x10030, 0x20020), Entry(0x20001, 0x20002));

        BranchProfile profile = aggregator.Profiles[Program.BuildId];
        Assert.Equal(
            [new(new(0x1030), BinaryAddress.External, 1, 0), new(BinaryAddress.External, new(0x1010), 1, 0)], profile.Branches.Sorted());
        Assert.Equal(0, profile.Ranges.Count);
        Assert.Equal(1UL, aggregator.Losses[BranchAggregator.ExternalBranch]);
    }

    /// <summary>Arm's BRBE gives 0 for an end that may not be recorded: of a system call, and of the return from it.</summary>
    [Fact]
    public void Half_a_record_counts_on_the_side_that_is_known()
    {
        BranchAggregator aggregator = new(new OneModule());
        aggregator.OnMapping(new(1, new(0x10000), 0x1000, new(0), Program.Path));
        Sample(aggregator, 1, Entry(0x10040, 0x10010), Entry(0, 0x1002c), Entry(0x10028, 0), Entry(0x10060, 0x10020));

        BranchProfile profile = aggregator.Profiles[Program.BuildId];
        Assert.Equal([new(new(0x1020), new(0x1028), 1, 0), new(new(0x102c), new(0x1040), 1, 0)], profile.Ranges.Sorted());
        Assert.Equal(
            [
                new(new(0x1028), BinaryAddress.External, 1, 0), new(new(0x1040), new(0x1010), 1, 0), new(new(0x1060), new(0x1020), 1, 0),
                new(BinaryAddress.External, new(0x102c), 1, 0),
            ],
            profile.Branches.Sorted());
        Assert.Equal(0UL, aggregator.Losses.Total);
    }

    /// <summary>Programs that move their code onto huge pages map anonymous memory over it, with the same code.</summary>
    [Theory]
    [InlineData("//anon", 0x10000UL, 0x1000UL, 1)]
    [InlineData("/anon_hugepage (deleted)", 0x10000UL, 0x800UL, 1)]
    [InlineData("[heap]", 0x10000UL, 0x1000UL, 1)]
    [InlineData("//anon", 0xf000UL, 0x2000UL, 0)] // reaches beyond the code: new code of a JIT
    [InlineData("/lib/other.so", 0x10000UL, 0x1000UL, 0)]
    [InlineData("", 0x10000UL, 0x1000UL, 0)]
    public void Anonymous_memory_inside_a_binarys_code_is_that_code(string path, ulong start, ulong length, int counted)
    {
        BranchAggregator aggregator = new(new OneModule());
        aggregator.OnMapping(new(1, new(0x10000), 0x1000, new(0), Program.Path));
        aggregator.OnMapping(new(1, new(start), length, new(0), path));
        Sample(aggregator, 1, Entry(0x10040, 0x10010));
        Assert.Equal(counted, aggregator.Profiles[Program.BuildId].Branches.Count);
    }

    /// <summary>12 MB of code, as services have it.</summary>
    private static readonly Module Large =
        new(BuildId.Parse("bb"), "/bin/large", [new(new(0x1ff000), new(0x1000), 12 << 20, 12 << 20, true)]);

    private sealed class LargeModule : IModuleResolver
    {
        public Module? Resolve(Mapping mapping) => mapping.Path == Large.Path ? Large : null;
    }

    // Loaded at 0x7f0000000000: its first whole huge page begins at 0x7f0000200000, its code ends at 0x7f0000dff000.
    private const ulong Bias = 0x7f0000000000;

    private static Mapping Mapped(string path, ulong start, ulong end) =>
        new(1, new(Bias + start), end - start, new(path == Large.Path ? start - 0x1fe000 : 0), path);

    /// <summary>
    /// What perf sees of a program that moved its code onto huge pages: live, as mappings over the code; or only what is left of the
    /// binary's own, where it was moved before the recording began. Each mapping is path, begin and end, in binary addresses.
    /// </summary>
    [Theory]
    [InlineData("/bin/large 1ff000 dff000, //anon 200000 c00000", true)] // Chromium, Node
    [InlineData("/bin/large 1ff000 dff000, //anon 200000 c00000, //anon 200000 c00000", true)] // first writable, then executable
    [InlineData("/bin/large 1ff000 dff000, //anon 0 e00000", true)] // BOLT --hugify: whole huge pages, beyond both ends
    [InlineData("/bin/large 1ff000 dff000, //anon 0 1000000", false)] // farther than that: a JIT's arena where the binary was
    [InlineData("/bin/large 1ff000 dff000, //anon 1000 e01000", false)] // no huge pages
    [InlineData("/bin/large 1ff000 200000, //anon 200000 c00000, /bin/large c00000 dff000", true)]
    [InlineData("/bin/large 1ff000 200000, /anon_hugepage 200000 c00000, /bin/large c00000 dff000", true)]
    [InlineData("/bin/large 1ff000 200000, [anon:text] 200000 400000, [anon:text] 400000 c00000, /bin/large c00000 dff000", true)]
    [InlineData("/bin/large 1ff000 200000, /memfd:hugetext 200000 e00000", true)]
    [InlineData("/dev/hugepages/libhugetlbfs.tmp.x 200000 600000, //anon 600000 c00000, /bin/large c00000 dff000", true)] // nothing is left before it
    [InlineData("//anon 200000 c00000", false)] // nothing is left at all
    [InlineData("//anon 200000 bff000, /bin/large c00000 dff000", false)] // not next to it
    [InlineData("/bin/large 1ff000 dff000, //anon dff000 1200000", true)] // a JIT's code behind the binary's is none of it
    [InlineData("/lib/other 1ff000 200000, //anon 200000 c00000, /lib/other c00000 dff000", false)]
    public void Code_moved_onto_huge_pages_is_still_the_binarys(string mappings, bool isCounted)
    {
        BranchAggregator aggregator = new(new LargeModule());
        foreach (string[] words in mappings.Split(", ").Select(mapping => mapping.Split(' ')))
            aggregator.OnMapping(Mapped(words[0], Convert.ToUInt64(words[1], 16), Convert.ToUInt64(words[2], 16)));
        Sample(aggregator, 1, Entry(Bias + 0x240040, Bias + 0xb00010), Entry(Bias + 0x5ff000, Bias + 0x240000));
        Sample(aggregator, 1, Entry(Bias + 0x1000100, Bias + 0x1000000));

        BranchProfile? profile = aggregator.Profiles.GetValueOrDefault(Large.BuildId);
        PairCount[] expected = isCounted ? [new(new(0x240040), new(0xb00010), 1, 0), new(new(0x5ff000), new(0x240000), 1, 0)] : [];
        Assert.Equal(expected, profile?.Branches.Sorted() ?? []);
        bool isJitsToo = mappings.Contains("1000000", StringComparison.Ordinal) || mappings.Contains("1200000", StringComparison.Ordinal);
        Assert.Equal(
            (!isCounted || isJitsToo, 3),
            (aggregator.Losses[BranchAggregator.AnonymousBranch] > 0, (int)aggregator.Losses.Total + expected.Length));
    }

    [Fact]
    public void A_range_that_goes_backwards_is_counted_as_bogus()
    {
        BranchAggregator aggregator = new(new OneModule());
        aggregator.OnMapping(new(1, new(0x10000), 0x1000, new(0), Program.Path));
        Sample(aggregator, 1, Entry(0x10010, 0x10100), Entry(0x10040, 0x10020));

        BranchProfile profile = aggregator.Profiles[Program.BuildId];
        Assert.Equal(0, profile.Ranges.Count);
        Assert.Equal(1UL, profile.Losses[BranchAggregator.BogusRange]);
    }

    [Fact]
    public void A_forked_child_has_its_parents_mappings_and_exec_drops_them()
    {
        BranchAggregator aggregator = new(new OneModule());
        aggregator.OnMapping(new(1, new(0x10000), 0x1000, new(0), Program.Path));
        aggregator.OnFork(2, 1);
        Sample(aggregator, 2, Entry(0x10040, 0x10010));
        aggregator.OnExec(2);
        Sample(aggregator, 2, Entry(0x10040, 0x10010));

        Assert.Equal(1UL, aggregator.Profiles[Program.BuildId].Branches.Total);
        Assert.Equal(1UL, aggregator.Losses.Total);
    }

    [Fact]
    public void Entries_between_other_modules_do_not_break_a_range()
    {
        BranchAggregator aggregator = new(new OneModule());
        aggregator.OnMapping(new(1, new(0x10000), 0x1000, new(0), Program.Path));
        Sample(aggregator, 1, Entry(0x10040, 0x10010), Entry(0x90000, 0x91000), Entry(0x10008, 0x10020));

        Assert.Equal([new(new(0x1020), new(0x1040), 1, 0)], aggregator.Profiles[Program.BuildId].Ranges.Sorted());
    }

    /// <summary>With a filter for user mode the interrupt's return is not in the stack: code ran on as if nothing had been.</summary>
    [Fact]
    public void Code_runs_straight_through_an_interrupt()
    {
        BranchAggregator aggregator = new(new OneModule());
        aggregator.OnMapping(new(1, new(0x10000), 0x1000, new(0), Program.Path));
        BranchEntry interrupt = new(new(0x10028), new(0xffff800010000000), BranchFlags.Interrupt);
        Sample(aggregator, 1, Entry(0x10040, 0x10010), interrupt, Entry(0x10030, 0x10020));
        Sample(aggregator, 1, Entry(0x10040, 0x10010), Entry(0xffff800010000100, 0x10028), interrupt, Entry(0x10030, 0x10020));

        BranchProfile profile = Assert.Single(aggregator.Profiles.Values);
        Assert.Equal([new(new(0x1020), new(0x1040), 1, 0), new(new(0x1028), new(0x1040), 1, 0)], profile.Ranges.Sorted());
        Assert.DoesNotContain(profile.Branches.Sorted(), pair => pair.First == new BinaryAddress(0x1028));
        Assert.Equal(2UL, aggregator.Losses[BranchAggregator.KernelBranch]);
    }

    [Fact]
    public void Sampled_addresses_elsewhere_are_counted()
    {
        BranchAggregator aggregator = new(new OneModule());
        aggregator.OnMapping(new(1, new(0x10000), 0x1000, new(0), Program.Path));
        foreach (ulong address in (ulong[])[0x10040, 0x20000, 0xffffffff81000000])
            aggregator.OnSample(new BranchSample { ProcessId = 1, ThreadId = 1, InstructionPointer = new(address), Stack = [] });
        Assert.Equal(1UL, Assert.Single(aggregator.Profiles.Values).Addresses.Total);
        Assert.Equal((2UL, 2UL), (aggregator.Losses[BranchAggregator.ExternalAddress], aggregator.Losses.Total));
    }

    [Fact]
    public void A_duplicated_entry_is_told_from_a_loop()
    {
        BranchAggregator aggregator = new(new OneModule());
        aggregator.OnMapping(new(1, new(0x10000), 0x1000, new(0), Program.Path));
        Sample(aggregator, 1, Entry(0x10040, 0x10010), Entry(0x10040, 0x10010));
        Sample(aggregator, 1, Entry(0x10040, 0x10080), Entry(0x10040, 0x10080));

        BranchProfile profile = aggregator.Profiles[Program.BuildId];
        Assert.Equal([new(new(0x1010), new(0x1040), 1, 0)], profile.Ranges.Sorted());
        Assert.Equal(1UL, profile.Losses[BranchAggregator.DuplicatedBranch]);
        Assert.Equal(1UL, profile.Losses.Total);
    }

    [Fact]
    public void Kernel_branches_are_counted_as_such()
    {
        BranchAggregator aggregator = new(new OneModule());
        aggregator.OnMapping(new(1, new(0x10000), 0x1000, new(0), Program.Path));
        Sample(aggregator, 1, Entry(0xffffffff81000010, 0xffffffff81000000), Entry(0x10008, 0xffffffff81000000));

        Assert.Equal(1UL, aggregator.Losses[BranchAggregator.KernelBranch]);
        Assert.Equal([new(new(0x1008), BinaryAddress.External, 1, 0)], aggregator.Profiles[Program.BuildId].Branches.Sorted());
    }

    [Fact]
    public void A_process_without_mappings_has_those_of_any_process()
    {
        BranchAggregator aggregator = new(new OneModule());
        aggregator.OnMapping(new(BranchAggregator.AnyProcess, new(0x1000), 0x1000, new(0), Program.Path));
        aggregator.OnMapping(new(1, new(0x10000), 0x1000, new(0), Program.Path));
        Sample(aggregator, 2, Entry(0x1040, 0x1010));
        Sample(aggregator, 1, Entry(0x10040, 0x10010));

        Assert.Equal([new(new(0x1040), new(0x1010), 2, 0)], aggregator.Profiles[Program.BuildId].Branches.Sorted());
    }

    [Fact]
    public void Aggregators_add_up()
    {
        BranchAggregator[] shards = [new(new OneModule()), new(new OneModule())];
        foreach (BranchAggregator shard in shards)
        {
            shard.OnMapping(new(1, new(0x10000), 0x1000, new(0), Program.Path));
            Sample(shard, 1, Entry(0x10040, 0x10010), Entry(0x10030, 0x10020), Entry(1, 2));
        }
        shards[0].Merge(shards[1]);

        BranchProfile profile = shards[0].Profiles[Program.BuildId];
        Assert.Equal(4UL, profile.Branches.Total);
        Assert.Equal(2UL, profile.Ranges.Total);
        Assert.Equal(2UL, shards[0].Losses.Total);
        Assert.Equal(6UL, shards[0].BranchEntries);
    }

    [Fact]
    public void What_was_taken_is_not_counted_again_and_mappings_stay()
    {
        BranchAggregator aggregator = new(new OneModule());
        aggregator.OnMapping(new(1, new(0x10000), 0x1000, new(0), Program.Path));
        Sample(aggregator, 1, Entry(0x10040, 0x10010));
        aggregator.OnLost("reason", 3);

        BranchAggregator first = aggregator.Take();
        Sample(aggregator, 1, Entry(0x10050, 0x10020));
        BranchAggregator second = aggregator.Take();

        Assert.Equal([new(new(0x1040), new(0x1010), 1, 0)], first.Profiles[Program.BuildId].Branches.Sorted());
        Assert.Equal([new(new(0x1050), new(0x1020), 1, 0)], second.Profiles[Program.BuildId].Branches.Sorted());
        Assert.Equal((3UL, 0UL), (first.Losses["reason"], second.Losses["reason"]));
        Assert.Equal((1UL, 1UL, 0UL), (first.Samples, second.Samples, aggregator.Samples));
    }
}
