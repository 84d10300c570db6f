namespace Perforator.SampleProfiles;

/// <summary>
/// LLVM's sample profile: it names source, not addresses, so profiles of different builds of one program merge here.
/// </summary>
public sealed class SampleProfile
{
    /// <summary>Top-level functions by name.</summary>
    public Dictionary<string, FunctionSamples> Functions { get; } = new(StringComparer.Ordinal);

    /// <summary>Whether locations are pseudo probes rather than line offsets.</summary>
    public bool IsProbeBased { get; set; }

    /// <summary>Whether discriminators are flow-sensitive (FS-AFDO).</summary>
    public bool IsFlowSensitive { get; set; }

    /// <summary>Whether LLVM's context-sensitive pre-inliner marked the callees that should be inlined.</summary>
    public bool IsPreInlined { get; set; }

    /// <summary>
    /// Whether the profile is of shared code only, gathered from other programs; the compiler then takes missing functions for unknown, not
    /// cold.
    /// </summary>
    public bool IsPartial { get; set; }

    /// <summary>Whether names are MD5 hashes (in decimal) rather than names.</summary>
    public bool UsesMd5Names { get; set; }

    /// <summary>
    /// Whether functions have virtual tables (<see cref="FunctionSamples.VTables"/>), which binary readers before LLVM 22 do not know.
    /// </summary>
    public bool HasVTables { get; set; }

    /// <summary>
    /// The word that lines of virtual tables begin with: <c>vtables</c> as LLVM 22 writes it, or <c>&lt;vt-call&gt;</c> as earlier versions
    /// did.
    /// </summary>
    public string VTableKeyword { get; set; } = NewVTableKeyword;

    internal const string NewVTableKeyword = "vtables", OldVTableKeyword = "<vt-call>";

    /// <summary>
    /// All function symbols of the profiled binary (LLVM's profile symbol list): one that is listed but has no samples is known
    /// to be cold, not new. Empty when the profile carries no list.
    /// </summary>
    public SortedSet<string> Symbols { get; } = new(FunctionNameOrder.Names);

    /// <summary>The top-level function of a name, made at need.</summary>
    public FunctionSamples Function(string name)
    {
        if (!Functions.TryGetValue(name, out FunctionSamples? samples))
            Functions.Add(name, samples = new FunctionSamples(name));
        return samples;
    }

    /// <summary>
    /// Adds another profile, each count times <paramref name="weight"/>, saturating, as <c>llvm-profdata merge --sample</c> does.
    /// Where only one of both has MD5 names, the result has.
    /// </summary>
    /// <param name="losses">Counts what was left out.</param>
    /// <exception cref="UserErrorException">One profile is probe-based and the other is not.</exception>
    public void Merge(SampleProfile other, ulong weight, LossCounts losses)
    {
        bool isFirst = Functions.Count == 0;
        if (!isFirst && other.Functions.Count != 0 && IsProbeBased != other.IsProbeBased)
            throw new UserErrorException("a probe-based profile and one that is not do not merge; profile both builds the same way");
        IsPartial = other.IsPartial && (isFirst || IsPartial);
        IsProbeBased |= other.IsProbeBased;
        IsFlowSensitive |= other.IsFlowSensitive;
        IsPreInlined |= other.IsPreInlined;
        HasVTables |= other.HasVTables;
        if (isFirst)
            VTableKeyword = other.VTableKeyword;
        if (isFirst)
        {
            UsesMd5Names = other.UsesMd5Names;
        }
        else if (UsesMd5Names)
        {
            other = Md5Names.Of(other);
        }
        else if (other.UsesMd5Names)
        {
            SampleProfile hashed = Md5Names.Of(this);
            Functions.Clear();
            foreach ((string name, FunctionSamples function) in hashed.Functions)
                Functions.Add(name, function);
            UsesMd5Names = true;
        }

        foreach (FunctionSamples function in other.Functions.Values)
        {
            bool isNew = !Functions.ContainsKey(function.Name);
            FunctionSamples merged = Function(function.Name);
            if (isNew)
                merged.Attributes = function.Attributes;
            merged.Merge(function, weight, losses);
        }
        Symbols.UnionWith(other.Symbols);
    }

    /// <summary>
    /// The functions in the order in which LLVM writes and shows them: hottest first, then by name.
    /// </summary>
    public FunctionSamples[] HottestFirst()
    {
        FunctionSamples[] all = [.. Functions.Values];
        Array.Sort(all, (a, b) =>
            a.TotalSamples != b.TotalSamples ? b.TotalSamples.CompareTo(a.TotalSamples) : NameOrder.Compare(a.Name, b.Name));
        return all;
    }

    /// <summary>The order of this profile's function names.</summary>
    internal FunctionNameOrder NameOrder => UsesMd5Names ? FunctionNameOrder.Md5Names : FunctionNameOrder.Names;
}
