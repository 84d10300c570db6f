namespace Perforator.SampleProfiles;

/// <summary>
/// Takes inlining out of a profile: what ran in inlined copies of a function counts for the function itself, and the place it was
/// inlined at becomes a call. LLVM's <c>ProfileConverter::flattenProfile</c>.
/// </summary>
public static class ProfileFlattening
{
    /// <summary>A copy without inlined callees.</summary>
    public static SampleProfile Flatten(SampleProfile profile)
    {
        SampleProfile flat = new()
        {
            UsesMd5Names = profile.UsesMd5Names,
            IsProbeBased = profile.IsProbeBased,
            IsFlowSensitive = profile.IsFlowSensitive,
            IsPreInlined = profile.IsPreInlined,
            IsPartial = profile.IsPartial,
            HasVTables = profile.HasVTables,
            VTableKeyword = profile.VTableKeyword,
        };
        flat.Symbols.UnionWith(profile.Symbols);
        foreach (FunctionSamples function in profile.Functions.Values)
            Add(function, flat);
        return flat;
    }

    private static void Add(FunctionSamples function, SampleProfile flat)
    {
        bool isNew = !flat.Functions.ContainsKey(function.Name);
        FunctionSamples target = flat.Function(function.Name);
        if (isNew)
        {
            target.Checksum = function.Checksum;
            target.Attributes = function.Attributes;
        }
        foreach ((LineLocation location, BodySample sample) in function.Body)
            target.BodyAt(location).Merge(sample);
        foreach ((LineLocation location, NameMap<ulong> seen) in function.VTables)
            foreach ((string vtable, ulong count) in seen)
                target.AddVTable(location, vtable, count);

        // A function's total need not be the sum of its parts, so its callees' totals are taken out of it rather than the parts added.
        ulong total = function.TotalSamples;
        foreach ((LineLocation location, NameMap<FunctionSamples> callees) in function.Callsites)
            foreach (FunctionSamples callee in callees.Values)
            {
                ulong entered = callee.HeadSamplesEstimate;
                BodySample call = target.BodyAt(location);
                call.AddSamples(entered);
                call.AddCallTarget(callee.Name, entered);
                total = (total >= callee.TotalSamples ? total - callee.TotalSamples : 0) + entered;
                Add(callee, flat);
            }
        target.AddTotalSamples(total);
        target.HeadSamples = target.HeadSamplesEstimate;
    }
}
