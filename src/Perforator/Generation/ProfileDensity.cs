using Perforator.SampleProfiles;

namespace Perforator.Generation;

/// <summary>How thickly samples lie over the code that matters.</summary>
public static class ProfileDensity
{
    /// <summary>The density from which on LLVM holds a profile to be dense enough.</summary>
    public const double Enough = 50;

    /// <summary>The share of all samples, from the densest function downwards, that the functions looked at hold.</summary>
    private const float Cutoff = 990_000;

    /// <summary>
    /// Samples per profiled line of the least dense function among the densest ones that together hold 99 % of all samples. Computed
    /// as llvm-profgen's <c>calculateDensity</c> does.
    /// </summary>
    public static double Of(SampleProfile profile)
    {
        List<(double Density, ulong Samples)> functions = [];
        ulong total = 0;
        foreach (FunctionSamples function in profile.Functions.Values)
        {
            (ulong samples, ulong lines) = BodyOf(function);
            if (lines == 0)
                continue;
            functions.Add(((double)samples / lines, samples));
            total = SampleCount.Add(total, samples);
        }
        functions.Sort(static (a, b) => a.Density != b.Density ? b.Density.CompareTo(a.Density) : a.Samples.CompareTo(b.Samples));

        double density = 0;
        ulong seen = 0;
        for (int i = 0; i < functions.Count && seen < total * Cutoff / 1_000_000; i++)
        {
            seen = SampleCount.Add(seen, functions[i].Samples);
            density = functions[i].Density;
        }
        return density;
    }

    /// <summary>The functions that hold a count of at least <paramref name="hotCount"/>, and the share of all samples they hold.</summary>
    public static (int Functions, double Coverage) HotFunctions(SampleProfile profile, ulong hotCount)
    {
        int hot = 0;
        ulong hotSamples = 0, total = 0;
        foreach (FunctionSamples function in profile.Functions.Values)
        {
            (ulong samples, _) = BodyOf(function);
            total = SampleCount.Add(total, samples);
            if (samples == 0 || !HasCount(function, hotCount))
                continue;
            hot++;
            hotSamples = SampleCount.Add(hotSamples, samples);
        }
        return (hot, total == 0 ? 0 : (double)hotSamples / total);
    }

    /// <summary>Samples and number of a function's lines, those of inlined copies included.</summary>
    private static (ulong Samples, ulong Lines) BodyOf(FunctionSamples function)
    {
        ulong samples = 0, lines = (ulong)function.Body.Count;
        foreach ((_, BodySample body) in function.Body)
            samples = SampleCount.Add(samples, body.Samples);
        foreach ((_, SortedDictionary<string, FunctionSamples> callees) in function.Callsites)
        {
            foreach (FunctionSamples callee in callees.Values)
            {
                (ulong inlinedSamples, ulong inlinedLines) = BodyOf(callee);
                samples = SampleCount.Add(samples, inlinedSamples);
                lines += inlinedLines;
            }
        }
        return (samples, lines);
    }

    private static bool HasCount(FunctionSamples function, ulong count)
    {
        foreach ((_, BodySample body) in function.Body)
            if (body.Samples >= count)
                return true;
        foreach ((_, SortedDictionary<string, FunctionSamples> callees) in function.Callsites)
            foreach (FunctionSamples callee in callees.Values)
                if (HasCount(callee, count))
                    return true;
        return false;
    }
}
