using Perforator.Branches;
using Perforator.Recording;
using Perforator.Recording.PerfEvents;

namespace Perforator.Tests.Recording.PerfEvents;

/// <summary>
/// What of all that events bring is let through: of wanted processes the share that is wanted, each counting as often as it would without.
/// </summary>
public sealed class TargetFilterTests : IDisposable
{
    private const int Samples = 20_000;

    private sealed class Targets : IRecordingTargets
    {
        public HashSet<int> Ids { get; set; } = [];

        public Dictionary<int, double> Shares { get; } = [];

        public IReadOnlySet<int>? Refresh() => Ids.Count == 0 ? null : new HashSet<int>(Ids);

        public double? ShareOf(int processId) => Shares.TryGetValue(processId, out double share) ? share : null;

        public bool Wants(int processId, bool isChildOfWanted) => Ids.Contains(processId);
    }

    private sealed class Counts : IBranchSink
    {
        public Dictionary<int, int> Samples { get; } = [];

        public HashSet<ulong> Weights { get; } = [];

        public List<string> Lines { get; } = [];

        public void OnMapping(Mapping mapping) => Lines.Add($"map {mapping.ProcessId}");

        public void OnFork(int processId, int parentProcessId) => Lines.Add($"fork {processId}");

        public void OnExec(int processId) => Lines.Add($"exec {processId}");

        public void OnExit(int processId) => Lines.Add($"exit {processId}");

        public void OnLost(string reason, ulong count) => Lines.Add($"lost {count}");

        public void OnSample(in BranchSample sample)
        {
            Samples[sample.ProcessId] = Samples.GetValueOrDefault(sample.ProcessId) + 1;
            Weights.Add(sample.Weight);
        }
    }

    private readonly ScriptedKernel kernel = new(0);
    private readonly Targets targets = new();
    private readonly Counts sink = new();
    private readonly TargetFilter filter;

    public TargetFilterTests() => filter = new TargetFilter(kernel, targets, sink);

    public void Dispose() => kernel.Dispose();

    private int Send(int processId, ulong weight = 1)
    {
        BranchEntry[] stack = [new(new(0x1000), new(0x2000)), new(new(0x2010), new(0x1000))];
        for (int i = 0; i < Samples; i++)
            filter.OnSample(new BranchSample { ProcessId = processId, ThreadId = processId, Stack = stack, Weight = weight });
        return sink.Samples.GetValueOrDefault(processId);
    }

    /// <summary>Six deviations of what chance makes of it.</summary>
    private static void AssertShare(double share, int taken)
    {
        double within = 6 * Math.Sqrt(Samples * share * (1 - share));
        Assert.InRange(taken, (Samples * share) - within, (Samples * share) + within);
    }

    [Fact]
    public void Each_process_has_its_share_and_one_with_none_gives_not_one()
    {
        targets.Ids = [1, 2, 3, 4];
        (targets.Shares[1], targets.Shares[2], targets.Shares[3]) = (0.25, 0.01, 0);
        Assert.True(filter.Refresh(out IReadOnlyList<int> added));
        Assert.Equal([1, 2, 3, 4], added.Order());
        AssertShare(0.25, Send(1, weight: 3));
        AssertShare(0.01, Send(2, weight: 3));
        Assert.Equal(0, Send(3, weight: 3));
        // Nothing is known of its share.
        Assert.Equal(Samples, Send(4, weight: 3));
        Assert.Equal(0, Send(5, weight: 3));
        Assert.Equal(3UL, Assert.Single(sink.Weights));
        Assert.Equal((ulong)sink.Samples.Values.Sum(), filter.Samples);
        Assert.Equal(2 * filter.Samples, filter.Branches);
    }

    /// <summary>
    /// Periods four times as long leave three of four out before they come in; of the process with the highest share all the rest is taken.
    /// </summary>
    [Theory]
    [InlineData(4, 0.25, 1.0, 1)]
    [InlineData(4, 0.0625, 0.25, 1)]
    [InlineData(16, 0.03, 0.48, 1)]
    [InlineData(64, 0.0, 0.0, 1)]
    // Lengthened by the budget as well, by which each counts for more.
    [InlineData(4, 0.25, 1.0, 8)]
    public void What_longer_periods_left_out_is_not_left_out_again_and_does_not_count_for_more(
        ulong thinned, double share, double taken, ulong factor)
    {
        targets.Ids = [1];
        targets.Shares[1] = share;
        filter.Thinned = thinned;
        filter.Refresh(out _);
        AssertShare(taken, Send(1, weight: thinned * factor));
        ulong[] weights = taken == 0 ? [] : [factor];
        Assert.Equal(weights, sink.Weights.ToArray());
    }

    [Fact]
    public void A_child_is_wanted_at_once_and_what_ends_is_forgotten_one_look_later()
    {
        targets.Ids = [1];
        filter.Refresh(out _);
        filter.OnFork(7, 2);
        filter.OnFork(8, 1);
        filter.OnExec(7);
        filter.OnExec(8);
        Assert.Equal(["fork 8", "exec 8"], sink.Lines);
        Assert.Equal((0, Samples), (Send(7), Send(8)));
        targets.Ids = [1, 8];
        filter.Refresh(out IReadOnlyList<int> added);
        Assert.Empty(added);
        targets.Ids = [1];
        filter.Refresh(out _);
        Assert.Equal(2 * Samples, Send(8));
        filter.Refresh(out _);
        Assert.Equal(2 * Samples, Send(8));
        Assert.Equal([8], filter.TakeForgotten([]));
        Assert.Equal(["fork 8", "exec 8", "exit 8"], sink.Lines);
        targets.Ids = [];
        Assert.False(filter.Refresh(out _));
    }
}
