using Perforator.Branches;
using Perforator.Layout;

namespace Perforator.Tests.Layout;

/// <summary>Counts of blocks and edges from branches and ranges, and the orders made of them, on functions small enough to see.</summary>
public class CodeLayoutTests
{
    private const BlockKinds Runs = BlockKinds.CanFallThrough;

    /// <summary>Blocks of 16 bytes behind each other from 0x1000 on, numbered from 10 down so that numbers are not places.</summary>
    private static FunctionBlocks Function(ulong start, params BlockKinds[] kinds) => new(
        new(start), [.. kinds.Select((kind, i) => new BasicBlock((uint)(10 - i), new(start + 16 * (ulong)i), 16, kind))]);

    private static BranchProfile Profile() => new(BuildId.Parse("aa"), "program");

    private static int[] Order(FunctionLayout layout) => [.. layout.Order.Select(i => (int)layout.Flow.Blocks.Blocks[i].Id)];

    [Fact]
    public void Blocks_and_edges_are_counted_once_however_many_calls_lie_in_them()
    {
        // 0x1000 calls twice, jumps to 0x1020 or runs on to 0x1010; both come to 0x1030, which returns.
        FunctionBlocks caller = Function(
            0x1000, Runs, BlockKinds.None, Runs, BlockKinds.HasReturn), callee = Function(0x2000, BlockKinds.HasReturn);
        BranchProfile profile = Profile();
        profile.AddTrace(BinaryAddress.External, new(0x1000), new(0x1002), 100);
        profile.AddTrace(new(0x1002), new(0x2000), new(0x200f), 100);
        profile.AddTrace(new(0x200f), new(0x1006), new(0x1008), 100);
        profile.AddTrace(new(0x1008), new(0x2000), new(0x200f), 100);
        profile.AddTrace(new(0x200f), new(0x100c), new(0x100e), 90);
        profile.AddTrace(new(0x200f), new(0x100c), new(0x101e), 10);
        profile.AddTrace(new(0x100e), new(0x1020), new(0x103f), 90);
        profile.AddTrace(new(0x101e), new(0x1030), new(0x103f), 10);
        BlockFlow flow = BlockFlow.Of(profile, [callee, caller]);
        Assert.Equal([0x1000UL, 0x2000UL], flow.Functions.Select(f => f.Blocks.Entry.Value));
        Assert.Equal([100UL, 10UL, 90UL, 100UL], flow.Functions[0].Counts);
        Assert.Equal([new(0, 1, 10), new(0, 2, 90), new(1, 3, 10), new(2, 3, 90)], flow.Functions[0].Edges);
        Assert.Equal([new(0, 1, 200)], flow.Calls);
        Assert.Equal((600UL, 0UL, 0UL), (flow.Ranges, flow.RangesOutside, flow.RangesImpossible));

        CodeLayout layout = CodeLayout.Of(flow);
        Assert.Equal([10, 8, 7, 9], Order(layout.Functions[0]));
        Assert.True(layout.Score > 1.5 * layout.ScoreBefore, $"{layout.ScoreBefore} {layout.Score}");
        Assert.Equal((200.0, 100.0, 180.0), (layout.Transfers, layout.RunOnBefore, layout.RunOn));
    }

    [Fact]
    public void A_return_to_where_a_block_begins_means_that_the_one_before_ran_on()
    {
        FunctionBlocks caller = Function(
            0x1000, Runs, BlockKinds.HasReturn, BlockKinds.IsLandingPad), callee = Function(0x2000, BlockKinds.HasReturn);
        BranchProfile profile = Profile();
        profile.AddTrace(new(0x200f), new(0x1010), new(0x101f), 5);
        profile.AddTrace(BinaryAddress.External, new(0x1010), new(0x101f), 4);
        // An exception is no running on.
        profile.AddTrace(BinaryAddress.External, new(0x1020), new(0x1021), 3);
        Assert.Equal([new(0, 1, 9)], BlockFlow.Of(profile, [caller, callee]).Functions[0].Edges);
    }

    [Fact]
    public void Empty_blocks_are_part_of_the_way()
    {
        FunctionBlocks function = new(new(0x1000),
        [
            new(0, new(0x1000), 16, Runs), new(1, new(0x1010), 0, Runs), new(2, new(0x1010), 0, Runs),
            new(3, new(0x1010), 16, BlockKinds.HasReturn), new(4, new(0x1020), 0, BlockKinds.None),
        ]);
        FunctionBlocks next = Function(0x1020, BlockKinds.HasReturn);
        BranchProfile profile = Profile();
        profile.AddTrace(BinaryAddress.External, new(0x1000), new(0x101f), 6);
        profile.AddTrace(new(0x101f), new(0x1020), new(0x102f), 2);
        CodeLayout layout = CodeLayout.Of(BlockFlow.Of(profile, [function, next]));
        Assert.Equal([0, 1, 2, 3], Order(layout.Functions.Single(f => f.Flow.Blocks == function)));
        Assert.Equal([10], Order(layout.Functions.Single(f => f.Flow.Blocks == next)));
    }

    [Fact]
    public void Ranges_that_no_code_runs_are_counted_and_left_out()
    {
        FunctionBlocks function = Function(0x1000, BlockKinds.HasReturn, Runs, Runs), next = Function(0x1030, BlockKinds.HasReturn);
        BranchProfile profile = Profile();
        profile.AddRange(new(0x1000), new(0x1010), 5);
        profile.AddRange(new(0x1010), new(0x103f), 7);
        profile.AddRange(new(0x500), new(0x510), 11);
        BlockFlow flow = BlockFlow.Of(profile, [function, next]);
        Assert.Equal((23UL, 11UL, 12UL), (flow.Ranges, flow.RangesOutside, flow.RangesImpossible));
        Assert.Empty(flow.Functions);
    }

    [Fact]
    public void Landing_pads_stay_together_once_one_was_executed()
    {
        FunctionBlocks function =
            Function(0x1000, Runs, BlockKinds.HasReturn, BlockKinds.IsLandingPad, BlockKinds.IsLandingPad, BlockKinds.HasReturn);
        BranchProfile profile = Profile();
        profile.AddTrace(BinaryAddress.External, new(0x1000), new(0x101f), 6);
        Assert.Equal([10, 9], Order(CodeLayout.Of(BlockFlow.Of(profile, [function])).Functions[0]));
        profile.AddTrace(BinaryAddress.External, new(0x1030), new(0x103f), 6);
        Assert.Equal([8], Order(CodeLayout.Of(BlockFlow.Of(profile, [function])).Functions[0])[^1..]);
    }

    /// <summary>The best of all orders, tried one by one; greedy merging comes near.</summary>
    [Fact]
    public void Orders_come_near_the_best_there_is()
    {
        double all = 0, best = 0;
        for (int seed = 0; seed < 60; seed++)
        {
            Random random = new(seed);
            int n = random.Next(3, 8);
            ulong[] sizes = [.. Enumerable.Range(0, n).Select(_ => (ulong)random.Next(4, 200))], counts = [.. sizes.Select(_ => 1UL)];
            BlockEdge[] edges =
                [.. Enumerable.Range(0, n * n).Where(i => i / n != i % n && random.Next(3) == 0)
                    .Select(i => new BlockEdge(i / n, i % n, (ulong)random.Next(1, 1000)))];
            int[] order = ExtTsp.Order(sizes, counts, 0, edges);
            Assert.Equal(0, order[0]);
            Assert.Equal(Enumerable.Range(0, n), order.Order());
            all += Score(order);
            best += Orders([.. Enumerable.Range(1, n - 1)]).Max(rest => Score([0, .. rest]));

            double Score(int[] candidate)
            {
                ulong[] starts = new ulong[n];
                ulong end = 0;
                foreach (int block in candidate)
                {
                    starts[block] = end;
                    end += sizes[block];
                }
                return ExtTsp.Score(starts, sizes, edges);
            }
        }
        Assert.True(all > 0.97 * best, $"{all} of {best}");

        static IEnumerable<int[]> Orders(int[] blocks) => blocks.Length <= 1 ? [blocks]
            : blocks.SelectMany(first => Orders([.. blocks.Where(b => b != first)]).Select(rest => (int[])[first, .. rest]));
    }

    [Fact]
    public void Callees_follow_their_most_frequent_caller_and_busy_code_comes_first()
    {
        // 2 is called by 0, mostly, and by 1; 1 only by 3, which is cold.
        int[] order = CallClusters.Order([100, 100, 100, 100], [5000, 3000, 9000, 10], [new(0, 2, 80), new(1, 2, 20), new(3, 1, 1)]);
        Assert.Equal([0, 2, 3, 1], order);
        Assert.Equal([1, 0], CallClusters.Order([100, 100], [1, 100], []));
        Assert.Equal([1, 0], CallClusters.Order([1 << 20, 100], [1000, 1000], [new(0, 1, 50)]));
    }
}
