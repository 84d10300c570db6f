namespace Perforator.Layout;

/// <summary>How a function's executed blocks are to lie.</summary>
/// <param name="Flow">The function and what was observed of it.</param>
/// <param name="Order">Indices of its executed blocks, the entry first.</param>
public sealed record FunctionLayout(FunctionFlow Flow, int[] Order);

/// <summary>The order of functions, and of the executed blocks in each, that a branch profile asks for.</summary>
public sealed class CodeLayout
{
    private CodeLayout(IReadOnlyList<FunctionLayout> functions) => Functions = functions;

    /// <summary>The functions in order.</summary>
    public IReadOnlyList<FunctionLayout> Functions { get; }

    /// <summary>The ext-TSP score of the code as it was recorded.</summary>
    public double ScoreBefore { get; private set; }

    /// <summary>The ext-TSP score of this layout.</summary>
    public double Score { get; private set; }

    /// <summary>Times control went from a block to another of its function.</summary>
    public double Transfers { get; private set; }

    /// <summary>Of <see cref="Transfers"/>, how often it ran on without a jump in the code as it was recorded.</summary>
    public double RunOnBefore { get; private set; }

    /// <summary>Of <see cref="Transfers"/>, how often it runs on in this layout.</summary>
    public double RunOn { get; private set; }

    /// <summary>Bytes of all blocks that are placed.</summary>
    public ulong Bytes { get; private set; }

    /// <summary>Lays out what was observed.</summary>
    public static CodeLayout Of(BlockFlow flow)
    {
        int[][] orders = [.. flow.Functions.Select(Order)];
        ulong[] sizes = [.. orders.Select((order, f) => Sum(order, i => flow.Functions[f].Blocks.Blocks[i].Size))];
        double[] weights =
            [.. orders.Select((order, f) => order.Sum(i => (double)flow.Functions[f].Counts[i] * flow.Functions[f].Blocks.Blocks[i].Size))];
        int[] functions = CallClusters.Order(sizes, weights, flow.Calls);
        CodeLayout layout = new([.. functions.Select(f => new FunctionLayout(flow.Functions[f], orders[f]))]);
        foreach (FunctionLayout function in layout.Functions)
            layout.Measure(function);
        return layout;
    }

    /// <summary>
    /// The executed blocks' order, the entry always among them. Landing pads of a function have to lie together (LLVM's exception tables
    /// count from one place): once one was executed, the others follow behind all that was.
    /// </summary>
    private static int[] Order(FunctionFlow function)
    {
        IReadOnlyList<BasicBlock> blocks = function.Blocks.Blocks;
        int entry = 0;
        for (int i = 0; i < blocks.Count; i++)
            if (blocks[i].Start == function.Blocks.Entry)
            {
                entry = i;
                break;
            }
        List<int> executed = [];
        int[] at = new int[blocks.Count];
        bool hasPad = false;
        for (int i = 0; i < blocks.Count; i++)
        {
            at[i] = executed.Count;
            if (function.Counts[i] == 0 && i != entry)
                continue;
            executed.Add(i);
            hasPad |= (blocks[i].Kinds & BlockKinds.IsLandingPad) != 0;
        }
        List<BlockEdge> edges = [];
        foreach (BlockEdge edge in function.Edges)
            if (IsPlaced(edge.From) && IsPlaced(edge.To))
                edges.Add(new(at[edge.From], at[edge.To], edge.Count));
        int[] order =
            ExtTsp.Order([.. executed.Select(i => (ulong)blocks[i].Size)], [.. executed.Select(i => function.Counts[i])], at[entry], edges);
        List<int> placed = [.. order.Select(i => executed[i])];
        for (int i = 0; hasPad && i < blocks.Count; i++)
            if (function.Counts[i] == 0 && i != entry && (blocks[i].Kinds & BlockKinds.IsLandingPad) != 0)
                placed.Add(i);
        return [.. placed];

        bool IsPlaced(int block) => function.Counts[block] != 0 || block == entry;
    }

    private void Measure(FunctionLayout function)
    {
        IReadOnlyList<BasicBlock> blocks = function.Flow.Blocks.Blocks;
        ulong[] sizes = [.. blocks.Select(static block =>
            (ulong)block.Size)], before = [.. blocks.Select(static block => block.Start.Value)];
        ulong[] after = new ulong[blocks.Count];
        // What is not placed lies far away.
        Array.Fill(after, 1UL << 40);
        ulong end = 0;
        foreach (int i in function.Order)
        {
            after[i] = end;
            end += sizes[i];
        }
        Bytes += end;
        ScoreBefore += ExtTsp.Score(before, sizes, function.Flow.Edges);
        Score += ExtTsp.Score(after, sizes, function.Flow.Edges);
        foreach (BlockEdge edge in function.Flow.Edges)
        {
            Transfers += edge.Count;
            if (before[edge.From] + sizes[edge.From] == before[edge.To])
                RunOnBefore += edge.Count;
            if (after[edge.From] + sizes[edge.From] == after[edge.To])
                RunOn += edge.Count;
        }
    }

    private static ulong Sum(int[] order, Func<int, ulong> size) => order.Aggregate(0UL, (sum, i) => sum + size(i));
}
