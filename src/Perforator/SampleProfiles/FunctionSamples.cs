namespace Perforator.SampleProfiles;

/// <summary>LLVM's <c>ContextAttributeMask</c>: what the compiler or the profile generator decided about a function.</summary>
[Flags]
public enum ContextAttributes : uint
{
    None = 0,
    WasInlined = 1,
    ShouldBeInlined = 2,

    /// <summary>The samples of this inlined copy are also in the function's own profile, so summaries skip it.</summary>
    DuplicatedIntoBase = 4,
}

/// <summary>Samples of one function or of one inlined copy of it. LLVM's <c>FunctionSamples</c>.</summary>
public sealed class FunctionSamples
{
    /// <summary>
    /// How deep inlined callees may nest. Compilers stay far below; readers reject more, so that walking a profile
    /// recursively is safe.
    /// </summary>
    public const int MaxInlineDepth = 500;

    /// <summary>Why <see cref="Merge"/> leaves something out.</summary>
    public const string ChecksumMismatch = "function whose control flow differs between the merged profiles (checksum mismatch)";

    private LocationMap<NameMap<ulong>>? vtables;

    public FunctionSamples(string name) => Name = name;

    /// <summary>Linkage name, canonicalised; in profiles with MD5 names, the decimal hash.</summary>
    public string Name { get; }

    /// <summary>Samples of the body and of everything inlined into it.</summary>
    public ulong TotalSamples { get; set; }

    /// <summary>How often the function was entered; 0 for inlined copies.</summary>
    public ulong HeadSamples { get; set; }

    /// <summary>Checksum of the control-flow graph, of probe-based profiles; 0 when unknown.</summary>
    public ulong Checksum { get; set; }

    /// <summary>What the compiler or the profile generator decided about the function.</summary>
    public ContextAttributes Attributes { get; set; }

    /// <summary>Body samples by place.</summary>
    public LocationMap<BodySample> Body { get; } = new();

    /// <summary>Inlined callees by place and name.</summary>
    public LocationMap<NameMap<FunctionSamples>> Callsites { get; } = new();

    /// <summary>The virtual tables that calls at a place were seen to go through, by symbol, with how often (LLVM 22).</summary>
    public LocationMap<NameMap<ulong>> VTables => vtables ?? LocationMap<NameMap<ulong>>.Empty;

    /// <summary>Whether the profile's writer marked it as one without inlined callees, <c>!Flat</c> (LLVM 21).</summary>
    public bool IsMarkedFlat { get; set; }

    /// <summary>Adds calls through a virtual table, saturating.</summary>
    public void AddVTable(LineLocation location, string vtable, ulong count, ulong weight = 1)
    {
        NameMap<ulong> at = (vtables ??= new()).GetOrAdd(location, static () => new());
        at.TryGetValue(vtable, out ulong known);
        at.Set(vtable, SampleCount.AddWeighted(known, count, weight));
    }

    /// <summary>Adds to <see cref="TotalSamples"/>, saturating.</summary>
    public void AddTotalSamples(ulong count, ulong weight = 1) => TotalSamples = SampleCount.AddWeighted(TotalSamples, count, weight);

    /// <summary>Adds to <see cref="HeadSamples"/>, saturating.</summary>
    public void AddHeadSamples(ulong count, ulong weight = 1) => HeadSamples = SampleCount.AddWeighted(HeadSamples, count, weight);

    /// <summary>The body sample of a place, made at need.</summary>
    public BodySample BodyAt(LineLocation location) => Body.GetOrAdd(location, static () => new BodySample());

    /// <summary>The copy of a function inlined at a place, made at need.</summary>
    public FunctionSamples InlinedAt(LineLocation location, string callee)
    {
        NameMap<FunctionSamples> callees = Callsites.GetOrAdd(location, static () => new());
        if (!callees.TryGetValue(callee, out FunctionSamples? samples))
            callees.Set(callee, samples = new FunctionSamples(callee));
        return samples;
    }

    /// <summary>
    /// Adds another profile of the function, each count times <paramref name="weight"/>, saturating. LLVM's
    /// <c>FunctionSamples::merge</c>: what has another control-flow checksum is of another version of the function and is left out.
    /// </summary>
    /// <param name="losses">Counts what was left out.</param>
    public void Merge(FunctionSamples other, ulong weight, LossCounts losses)
    {
        if (Checksum == 0)
        {
            Checksum = other.Checksum;
        }
        else if (Checksum != other.Checksum)
        {
            losses.Add(ChecksumMismatch);
            return;
        }
        AddTotalSamples(other.TotalSamples, weight);
        AddHeadSamples(other.HeadSamples, weight);
        foreach ((LineLocation location, BodySample sample) in other.Body)
            BodyAt(location).Merge(sample, weight);
        foreach ((LineLocation location, NameMap<ulong> seen) in other.VTables)
            foreach ((string vtable, ulong count) in seen)
                AddVTable(location, vtable, count, weight);
        foreach ((LineLocation location, NameMap<FunctionSamples> callees) in other.Callsites)
            foreach (FunctionSamples callee in callees.Values)
            {
                bool isNew = !Callsites.TryGetValue(location, out NameMap<FunctionSamples>? known) || !known.ContainsKey(callee.Name);
                FunctionSamples merged = InlinedAt(location, callee.Name);
                if (isNew)
                    merged.Attributes = callee.Attributes;
                merged.Merge(callee, weight, losses);
            }
    }

    /// <summary>Whether <see cref="Merge"/> would take all of the other profile.</summary>
    public bool CanMerge(FunctionSamples other) =>
        (Checksum == 0 || Checksum == other.Checksum)
        && other.Callsites.All(site => !Callsites.TryGetValue(site.Key, out NameMap<FunctionSamples>? known)
            || site.Value.Values.All(callee => !known.TryGetValue(callee.Name, out FunctionSamples? own) || own.CanMerge(callee)));

    /// <summary>
    /// An estimate of how often the entry block ran: the samples of the lowest location, at least 1 when there are any samples.
    /// LLVM's <c>getHeadSamplesEstimate</c> for profiles without calling context.
    /// </summary>
    public ulong HeadSamplesEstimate
    {
        get
        {
            ulong count = 0;
            if (Body.Count != 0 && (Callsites.Count == 0 || Body.First.Key < Callsites.First.Key))
                count = Body.First.Value.Samples;
            else if (Callsites.Count != 0)
                foreach (FunctionSamples callee in Callsites.First.Value.Values)
                    count = SampleCount.Add(count, callee.HeadSamplesEstimate);
            return count != 0 ? count : TotalSamples > 0 ? 1UL : 0;
        }
    }
}
