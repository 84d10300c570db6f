namespace Perforator.Layout;

/// <summary>
/// Orders the blocks of a function so that control mostly runs on or jumps near: the extended travelling-salesman problem of Newell and
/// Pupyrev ("Improved Basic Block Reordering", IEEE Transactions on Computers, 2020), by greedily merging chains.
/// </summary>
/// <remarks>
/// An edge's worth is its count times 1 where control runs on (1.05 where it is the source's only way on), and times 0.1 where it jumps,
/// less the farther it does: nothing from 1024 bytes forward and 640 backward. The weights are those of LLVM's CodeLayout.
/// Two chains are joined end to end, or one is put into the other, whichever gains most, until nothing does.
/// </remarks>
public sealed class ExtTsp
{
    private const double RunsOn = 1, RunsOnOnly = 1.05, Jumps = 0.1;
    private const ulong ForwardReach = 1024, BackwardReach = 640;

    /// <summary>Chains up to this length are tried to be split anywhere; longer ones at their jumps to the other chain alone.</summary>
    private const int SplitAnywhere = 48;

    /// <summary>Longer chains are not split, since each try takes time in proportion; LLVM's limit.</summary>
    private const int SplitAtAll = 128;

    private readonly struct Jump(int from, int to, double count, bool isOnly)
    {
        public readonly int From = from, To = to;
        public readonly double Count = count;
        public readonly bool IsOnly = isOnly;
    }

    private sealed class Chain(int id, int block, double weight, ulong size)
    {
        public readonly int Id = id;
        public List<int> Blocks = [block];
        public List<Jump> Inside = [];
        public SortedDictionary<int, List<Jump>> Between = [];
        public double Weight = weight;
        public ulong Size = size;
        public int Version;
        public bool HasEntry;
    }

    private readonly record struct Merge(double Gain, int First, int Second, int FirstVersion, int SecondVersion, int Split);

    private readonly ulong[] sizes;
    // Where each block lies in its chain: in bytes, and counted.
    private readonly ulong[] offset;
    private readonly int[] position;
    private readonly int edgeCount;
    private readonly Chain[] chains;
    private readonly int[] chainOf;

    private ExtTsp(ulong[] sizes, ulong[] counts, int entry, IReadOnlyList<BlockEdge> edges)
    {
        this.sizes = sizes;
        offset = new ulong[sizes.Length];
        position = new int[sizes.Length];
        edgeCount = edges.Count;
        chains = new Chain[sizes.Length];
        chainOf = new int[sizes.Length];
        for (int i = 0; i < sizes.Length; i++)
        {
            chains[i] = new(i, i, counts[i], sizes[i]) { HasEntry = i == entry };
            chainOf[i] = i;
        }
        foreach (Jump jump in JumpsOf(sizes.Length, edges))
        {
            Chain from = chains[jump.From];
            if (jump.From == jump.To)
            {
                from.Inside.Add(jump);
                continue;
            }
            if (!from.Between.TryGetValue(jump.To, out List<Jump>? between))
                from.Between[jump.To] = chains[jump.To].Between[jump.From] = between = [];
            between.Add(jump);
        }
    }

    /// <summary>Orders blocks.</summary>
    /// <param name="sizes">The blocks' sizes in bytes.</param>
    /// <param name="counts">How often each is executed.</param>
    /// <param name="entry">The one that has to come first.</param>
    /// <param name="edges">Between them.</param>
    /// <returns>All blocks, in order.</returns>
    public static int[] Order(ulong[] sizes, ulong[] counts, int entry, IReadOnlyList<BlockEdge> edges)
    {
        ExtTsp problem = new(sizes, counts, entry, edges);
        problem.MergeChains();
        return problem.Concatenate();
    }

    /// <summary>What a layout is worth.</summary>
    /// <param name="starts">Each block's address.</param>
    /// <param name="sizes">Each block's size in bytes.</param>
    /// <param name="edges">Between them.</param>
    public static double Score(ulong[] starts, ulong[] sizes, IReadOnlyList<BlockEdge> edges)
    {
        double score = 0;
        foreach (Jump jump in JumpsOf(starts.Length, edges))
            score += Worth(jump, starts[jump.From] + sizes[jump.From], starts[jump.To]);
        return score;
    }

    private static IEnumerable<Jump> JumpsOf(int blocks, IReadOnlyList<BlockEdge> edges)
    {
        int[] ways = new int[blocks];
        foreach (BlockEdge edge in edges)
            ways[edge.From]++;
        foreach (BlockEdge edge in edges)
            yield return new(edge.From, edge.To, edge.Count, ways[edge.From] == 1);
    }

    private static double Worth(in Jump jump, ulong sourceEnd, ulong target)
    {
        if (target == sourceEnd)
            return jump.Count * (jump.IsOnly ? RunsOnOnly : RunsOn);
        (ulong distance, ulong reach) = target > sourceEnd ? (target - sourceEnd, ForwardReach) : (sourceEnd - target, BackwardReach);
        return distance >= reach ? 0 : jump.Count * Jumps * (1 - distance / (double)reach);
    }

    private void MergeChains()
    {
        PriorityQueue<Merge, (double, int, int)> merges = new();
        foreach (Chain chain in chains)
            foreach (int other in chain.Between.Keys)
                if (other > chain.Id)
                    Consider(chain, chains[other], merges);
        while (merges.TryDequeue(out Merge merge, out _))
        {
            if (!IsCurrent(merge))
                continue;
            Chain first = chains[merge.First];
            Join(first, chains[merge.Second], merge.Split);
            foreach (int other in first.Between.Keys)
                Consider(first, chains[other], merges);
            // No more than one for each edge can be current.
            if (merges.Count > 1000 + 4 * edgeCount)
                merges = new(merges.UnorderedItems.Where(item => IsCurrent(item.Element)));
        }
    }

    private bool IsCurrent(in Merge merge) =>
        chains[merge.First].Version == merge.FirstVersion && chains[merge.Second].Version == merge.SecondVersion;

    private void Consider(Chain a, Chain b, PriorityQueue<Merge, (double, int, int)> merges)
    {
        Merge best = default;
        Try(a, b, ref best);
        Try(b, a, ref best);
        if (best.Gain > 1e-9)
            merges.Enqueue(best, (-best.Gain, best.First, best.Second));
    }

    /// <summary>Tries the second chain behind the first one and inside it.</summary>
    private void Try(Chain first, Chain second, ref Merge best)
    {
        if (second.HasEntry)
            return;
        List<Jump> between = first.Between[second.Id];
        int length = first.Blocks.Count;
        Evaluate(first, second, between, length, ref best);
        if (length <= SplitAnywhere)
        {
            for (int split = 1; split < length; split++)
                Evaluate(first, second, between, split, ref best);
        }
        else if (length <= SplitAtAll)
        {
            SortedSet<int> splits = [];
            foreach (Jump jump in between)
                splits.Add(chainOf[jump.From] == first.Id ? position[jump.From] + 1 : position[jump.To]);
            foreach (int split in splits)
                if (split > 0 && split < length)
                    Evaluate(first, second, between, split, ref best);
        }
    }

    /// <summary>What it gains to put the second chain before the first one's block of a given position, or behind all of them.</summary>
    private void Evaluate(Chain first, Chain second, List<Jump> between, int split, ref Merge best)
    {
        ulong at = split == first.Blocks.Count ? first.Size : offset[first.Blocks[split]];
        double gain = 0;
        foreach (Jump jump in between)
            gain += Worth(jump, Place(jump.From) + sizes[jump.From], Place(jump.To));
        if (split < first.Blocks.Count)
        {
            foreach (Jump jump in first.Inside)
                if (position[jump.From] < split != position[jump.To] < split)
                    gain += Worth(jump, Place(jump.From) + sizes[jump.From], Place(jump.To))
                        - Worth(jump, offset[jump.From] + sizes[jump.From], offset[jump.To]);
        }
        if (gain > best.Gain + 1e-9)
            best = new(gain, first.Id, second.Id, first.Version, second.Version, split);

        ulong Place(int block) =>
            chainOf[block] != first.Id ? at + offset[block] : position[block] < split ? offset[block] : offset[block] + second.Size;
    }

    private void Join(Chain first, Chain second, int split)
    {
        first.Blocks.InsertRange(split, second.Blocks);
        ulong end = split == 0 ? 0 : offset[first.Blocks[split - 1]] + sizes[first.Blocks[split - 1]];
        for (int i = split; i < first.Blocks.Count; i++)
        {
            int block = first.Blocks[i];
            (chainOf[block], position[block], offset[block]) = (first.Id, i, end);
            end += sizes[block];
        }
        first.Inside.AddRange(second.Inside);
        first.Inside.AddRange(first.Between[second.Id]);
        first.Between.Remove(second.Id);
        second.Between.Remove(first.Id);
        foreach ((int other, List<Jump> jumps) in second.Between)
        {
            Chain neighbour = chains[other];
            neighbour.Between.Remove(second.Id);
            if (first.Between.TryGetValue(other, out List<Jump>? known))
                known.AddRange(jumps);
            else
                first.Between[other] = neighbour.Between[first.Id] = jumps;
        }
        first.Weight += second.Weight;
        first.Size += second.Size;
        first.HasEntry |= second.HasEntry;
        first.Version++;
        second.Version++;
        second.Blocks = [];
        second.Between = [];
    }

    /// <summary>The chain with the entry, then the others by how often their bytes are executed.</summary>
    private int[] Concatenate() =>
        [.. chains.Where(static chain => chain.Blocks.Count != 0)
            .OrderByDescending(static chain => chain.HasEntry)
            .ThenByDescending(static chain => chain.Weight / Math.Max(chain.Size, 1))
            .ThenBy(static chain => chain.Id)
            .SelectMany(static chain => chain.Blocks)];
}
