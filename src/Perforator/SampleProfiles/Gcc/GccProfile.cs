namespace Perforator.SampleProfiles.Gcc;

/// <summary>
/// A sample profile in GCC's terms: names as GCC looks them up, functions that thereby share a name added up, places that GCC cannot
/// hold left out.
/// </summary>
public static class GccProfile
{
    /// <summary>Why a place is left out.</summary>
    public const string TooFar = "a line offset or discriminator above 65535, which GCC's profiles cannot hold";

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
