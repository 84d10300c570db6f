namespace Perforator.SampleProfiles.Gcc;

/// <summary>
/// A sample profile in GCC's terms: names as GCC looks them up, functions that thereby share a name added up, places that GCC cannot
/// hold left out.
/// </summary>
public static class GccProfile
{
    /// <summary>Why a place is left out.</summary>
    public const string TooFar = "a line offset or discriminator above 65535, which GCC's profiles cannot hold";

    /// <summary>
    /// Copies inlined at more levels than this are not added to their functions by <see cref="OfInlined"/>: each level holds all below it
    /// once more. Compilers stay below.
    /// </summary>
    private const int MaxLevels = 32;

    /// <summary>Makes the profile.</summary>
    /// <param name="losses">Counts the samples of what is left out.</param>
    /// <exception cref="UserErrorException">GCC can do nothing with it: it is of pseudo probes or has no names.</exception>
    public static SampleProfile Of(SampleProfile profile, LossCounts losses)
    {
        if (profile.IsProbeBased)
            throw new UserErrorException(
                "the profile is of pseudo probes, which only clang has: GCC needs one of lines, from a build by gcc -g1");
        if (profile.UsesMd5Names)
            throw new UserErrorException("the profile has hashes for names, and GCC needs the names: write it without --use-md5");
        SampleProfile result = new();
        foreach (FunctionSamples function in profile.HottestFirst())
        {
            FunctionSamples own = result.Function(GccFormat.NameOf(function.Name));
            own.AddHeadSamples(function.HeadSamples);
            Add(own, function, losses);
        }
        return result;
    }

    /// <summary>
    /// What GCC up to 15 is to have of the functions that were inlined somewhere: their own samples with those of all their inlined copies.
    /// It takes the samples of an inlined copy only where it inlines early itself, and then knows nothing of the function anywhere else;
    /// GCC 16 adds such samples up itself.
    /// </summary>
    /// <param name="profile">What <see cref="Of"/> made.</param>
    public static SampleProfile OfInlined(SampleProfile profile)
    {
        SampleProfile result = new();
        LossCounts none = new();
        foreach (FunctionSamples function in profile.HottestFirst())
            AddInlined(result, function, level: 1, none);
        foreach (FunctionSamples function in result.Functions.Values)
            if (profile.Functions.TryGetValue(function.Name, out FunctionSamples? own))
                function.Merge(own, 1, none);
        return result;
    }

    private static void AddInlined(SampleProfile to, FunctionSamples from, int level, LossCounts losses)
    {
        if (level > MaxLevels)
            return;
        foreach ((_, NameMap<FunctionSamples> callees) in from.Callsites)
            foreach ((_, FunctionSamples callee) in callees)
            {
                FunctionSamples own = to.Function(callee.Name);
                own.Merge(callee, 1, losses);
                own.AddHeadSamples(callee.HeadSamplesEstimate);
                AddInlined(to, callee, level + 1, losses);
            }
    }

    private static void Add(FunctionSamples to, FunctionSamples from, LossCounts losses)
    {
        to.AddTotalSamples(from.TotalSamples);
        foreach ((LineLocation location, BodySample sample) in from.Body)
        {
            if (!GccFormat.Holds(location))
            {
                losses.Add(TooFar, sample.Samples);
                continue;
            }
            BodySample body = to.BodyAt(location);
            body.AddSamples(sample.Samples);
            foreach ((string target, ulong count) in sample.CallTargets)
                body.AddCallTarget(GccFormat.NameOf(target), count);
        }
        foreach ((LineLocation location, NameMap<FunctionSamples> callees) in from.Callsites)
            foreach ((_, FunctionSamples callee) in callees)
                if (GccFormat.Holds(location))
                    Add(to.InlinedAt(location, GccFormat.NameOf(callee.Name)), callee, losses);
                else
                    losses.Add(TooFar, callee.TotalSamples);
    }
}
