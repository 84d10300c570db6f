using System.Globalization;

namespace Perforator.SampleProfiles;

/// <summary>Replaces the names of a profile by their hashes, as profiles written with MD5 names have them.</summary>
public static class Md5Names
{
    /// <summary>A copy with MD5 names; a profile that has them already is returned as it is. Its symbol list keeps real names.</summary>
    public static SampleProfile Of(SampleProfile profile)
    {
        if (profile.UsesMd5Names)
            return profile;
        SampleProfile copy = new()
        {
            UsesMd5Names = true,
            IsProbeBased = profile.IsProbeBased,
            IsFlowSensitive = profile.IsFlowSensitive,
            IsPreInlined = profile.IsPreInlined,
            IsPartial = profile.IsPartial,
            HasVTables = profile.HasVTables,
            VTableKeyword = profile.VTableKeyword,
        };
        copy.Symbols.UnionWith(profile.Symbols);
        foreach (FunctionSamples function in profile.Functions.Values)
            Copy(function, copy.Function(Hash(function.Name)));
        return copy;
    }

    private static string Hash(string name) => FunctionNameHash.Of(name).ToString(CultureInfo.InvariantCulture);

    private static void Copy(FunctionSamples from, FunctionSamples to)
    {
        to.TotalSamples = from.TotalSamples;
        to.HeadSamples = from.HeadSamples;
        to.Checksum = from.Checksum;
        to.Attributes = from.Attributes;
        foreach ((LineLocation location, BodySample sample) in from.Body)
        {
            BodySample copy = to.BodyAt(location);
            copy.AddSamples(sample.Samples);
            foreach ((string target, ulong count) in sample.CallTargets)
                copy.AddCallTarget(Hash(target), count);
        }
        foreach ((LineLocation location, NameMap<ulong> seen) in from.VTables)
            foreach ((string vtable, ulong count) in seen)
                to.AddVTable(location, Hash(vtable), count);
        foreach ((LineLocation location, NameMap<FunctionSamples> callees) in from.Callsites)
            foreach (FunctionSamples callee in callees.Values)
                Copy(callee, to.InlinedAt(location, Hash(callee.Name)));
    }
}
