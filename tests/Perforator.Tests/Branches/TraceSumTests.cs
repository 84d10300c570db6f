using Perforator.Branches;

namespace Perforator.Tests.Branches;

/// <summary>A sum of profiles is the same whether they come from bytes, whose counters are in order, or were counted one by one.</summary>
public sealed class TraceSumTests
{
    private static readonly BuildId Build = BuildId.Parse("aa01");

    [Theory]
    [InlineData(1, 40, 30, 60)]
    [InlineData(2, 200, 300, 40)]
    [InlineData(3, 2000, 5000, 12)]
    [InlineData(4, 5, 3, 30)]
    public void Sums_of_ordered_counters_are_those_of_single_ones(int seed, int most, int addresses, int profiles)
    {
        Random random = new(seed);
        BranchProfile ordered = new(Build, "/a"), single = new(Build, "/a");
        for (int i = 0; i < profiles; i++)
        {
            BranchProfile counted = new(Build, "/a") { Samples = 1 };
            // Few beside many as well, and the first may be empty.
            for (int n = random.Next(i % 3 == 0 ? Math.Max(1, most / 50) : most); n > 0; n--)
            {
                BinaryAddress from = Address(), to = Address();
                if (from.IsExternal && to.IsExternal)
                    continue;
                BinaryAddress end = to.IsExternal || random.Next(4) == 0 ? BinaryAddress.External : new(to.Value + (ulong)random.Next(64));
                ulong count = random.Next(50) == 0 ? ulong.MaxValue - (ulong)random.Next(3) : (ulong)random.Next(1, 5);
                counted.AddTrace(from, to, end, count, Math.Min(count, (ulong)random.Next(3)));
            }
            foreach (TraceCount trace in counted.Traces())
                single.AddTrace(trace.From, trace.To, trace.End, trace.Count, trace.Mispredicted);
            ordered.Merge(Decoded(counted));
            Assert.Equal(single.Traces(), ordered.Traces());
            Assert.Equal(single.Branches.Sorted(), ordered.Branches.Sorted());
            Assert.Equal(single.Ranges.Sorted(), ordered.Ranges.Sorted());
            Assert.Equal(single.TraceCounters, ordered.TraceCounters);
            Assert.Equal(single.InternalBranches, ordered.InternalBranches);
            if (random.Next(6) == 0)
            {
                // One that is added by itself, and what follows.
                ordered.AddTrace(new(1), new(2), new(3), 1, 0);
                single.AddTrace(new(1), new(2), new(3), 1, 0);
                ordered = Decoded(ordered);
            }
        }

        BinaryAddress Address() => random.Next(20) == 0 ? BinaryAddress.External : new((ulong)random.Next(1, addresses));
    }

    [Fact]
    public void A_profile_added_to_itself_counts_twice()
    {
        BranchProfile counted = new(Build, "/a") { Samples = 1 };
        counted.AddTrace(new(1), new(2), new(9), 3, 1);
        counted.AddTrace(new(1), new(2), BinaryAddress.External, 5, 0);
        BranchProfile ordered = Decoded(counted);
        ordered.Merge(ordered);
        Assert.Equal(
            [new TraceCount(new(1), new(2), new(9), 6, 2), new TraceCount(new(1), new(2), BinaryAddress.External, 10, 0)],
            ordered.Traces());
    }

    private static BranchProfile Decoded(BranchProfile profile)
    {
        BranchProfileSet set = new() { TotalSamples = 1 };
        set.Add(profile);
        return Assert.Single(BranchProfileCodec.Decode(BranchProfileCodec.Encode(set)).Profiles.Values);
    }
}
