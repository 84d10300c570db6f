using Perforator.Branches;
using Perforator.Bytes;

namespace Perforator.Layout;

/// <summary>How often control went from one block of a function to another, by branch or by running on.</summary>
/// <param name="From">Index among the function's blocks.</param>
/// <param name="To">Index among the function's blocks.</param>
/// <param name="Count">How often.</param>
public readonly record struct BlockEdge(int From, int To, ulong Count);

/// <summary>How often one function called another.</summary>
/// <param name="Caller">Index among the functions.</param>
/// <param name="Callee">Index among the functions.</param>
/// <param name="Count">How often.</param>
public readonly record struct CallEdge(int Caller, int Callee, ulong Count);

/// <summary>What was observed of one function, block by block.</summary>
/// <param name="Blocks">Its blocks.</param>
/// <param name="Counts">How often each was executed.</param>
/// <param name="Edges">Between them, by source and target.</param>
public sealed record FunctionFlow(FunctionBlocks Blocks, ulong[] Counts, BlockEdge[] Edges);

/// <summary>
/// A branch profile in terms of basic blocks: counts of blocks, of the edges between them, and of calls. Branches give the edges that were
/// taken, fall-through ranges those where control ran on.
/// </summary>
public sealed class BlockFlow
{
    private readonly record struct Placed(ulong Start, ulong End, int Function, int Index, BlockKinds Kinds);

    private readonly Placed[] blocks;
    private readonly ulong[] starts;

    private BlockFlow(Placed[] blocks)
    {
        this.blocks = blocks;
        starts = Array.ConvertAll(blocks, static block => block.Start);
    }

    /// <summary>The functions of which something was seen to run, by entry address.</summary>
    public IReadOnlyList<FunctionFlow> Functions { get; private set; } = [];

    /// <summary>Calls between them, by caller and callee.</summary>
    public IReadOnlyList<CallEdge> Calls { get; private set; } = [];

    /// <summary>All ranges, in how often they ran.</summary>
    public ulong Ranges { get; private set; }

    /// <summary>Of <see cref="Ranges"/>, those in code that the map says nothing of.</summary>
    public ulong RangesOutside { get; private set; }

    /// <summary>Of <see cref="Ranges"/>, those that no code can have run: out of a function, or past a block that always leaves.</summary>
    public ulong RangesImpossible { get; private set; }

    /// <summary>Counts blocks, edges and calls.</summary>
    public static BlockFlow Of(BranchProfile profile, IReadOnlyList<FunctionBlocks> functions)
    {
        BlockFlow flow = new(Place(functions));
        ulong[] counts = new ulong[flow.blocks.Length];
        Dictionary<(int From, int To), ulong> edges = [], calls = [];
        flow.CountRanges(profile, counts, edges);
        flow.CountBranches(profile, functions, counts, edges, calls);
        flow.Collect(functions, counts, edges, calls);
        return flow;
    }

    /// <summary>
    /// All blocks in address order; empty ones before what they run into, with which they share an address. Those that overlap others, as
    /// no compiler has them, are left out.
    /// </summary>
    private static Placed[] Place(IReadOnlyList<FunctionBlocks> functions)
    {
        List<Placed> all = [];
        for (int f = 0; f < functions.Count; f++)
            for (int i = 0; i < functions[f].Blocks.Count; i++)
            {
                BasicBlock block = functions[f].Blocks[i];
                all.Add(new(block.Start.Value, block.End, f, i, block.Kinds));
            }
        int[] order = KeyOrder.Of([.. all.Select(static b => b.Start)], [.. all.Select(static b => b.End)]);
        List<Placed> placed = new(all.Count);
        foreach (int i in order)
            if (placed.Count == 0 || all[i].Start >= placed[^1].End)
                placed.Add(all[i]);
        return [.. placed];
    }

    /// <summary>
    /// The block that holds an address; -1 where there is none. Where several begin, the first one: control runs through them all.
    /// </summary>
    private int Find(BinaryAddress address)
    {
        int at = Array.BinarySearch(starts, address.Value);
        if (at < 0)
        {
            at = ~at - 1;
            return at >= 0 && address.Value < blocks[at].End ? at : -1;
        }
        while (at + 1 < starts.Length && starts[at + 1] == address.Value)
            at++;
        while (at > 0 && starts[at - 1] == address.Value && CanRunOn(at - 1))
            at--;
        return at;
    }

    /// <summary>The block that an instruction ends or lies in: of those that share an address, the one that is not empty.</summary>
    private int FindInstruction(BinaryAddress address)
    {
        int at = Find(address);
        while (at >= 0 && blocks[at].Start == blocks[at].End)
            at = at + 1 < blocks.Length && blocks[at + 1].Start == address.Value ? at + 1 : -1;
        return at;
    }

    /// <summary>Whether control can run from a block into the next one.</summary>
    private bool CanRunOn(int block) => block + 1 < blocks.Length && blocks[block + 1].Function == blocks[block].Function
        && (blocks[block].Kinds & BlockKinds.CanFallThrough) != 0;

    private void CountRanges(BranchProfile profile, ulong[] counts, Dictionary<(int, int), ulong> edges)
    {
        // The last block that control can reach from each one by running on.
        int[] reach = new int[blocks.Length];
        for (int i = blocks.Length - 1; i >= 0; i--)
            reach[i] = CanRunOn(i) ? reach[i + 1] : i;
        List<PairCount> valid = [];
        UInt128[] begun = new UInt128[blocks.Length + 1], ended = new UInt128[blocks.Length + 1];
        foreach (PairCount range in profile.Ranges.Sorted())
        {
            Ranges = Sum(Ranges, range.Count);
            int first = Find(range.First), last = FindInstruction(range.Second);
            if (first < 0 || last < 0)
            {
                RangesOutside = Sum(RangesOutside, range.Count);
                continue;
            }
            if (last < first || last > reach[first] || range.Second < range.First)
            {
                RangesImpossible = Sum(RangesImpossible, range.Count);
                continue;
            }
            begun[first] += range.Count;
            ended[last] += range.Count;
            valid.Add(range);
        }
        UInt128 running = 0;
        for (int i = 0; i + 1 < blocks.Length; i++)
        {
            running += begun[i] - ended[i];
            if (running > 0)
                Add(edges, (i, i + 1), Saturated(running));
        }
        CountBlocks(valid, counts);
    }

    /// <summary>
    /// A block was executed as often as the instruction of it that most ranges hold: with calls in it, several ranges share one execution.
    /// </summary>
    /// <param name="ranges">By begin, then end.</param>
    private void CountBlocks(List<PairCount> ranges, ulong[] counts)
    {
        int[] byEnd = KeyOrder.Of([.. ranges.Select(static range => range.Second.Value)]);
        int begin = 0, end = 0;
        UInt128 running = 0;
        for (int i = 0; i < blocks.Length; i++)
        {
            // All ranges that end before this block are over, and nothing of it has begun.
            while (end < byEnd.Length && ranges[byEnd[end]].Second.Value < blocks[i].Start)
                running -= ranges[byEnd[end++]].Count;
            UInt128 most = running;
            ulong stop = Math.Max(blocks[i].End, blocks[i].Start + 1);
            while (begin < ranges.Count && ranges[begin].First.Value < stop)
            {
                while (end < byEnd.Length && ranges[byEnd[end]].Second.Value < ranges[begin].First.Value)
                    running -= ranges[byEnd[end++]].Count;
                running += ranges[begin++].Count;
                most = running > most ? running : most;
            }
            // Nothing is executed in an empty block that leads nowhere; it ends where another function begins.
            counts[i] = blocks[i].Start == blocks[i].End && !CanRunOn(i) ? 0 : Saturated(most);
        }
    }

    private void CountBranches(
        BranchProfile profile, IReadOnlyList<FunctionBlocks> functions, ulong[] counts, Dictionary<(int, int), ulong> edges,
        Dictionary<(int, int), ulong> calls)
    {
        UInt128[] arrivals = new UInt128[blocks.Length];
        foreach (PairCount branch in profile.Branches.Sorted())
        {
            int from = branch.First.IsExternal
                ? -1 : FindInstruction(branch.First), to = branch.Second.IsExternal ? -1 : Find(branch.Second);
            if (to < 0 || blocks[to].Start != branch.Second.Value)
                continue;
            Placed target = blocks[to];
            arrivals[to] += branch.Count;
            bool isInside = from >= 0 && blocks[from].Function == target.Function;
            if (branch.Second == functions[target.Function].Entry)
            {
                // A call, of itself too: nothing jumps back to where a function begins.
                if (from >= 0 && !isInside)
                    Add(calls, (blocks[from].Function, target.Function), branch.Count);
            }
            else if (isInside && (blocks[from].Kinds & BlockKinds.HasReturn) == 0)
            {
                Add(edges, (from, to), branch.Count);
            }
            else if (to > 0 && CanRunOn(to - 1) && (target.Kinds & BlockKinds.IsLandingPad) == 0)
            {
                // A return to behind a call that ends its block: control ran on.
                Add(edges, (to - 1, to), branch.Count);
            }
        }
        for (int i = 0; i < counts.Length; i++)
            counts[i] = Math.Max(counts[i], Saturated(arrivals[i]));
    }

    private void Collect(
        IReadOnlyList<FunctionBlocks> functions, ulong[] counts, Dictionary<(int From, int To), ulong> edges,
        Dictionary<(int From, int To), ulong> calls)
    {
        ulong[]?[] ofFunction = new ulong[functions.Count][];
        for (int i = 0; i < blocks.Length; i++)
            if (counts[i] != 0)
                (ofFunction[blocks[i].Function] ??= new ulong[functions[blocks[i].Function].Blocks.Count])[blocks[i].Index] = counts[i];
        List<BlockEdge>[] between = new List<BlockEdge>[functions.Count];
        foreach (((int from, int to), ulong count) in edges)
            (between[blocks[from].Function] ??= []).Add(new(blocks[from].Index, blocks[to].Index, count));

        int[] order = KeyOrder.Of([.. functions.Select(static function => function.Entry.Value)]);
        int[] position = new int[functions.Count];
        Array.Fill(position, -1);
        List<FunctionFlow> flows = [];
        foreach (int f in order)
        {
            if (ofFunction[f] is not { } own)
                continue;
            position[f] = flows.Count;
            flows.Add(new(functions[f], own, [.. (between[f] ?? []).OrderBy(static e => e.From).ThenBy(static e => e.To)]));
        }
        Functions = flows;
        Calls = [.. calls.Where(call => position[call.Key.From] >= 0 && position[call.Key.To] >= 0)
            .Select(call => new CallEdge(position[call.Key.From], position[call.Key.To], call.Value))
            .OrderBy(static c => c.Caller).ThenBy(static c => c.Callee)];
    }

    private static void Add(Dictionary<(int, int), ulong> to, (int, int) key, ulong count) =>
        to[key] = Sum(to.GetValueOrDefault(key), count);

    private static ulong Sum(ulong a, ulong b) => a > ulong.MaxValue - b ? ulong.MaxValue : a + b;

    private static ulong Saturated(UInt128 count) => count > ulong.MaxValue ? ulong.MaxValue : (ulong)count;
}
