using Perforator.Api;
using Perforator.SampleProfiles;

namespace Perforator.Server.Results;

/// <summary>A generated profile made ready to be looked into: its functions by id, and who calls and inlines whom.</summary>
internal sealed class ProfileView
{
    private const int MaxRelated = 100, MaxLines = 5000, MaxNodes = 5000, MaxDepth = 60, Rounds = 20;

    /// <summary>Paths below this share of all samples are cut off.</summary>
    private const double MinShare = 1e-4;

    private readonly FunctionSamples[] functions;
    private readonly Dictionary<string, FunctionSamples> byId;
    private readonly Dictionary<string, Dictionary<string, double>> inlinedInto = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Dictionary<string, double>> callers = new(StringComparer.Ordinal), callees = new(StringComparer.Ordinal);

    /// <summary>Samples in each function's own lines, wherever copies of it are.</summary>
    private readonly Dictionary<string, double> bodies = new(StringComparer.Ordinal);
    private readonly bool hashed, byProbes;
    private readonly double total;

    public ProfileView(SampleProfile profile)
    {
        functions = profile.HottestFirst();
        (hashed, byProbes) = (profile.UsesMd5Names, profile.IsProbeBased);
        byId = functions.ToDictionary(function => IdOf(function.Name), StringComparer.Ordinal);
        foreach (FunctionSamples function in functions)
        {
            total += function.TotalSamples;
            Stack<FunctionSamples> open = new([function]);
            while (open.TryPop(out FunctionSamples? part))
            {
                double own = 0;
                foreach ((_, BodySample sample) in part.Body)
                {
                    own += sample.Samples;
                    foreach ((string target, ulong calls) in sample.CallTargets)
                    {
                        Add(callers, target, function.Name, calls);
                        Add(callees, function.Name, target, calls);
                    }
                }
                bodies[part.Name] = bodies.GetValueOrDefault(part.Name) + own;
                foreach ((_, NameMap<FunctionSamples> copies) in part.Callsites)
                    foreach ((string name, FunctionSamples copy) in copies)
                    {
                        Add(inlinedInto, name, function.Name, copy.TotalSamples);
                        open.Push(copy);
                    }
            }
        }
    }

    /// <summary>A page of the functions whose name contains a text.</summary>
    public FunctionPage Page(string? search, string? sort, int offset, int limit)
    {
        IEnumerable<FunctionSamples> found = string.IsNullOrEmpty(search) ? functions
            : functions.Where(function => function.Name.Contains(search, StringComparison.OrdinalIgnoreCase));
        FunctionSamples[] matched = [.. sort switch
        {
            "head" => found.OrderByDescending(static function => function.HeadSamples),
            "name" => found.OrderBy(static function => function.Name, StringComparer.Ordinal),
            _ => found,
        }];
        return new FunctionPage([.. matched.Skip(offset).Take(limit).Select(Summary)], matched.Length, functions.Length, total);
    }

    /// <summary>A function in full; null when the profile has none of this id.</summary>
    public FunctionDetail? Function(string id)
    {
        if (!byId.TryGetValue(id, out FunctionSamples? function))
            return null;
        List<FunctionLine> lines = [];
        Lines(function, 0, lines);
        return new FunctionDetail(Summary(function), lines, Related(inlinedInto, function.Name), Related(callers, function.Name), Related(callees, function.Name))
        {
            ByProbes = byProbes,
        };
    }

    /// <summary>Inlining and calls as a tree, with the samples of another profile beside.</summary>
    public ProfileTree Tree(ProfileView? other)
    {
        List<Node> nodes = Expand();
        double[]? others = other is null ? null : Beside(nodes, other);
        Dictionary<string, int> names = new(StringComparer.Ordinal);
        List<string> list = [];
        List<IReadOnlyList<double>> rows = [];
        for (int i = 0; i < nodes.Count; i++)
        {
            if (!names.TryGetValue(nodes[i].Name, out int name))
            {
                names.Add(nodes[i].Name, name = list.Count);
                list.Add(nodes[i].Name);
            }
            rows.Add([nodes[i].Parent, name, nodes[i].IsInlined
                ? 1 : 0, Math.Round(nodes[i].Samples), others is null ? 0 : Math.Round(others[i])]);
        }
        return new ProfileTree(
            list, rows, total, other?.total ?? 0,
            Math.Max(0, total - nodes.Where(static node => node.Parent < 0).Sum(static node => node.Samples)));
    }

    /// <summary>
    /// The samples of another profile for each node: those of the same path, be its copies inlined there or called. A path that the other
    /// has not (its code was inlined elsewhere, or was too little to be shown) has what the function has there, in proportion: what differs
    /// is then the function and not the way to it.
    /// </summary>
    private double[] Beside(List<Node> nodes, ProfileView other)
    {
        List<Node> theirs = other.Expand();
        Dictionary<string, double> byPath = new(StringComparer.Ordinal);
        string[] paths = Paths(theirs), own = Paths(nodes);
        for (int i = 0; i < theirs.Count; i++)
            byPath[paths[i]] = byPath.GetValueOrDefault(paths[i]) + theirs[i].Samples;
        double[] beside = new double[nodes.Count];
        for (int i = 0; i < beside.Length; i++)
            beside[i] = byPath.TryGetValue(own[i], out double samples) ? samples
                : bodies.TryGetValue(nodes[i].Name, out double here) && here > 0
                    ? nodes[i].Samples * other.bodies.GetValueOrDefault(nodes[i].Name) / here : 0;
        return beside;
    }

    private sealed class Node(int parent, string name, bool isInlined, int depth, FunctionSamples? part, double share)
    {
        public int Parent => parent;
        public string Name => name;
        public bool IsInlined => isInlined;
        public int Depth => depth;
        public FunctionSamples? Part => part;

        /// <summary>How much of all runs of the function this path is.</summary>
        public double Share => share;

        public double Samples { get; set; }
    }

    /// <summary>
    /// Walks from what nobody calls down to callees, the heaviest first. What a function has is given to each caller as its calls are of
    /// all calls: with 3 calls from one and 1 from another, three quarters of it lie below the first.
    /// </summary>
    private List<Node> Expand()
    {
        List<Node> nodes = [];
        PriorityQueue<int, double> open = new();
        Dictionary<string, double> entries = functions.ToDictionary(
            static function => function.Name,
            function => Math.Max(
                function.HeadSamples, callers.TryGetValue(function.Name, out Dictionary<string, double>? from) ? from.Values.Sum() : 0),
                StringComparer.Ordinal);
        Dictionary<string, FunctionSamples> byName = functions.ToDictionary(static function => function.Name, StringComparer.Ordinal);
        Dictionary<string, double> whole = WithCallees(entries);
        Dictionary<FunctionSamples, double> weights = new(ReferenceEqualityComparer.Instance);
        foreach (FunctionSamples function in functions)
        {
            double called =
                callers.TryGetValue(function.Name, out Dictionary<string, double>? from)
                    ? from.Where(one => one.Key != function.Name).Sum(static one => one.Value) : 0;
            double entry = entries[function.Name] - (from?.GetValueOrDefault(function.Name) ?? 0);
            double share = entry <= 0 ? 1 : Math.Max(0, 1 - (called / entry));
            if (share > 0)
                Open(-1, function.Name, false, 0, function, share);
        }
        while (open.TryDequeue(out int at, out _) && nodes.Count < MaxNodes)
        {
            Node node = nodes[at];
            double inside = 0;
            foreach ((_, NameMap<FunctionSamples> copies) in node.Part!.Callsites)
                foreach ((string name, FunctionSamples copy) in copies)
                {
                    Open(at, name, true, node.Depth + 1, copy, node.Share);
                    inside += copy.TotalSamples;
                }
            foreach (IGrouping<string, KeyValuePair<string, ulong>> target in node.Part.Body.SelectMany(static line =>
                line.Value.CallTargets).GroupBy(static call => call.Key, StringComparer.Ordinal))
                if (byName.TryGetValue(target.Key, out FunctionSamples? callee) && entries[target.Key] > 0 && !IsBelow(at, target.Key))
                    Open(at, target.Key, false, node.Depth
                        + 1, callee, node.Share * Math.Min(1, target.Sum(static call => (double)call.Value) / entries[target.Key]));
        }
        // A copy's samples are part of its function's; a callee's are not: they add to all above, up to where it is called.
        for (int i = nodes.Count - 1; i >= 0; i--)
            if (nodes[i].Parent >= 0)
                nodes[nodes[i].Parent].Samples += nodes[i].IsInlined
                    ? nodes[i].Samples - (nodes[i].Part!.TotalSamples * nodes[i].Share) : nodes[i].Samples;
        return nodes;

        void Open(int parent, string name, bool isInlined, int depth, FunctionSamples part, double share)
        {
            // What lies below counts: main itself has next to nothing.
            double weight = WeightOf(part) * share;
            if (weight < total * MinShare || depth > MaxDepth || nodes.Count >= MaxNodes)
                return;
            nodes.Add(new Node(parent, name, isInlined, depth, part, share) { Samples = part.TotalSamples * share });
            open.Enqueue(nodes.Count - 1, -weight);
        }

        double WeightOf(FunctionSamples part)
        {
            if (weights.TryGetValue(part, out double weight))
                return weight;
            weight = part.TotalSamples;
            Stack<FunctionSamples> inside = new([part]);
            while (inside.TryPop(out FunctionSamples? one))
            {
                foreach ((_, BodySample sample) in one.Body)
                    foreach ((string target, ulong calls) in sample.CallTargets)
                        if (whole.TryGetValue(target, out double below) && entries[target] > 0)
                            weight += below * Math.Min(1, calls / entries[target]);
                foreach ((_, NameMap<FunctionSamples> copies) in one.Callsites)
                    foreach ((_, FunctionSamples copy) in copies)
                        inside.Push(copy);
            }
            return weights[part] = Math.Min(weight, total);
        }

        bool IsBelow(int at, string name)
        {
            for (; at >= 0; at = nodes[at].Parent)
                if (nodes[at].Name == name)
                    return true;
            return false;
        }
    }

    /// <summary>
    /// Each function's samples with those of all it calls, as far as chains of calls go; recursion is bounded by the profile's whole.
    /// </summary>
    private Dictionary<string, double> WithCallees(Dictionary<string, double> entries)
    {
        Dictionary<string, double> whole =
            functions.ToDictionary(
                static function => function.Name, static function => (double)function.TotalSamples, StringComparer.Ordinal);
        for (int round = 0; round < Rounds; round++)
        {
            Dictionary<string, double> next = new(whole.Count, StringComparer.Ordinal);
            foreach (FunctionSamples function in functions)
            {
                double sum = function.TotalSamples;
                if (callees.TryGetValue(function.Name, out Dictionary<string, double>? called))
                    foreach ((string target, double calls) in called)
                        if (target != function.Name && whole.TryGetValue(target, out double below) && entries[target] > 0)
                            sum += below * Math.Min(1, calls / entries[target]);
                next[function.Name] = Math.Min(sum, total);
            }
            whole = next;
        }
        return whole;
    }

    /// <summary>The functions from the root to each node, however they came to be there.</summary>
    private static string[] Paths(List<Node> nodes)
    {
        string[] paths = new string[nodes.Count];
        for (int i = 0; i < paths.Length; i++)
            paths[i] = $"{(nodes[i].Parent < 0 ? "" : FunctionNameHash.Of(paths[nodes[i].Parent]))} {nodes[i].Name}";
        return paths;
    }

    private void Lines(FunctionSamples function, int depth, List<FunctionLine> lines)
    {
        if (depth > MaxDepth)
            return;
        foreach ((LineLocation place, BodySample? line, NameMap<FunctionSamples>? copies) in function.Body.Select(
            static one => (one.Key, (BodySample?)one.Value, (NameMap<FunctionSamples>?)null))
            .Concat(function.Callsites.Select(static one => (one.Key, (BodySample?)null, (NameMap<FunctionSamples>?)one.Value)))
            .OrderBy(static one => one.Key))
        {
            if (lines.Count >= MaxLines)
                return;
            if (line is not null)
                lines.Add(new FunctionLine(
                    depth, place.LineOffset, place.Discriminator, line.Samples, null,
                    [.. line.CallTargets.OrderByDescending(static call => call.Value).Take(MaxRelated)
                        .Select(call => new RelatedFunction(IdOf(call.Key), call.Key, call.Value))]));
            if (copies is null)
                continue;
            foreach ((string name, FunctionSamples copy) in copies)
            {
                lines.Add(new FunctionLine(depth, place.LineOffset, place.Discriminator, copy.TotalSamples, name, []));
                Lines(copy, depth + 1, lines);
            }
        }
    }

    private FunctionSummary Summary(FunctionSamples function) => new(
        IdOf(function.Name), function.Name, function.TotalSamples, function.HeadSamples,
        inlinedInto.GetValueOrDefault(function.Name)?.Count ?? 0,
        callees.GetValueOrDefault(function.Name)?.Count ?? 0);

    private RelatedFunction[] Related(Dictionary<string, Dictionary<string, double>> how, string name) =>
        how.TryGetValue(name, out Dictionary<string, double>? related)
        ? [.. related.OrderByDescending(static one => one.Value).ThenBy(static one => one.Key, StringComparer.Ordinal).Take(MaxRelated)
            .Select(one => new RelatedFunction(IdOf(one.Key), one.Key, one.Value))]
        : [];

    private string IdOf(string name) =>
        hashed ? name : FunctionNameHash.Of(name).ToString(System.Globalization.CultureInfo.InvariantCulture);

    private static void Add(Dictionary<string, Dictionary<string, double>> to, string of, string name, double count)
    {
        if (!to.TryGetValue(of, out Dictionary<string, double>? counts))
            to.Add(of, counts = new(StringComparer.Ordinal));
        counts[name] = counts.GetValueOrDefault(name) + count;
    }
}

/// <summary>The profiles looked into last, so that who pages through one does not have it read each time.</summary>
internal sealed class ProfileViews
{
    private const int Kept = 4;

    private readonly HistoryOfService history;
    private readonly LinkedList<(string Profile, ProfileView View)> views = [];

    public ProfileViews(HistoryOfService history) => this.history = history;

    /// <summary>A kept profile, by its hash or its first digits.</summary>
    /// <exception cref="Http.ApiException">There is none, or it is in a form that is only written.</exception>
    public async Task<ProfileView> OpenAsync(string service, string hash, CancellationToken stop) =>
        await OpenAsync(await history.FindAsync(service, hash, stop), stop);

    /// <summary>A kept profile.</summary>
    /// <exception cref="Http.ApiException">It is no longer there, or in a form that is only written.</exception>
    public async Task<ProfileView> OpenAsync(Storage.KeptResult kept, CancellationToken stop)
    {
        lock (views)
            for (LinkedListNode<(string Profile, ProfileView View)>? node = views.First; node is not null; node = node.Next)
                if (node.Value.Profile == kept.Profile)
                    return node.Value.View;
        (SampleProfile profile, _) = await history.LoadAsync(kept, stop);
        ProfileView view = await Task.Run(() => new ProfileView(profile), stop);
        lock (views)
        {
            views.AddFirst((kept.Profile, view));
            if (views.Count > Kept)
                views.RemoveLast();
        }
        return view;
    }
}
