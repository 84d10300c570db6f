using Perforator.Branches;

namespace Perforator.Tests.Branches;

/// <summary>Entries that aggregation counts together come to the same as each on its own.</summary>
public class TraceCountsTests
{
    private const ulong Size = 0x200000;

    private sealed class Everything(ulong address) : IModuleResolver
    {
        public Module? Resolve(Mapping mapping) => new(BuildId.Parse("aa"), "/bin/program", [new(new(address), new(0), Size, Size, true)]);
    }

    /// <summary>What the documentation of <see cref="BranchProfile"/> says, entry by entry, for one binary.</summary>
    private sealed class Expected(ulong start, ulong bias)
    {
        public SortedDictionary<(ulong, ulong), (ulong Count, ulong Mispredicted)> Branches { get; } = [];

        public SortedDictionary<(ulong, ulong), ulong> Ranges { get; } = [];

        public SortedDictionary<(ulong, ulong, ulong), (ulong Count, ulong Mispredicted)> Traces { get; } = [];

        public ulong Bogus { get; private set; }

        public void Sample(ReadOnlySpan<BranchEntry> stack, ulong weight)
        {
            ulong newerFrom = ulong.MaxValue;
            foreach (BranchEntry entry in stack)
            {
                if (entry.Flags.HasFlag(BranchFlags.SpeculativeWrongPath))
                    continue;
                ulong from = entry.Flags.HasFlag(BranchFlags.Interrupt) ? ulong.MaxValue : ToBinary(entry.From), to = ToBinary(entry.To);
                if (from == ulong.MaxValue && to == ulong.MaxValue)
                    continue;
                Branches[(from, to)] = Sum(Branches.GetValueOrDefault((from, to)), entry.Flags, weight);
                ulong end = ulong.MaxValue;
                if (to != ulong.MaxValue && newerFrom != ulong.MaxValue)
                {
                    if (newerFrom < to || newerFrom - to > BranchAggregator.MaxRangeLength)
                        Bogus = Sum(Bogus, weight);
                    else
                        Ranges[(to, end = newerFrom)] = Sum(Ranges.GetValueOrDefault((to, newerFrom)), weight);
                }
                Traces[(from, to, end)] = Sum(Traces.GetValueOrDefault((from, to, end)), entry.Flags, weight);
                newerFrom = from;
            }
        }

        private ulong ToBinary(RuntimeAddress address) =>
            address.Value >= start && address.Value < start + Size ? address.Value - bias : ulong.MaxValue;

        private static (ulong, ulong) Sum((ulong Count, ulong Mispredicted) before, BranchFlags flags, ulong weight) =>
            (Sum(before.Count, weight), flags.HasFlag(BranchFlags.Mispredicted) ? Sum(before.Mispredicted, weight) : before.Mispredicted);

        private static ulong Sum(ulong a, ulong b) => a > ulong.MaxValue - b ? ulong.MaxValue : a + b;
    }

    [Theory]
    [InlineData(0x401000UL, 200, 1UL)] // few branches, again and again
    [InlineData(0x401000UL, 50_000, 1UL)] // many
    [InlineData(0x401000UL, 50, 0xf000_0000UL)] // counters that 32 bits do not hold
    [InlineData(0x401000UL, 50, 0x4000_0000_0000_0000UL)] // nor 64
    [InlineData(0xffff_f000UL, 500, 1UL)] // addresses that 32 bits do not hold
    [InlineData(0xffff_ffff_8100_0000UL, 500, 1UL)]
    public void Stacks_count_like_their_entries_one_by_one(ulong address, int places, ulong largestWeight)
    {
        const ulong Start = 0x7f0000001000;
        Random random = new(places);
        BranchAggregator[] shards = [New(), New()];
        Expected expected = new(Start, unchecked(Start - address));
        BranchEntry[] buffer = new BranchEntry[200];
        for (int sample = 0; sample < 4000; sample++)
        {
            Span<BranchEntry> stack = buffer.AsSpan(0, random.Next(8) == 0 ? random.Next(buffer.Length) : random.Next(1, 33));
            foreach (ref BranchEntry entry in stack)
                entry = new(
                    Place(), Place(), random.Next(10) switch { 0 => BranchFlags.Mispredicted, 1 => BranchFlags.Predicted, _ => Odd() });
            ulong weight = largestWeight == 1 ? 1 : (ulong)random.NextInt64(1, (long)largestWeight);
            shards[sample & 1].OnSample(new BranchSample { ProcessId = 1, ThreadId = 1, Stack = stack, Weight = weight });
            expected.Sample(stack, weight);
            if (sample == 1000)
                Assert.NotEmpty(shards[0].Profiles);
        }
        shards[0].Merge(shards[1]);

        BranchProfile profile = shards[0].Profiles.Values.Single();
        Assert.Equal(
            expected.Branches.Select(b => new PairCount(new(b.Key.Item1), new(b.Key.Item2), b.Value.Count, b.Value.Mispredicted)),
            profile.Branches.Sorted());
        Assert.Equal(expected.Ranges.Select(r => new PairCount(new(r.Key.Item1), new(r.Key.Item2), r.Value, 0)), profile.Ranges.Sorted());
        Assert.Equal(
            expected.Traces.Select(
                t => new TraceCount(new(t.Key.Item1), new(t.Key.Item2), new(t.Key.Item3), t.Value.Count, t.Value.Mispredicted)),
                profile.Traces());
        Assert.Equal(expected.Bogus, profile.Losses.Total);

        BranchAggregator New()
        {
            BranchAggregator aggregator = new(new Everything(address));
            aggregator.OnMapping(new(1, new(Start), Size, new(0), "/bin/program"));
            return aggregator;
        }

        // Mostly in the binary, and mostly near each other.
        RuntimeAddress Place() =>
            new(random.Next(40) == 0
                ? (ulong)random.Next() : Start + (ulong)random.Next(places) * (random.Next(9) == 0 ? Size / (ulong)places : 8));

        BranchFlags Odd() =>
            random.Next(40) switch { 0 => BranchFlags.SpeculativeWrongPath, 1 => BranchFlags.Interrupt, _ => BranchFlags.None };
    }
}
