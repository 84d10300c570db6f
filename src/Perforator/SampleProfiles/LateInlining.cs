namespace Perforator.SampleProfiles;

/// <summary>
/// Takes some inlined copies out of a profile. What a profile says was inlined, clang's profile loader inlines first of all, before
/// anything of the callee is simplified; what it does not say is left to the ordinary inliner, which comes later and meets simplified
/// callees. For most copies the former is better, as each then has counts of its own.
/// </summary>
/// <remarks>
/// The latter is better for
/// <list type="bullet">
/// <item>callees without a choice, a few lines that all run equally often: they have no counts to lose, and simplified by themselves they
/// may become one instruction (a rotation, say) that is not found any more among the caller's code;</item>
/// <item>callees that call the function they are inlined into: with them inside it calls itself, and so is never inlined itself.</item>
/// </list>
/// The place of such a copy becomes a call, and its counts go to the callee's own. docs/performance.md has what that gains.
/// </remarks>
public static class LateInlining
{
    /// <summary>Lines, or probes, of a callee without a choice.</summary>
    private const int FewLines = 4;

    /// <summary>Counts are equal that differ by no more than this share: sampling errs.</summary>
    private const double Equal = 0.02;

    /// <summary>Changes a profile.</summary>
    /// <returns>How many copies were taken out.</returns>
    public static int Apply(SampleProfile profile)
    {
        FunctionSamples[] functions = profile.HottestFirst();
        int taken = 0;
        foreach (FunctionSamples function in functions)
            taken += TakeOut(function, profile, inner: false, callee => Calls(callee, function.Name));
        foreach (FunctionSamples function in profile.HottestFirst())
            taken += TakeOut(function, profile, inner: true, HasNoChoice);
        return taken;
    }

    /// <param name="inner">Whether to look inside a callee before deciding on it.</param>
    private static int TakeOut(FunctionSamples function, SampleProfile profile, bool inner, Func<FunctionSamples, bool> isWanted)
    {
        int taken = 0;
        foreach ((LineLocation location, NameMap<FunctionSamples> callees) in function.Callsites.ToArray())
        {
            bool isOnly = callees.Count == 1;
            foreach (FunctionSamples callee in callees.Values.ToArray())
            {
                if (inner)
                    taken += TakeOutInside(function, callee, profile, inner, isWanted);
                // Of several callees of one place, promoted from an indirect call, none is without a choice: the place has one.
                if ((!inner || isOnly) && isWanted(callee) && Fits(callee, profile))
                {
                    // First, or a copy of a function inside itself would be merged into what it is merged from.
                    callees.Remove(callee.Name);
                    BecomeCall(function, location, callee, profile);
                    taken++;
                }
                else if (!inner)
                {
                    taken += TakeOutInside(function, callee, profile, inner, isWanted);
                }
            }
            if (callees.Count == 0)
                function.Callsites.Remove(location);
        }
        return taken;
    }

    private static int TakeOutInside(
        FunctionSamples function, FunctionSamples callee, SampleProfile profile, bool inner, Func<FunctionSamples, bool> isWanted)
    {
        ulong before = callee.TotalSamples;
        int taken = TakeOut(callee, profile, inner, isWanted);
        function.TotalSamples = SampleCount.Add(Less(function.TotalSamples, before), callee.TotalSamples);
        return taken;
    }

    private static void BecomeCall(FunctionSamples caller, LineLocation location, FunctionSamples callee, SampleProfile profile)
    {
        ulong entered = callee.HeadSamplesEstimate;
        BodySample call = caller.BodyAt(location);
        ulong added = Less(entered, call.Samples);
        call.AddSamples(added);
        call.AddCallTarget(callee.Name, entered);
        caller.TotalSamples = SampleCount.Add(Less(caller.TotalSamples, callee.TotalSamples), added);
        FunctionSamples own = profile.Function(callee.Name);
        own.Merge(callee, 1, new LossCounts());
        own.AddHeadSamples(entered);
    }

    /// <summary>Whether the callee's own function can take its counts: clang would refuse those of another control flow.</summary>
    private static bool Fits(FunctionSamples callee, SampleProfile profile) =>
        !profile.Functions.TryGetValue(callee.Name, out FunctionSamples? own) || own.CanMerge(callee);

    private static bool HasNoChoice(FunctionSamples callee)
    {
        if (callee.Callsites.Count != 0 || callee.Body.Count is 0 or > FewLines
            || callee.Body.Any(static line => line.Value.CallTargets.Count != 0))
            return false;
        ulong least = callee.Body.Min(static line => line.Value.Samples), most = callee.Body.Max(static line => line.Value.Samples);
        return most != 0 && most - least <= Equal * most;
    }

    private static bool Calls(FunctionSamples function, string name) =>
        function.Body.Any(line => line.Value.CallTargets.ContainsKey(name))
            || function.Callsites.Any(site => site.Value.Values.Any(callee => Calls(callee, name)));

    private static ulong Less(ulong from, ulong what) => from >= what ? from - what : 0;
}
