using System.Diagnostics;
using System.Globalization;
using Perforator.Branches;
using Perforator.Elf;

namespace Perforator.Benchmarks;

/// <summary>
/// How many branch records a second two cores aggregate from stacks in memory, merging included. Called by eng/bench aggregate.
/// </summary>
internal static class AggregationRate
{
    private const int Depth = 32;
    private const int Shards = 2;
    private const int Rounds = 9;

    public static int Run()
    {
        BranchEntry[] entries = SyntheticStacks.Make(1_000_000);
        const int Repeats = 20;
        List<double> rates = [], perCpuSecond = [];
        BranchProfile? profile = null;
        for (int round = 0; round < Rounds; round++)
        {
            TimeSpan cpuBefore = Environment.CpuUsage.TotalTime;
            Stopwatch watch = Stopwatch.StartNew();
            BranchAggregator[] shards = new BranchAggregator[Shards];
            Parallel.For(0, Shards, shard =>
            {
                shards[shard] = SyntheticStacks.NewAggregator();
                int half = entries.Length / Depth / Shards * Depth;
                ReadOnlySpan<BranchEntry> own = entries.AsSpan(shard * half, half);
                for (int repeat = 0; repeat < Repeats; repeat++)
                    SyntheticStacks.Feed(shards[shard], own, Depth);
            });
            for (int shard = 1; shard < Shards; shard++)
                shards[0].Merge(shards[shard]);
            profile = SyntheticStacks.ProfileOf(shards[0]);
            rates.Add(shards[0].BranchEntries / watch.Elapsed.TotalSeconds / 1e6);
            perCpuSecond.Add(shards[0].BranchEntries / (Environment.CpuUsage.TotalTime - cpuBefore).TotalSeconds / 1e6);
        }
        rates.Sort();
        perCpuSecond.Sort();
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{rates[Rounds / 2]:0.0} million branch records a second (median of {Rounds}; best {rates[^1]:0.0}), {Shards} threads, {perCpuSecond[Rounds / 2]:0.0} million a CPU second, {profile!.Branches.Count} distinct branches, {profile.Ranges.Count} distinct ranges"));
        return 0;
    }
}

/// <summary>Branch stacks in memory, and what aggregates them.</summary>
internal static class SyntheticStacks
{
    private const int Process = 1;
    private const ulong Bias = 0x555555554000;
    private const ulong TextSize = 1 << 20;

    private static readonly Module Binary =
        new(BuildId.Parse("5eed"), "/bin/synthetic", [new LoadSegment(new(0x1000), new(0x1000), TextSize, TextSize, true)]);

    private sealed class Resolver : IModuleResolver
    {
        public Module? Resolve(Mapping mapping) => Binary;
    }

    /// <summary>
    /// Stacks of a program of 5,000 basic blocks, some much hotter than others, each ending in a branch with two or three targets.
    /// </summary>
    public static BranchEntry[] Make(int count)
    {
        const int Blocks = 5000;
        Random random = new(1);
        (ulong Start, ulong End)[] blocks = new (ulong, ulong)[Blocks];
        ulong at = 0x1000;
        for (int i = 0; i < Blocks; i++)
        {
            ulong length = (ulong)random.Next(8, 120);
            blocks[i] = (at, at + length);
            at += length + 5;
        }
        BranchEntry[] entries = new BranchEntry[count];
        int block = 0;
        // Made oldest first, then turned round.
        for (int i = count - 1; i >= 0; i--)
        {
            int next = random.Next(50) == 0
                ? (int)(Math.Pow(random.NextDouble(), 3) * Blocks) : (block * 7 + random.Next(3) * 13 + 1) % Blocks;
            entries[i] = new BranchEntry(new(blocks[block].End + Bias), new(blocks[next].Start + Bias));
            block = next;
        }
        return entries;
    }

    public static BranchAggregator NewAggregator()
    {
        BranchAggregator aggregator = new(new Resolver());
        aggregator.OnMapping(new Mapping(Process, new(0x1000 + Bias), TextSize, new(0x1000), Binary.Path));
        return aggregator;
    }

    public static void Feed(BranchAggregator aggregator, ReadOnlySpan<BranchEntry> entries, int depth)
    {
        for (int i = 0; i + depth <= entries.Length; i += depth)
            aggregator.OnSample(
                new BranchSample { ProcessId = Process, ThreadId = Process, InstructionPointer = entries[i].To, Stack = entries.Slice(i, depth), Weight = 1 });
    }

    public static BranchProfile ProfileOf(BranchAggregator aggregator) => aggregator.Profiles[Binary.BuildId];

    public static BranchProfile Aggregate(ReadOnlySpan<BranchEntry> entries, int depth)
    {
        BranchAggregator aggregator = NewAggregator();
        Feed(aggregator, entries, depth);
        return ProfileOf(aggregator);
    }
}
