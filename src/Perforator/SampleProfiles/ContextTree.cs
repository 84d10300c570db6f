namespace Perforator.SampleProfiles;

/// <summary>One frame of a calling context: a function and where in it the next frame was called (the last frame: nowhere).</summary>
internal readonly record struct ContextFrame(string Function, LineLocation Callsite);

/// <summary>
/// The functions of a context-sensitive profile, each under the chain of its callers. Perforator's profiles are nested, so such a
/// profile is nested as it is read: a function goes into its caller as if it were inlined there, or stands alone when that caller
/// has no samples in this context. LLVM's <c>ProfileConverter::convertCSProfiles</c>.
/// </summary>
internal sealed class ContextTree
{
    /// <summary>The longest context that is read; with it, what is nested stays within bounds that can be walked recursively.</summary>
    public const int MaxDepth = FunctionSamples.MaxInlineDepth / 2;

    private sealed class Node(ContextFrame frame)
    {
        /// <summary>The function, and where in the parent it was called.</summary>
        public ContextFrame Frame { get; } = frame;

        public FunctionSamples? Samples { get; set; }

        public SortedDictionary<(LineLocation Callsite, string Function), Node> Children { get; } = [];
    }

    private readonly Node root = new(default);

    /// <summary>The samples of a context, made at need.</summary>
    /// <param name="context">From the outermost caller to the function itself; not empty, not longer than <see cref="MaxDepth"/>.</param>
    public FunctionSamples Function(ReadOnlySpan<ContextFrame> context)
    {
        Node node = root;
        LineLocation callsite = default;
        foreach (ContextFrame frame in context)
        {
            if (!node.Children.TryGetValue((callsite, frame.Function), out Node? child))
                node.Children.Add((callsite, frame.Function), child = new Node(new ContextFrame(frame.Function, callsite)));
            node = child;
            callsite = frame.Callsite;
        }
        return node.Samples ??= new FunctionSamples(node.Frame.Function);
    }

    /// <summary>Nests all functions and adds them to a profile. The tree is used up.</summary>
    public void NestInto(SampleProfile profile) => Nest(root, profile);

    private static void Nest(Node node, SampleProfile profile)
    {
        foreach (Node child in node.Children.Values)
        {
            Nest(child, profile);
            if (child.Samples is not { } samples)
                continue;
            if (node.Samples is { } caller)
                Inline(caller, child.Frame.Callsite, samples);
            else
                Add(profile, samples);
        }
    }

    private static void Add(SampleProfile profile, FunctionSamples samples)
    {
        if (profile.Functions.TryGetValue(samples.Name, out FunctionSamples? known))
            known.Merge(samples, 1, new LossCounts());
        else
            profile.Functions.Add(samples.Name, samples);
    }

    /// <summary>What was a call becomes an inlined callee: its samples count for the caller, the call's no longer do.</summary>
    private static void Inline(FunctionSamples caller, LineLocation callsite, FunctionSamples callee)
    {
        NameMap<FunctionSamples> callees = caller.Callsites.GetOrAdd(callsite, static () => new());
        if (!callees.ContainsKey(callee.Name))
            callees.Set(callee.Name, callee);
        caller.AddTotalSamples(callee.TotalSamples);
        if (!caller.Body.TryGetValue(callsite, out BodySample? call))
            return;
        ulong removed = Math.Min(call.RemoveCallTarget(callee.Name), call.Samples);
        call.Samples -= removed;
        if (call.Samples == 0)
            caller.Body.Remove(callsite);
        caller.TotalSamples -= Math.Min(removed, caller.TotalSamples);
    }
}
