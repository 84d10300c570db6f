using System.Globalization;
using Perforator.SampleProfiles;

namespace Perforator.Generation;

/// <summary>What the compiler that a profile is for makes of it, a sentence each for the report.</summary>
public static class ConsumerNotes
{
    /// <summary>How the profile is used, and what of it the compiler cannot use.</summary>
    public static IEnumerable<string> Of(ProfileForm form, SampleProfile profile)
    {
        if (form.Target == TargetCompiler.Go)
        {
            yield return "Use it with go build -pgo=FILE. Go uses calls, for inlining and devirtualisation, and no other branches.";
        }
        else if (form.Target == TargetCompiler.Gcc)
        {
            string other =
                form.GccVersion >= 16
                    ? "GCC 16 and newer; for GCC 12 to 15 give --gcc-version 15" : "GCC 12 to 15; for GCC 16 give --gcc-version 16";
            yield return $"Use it with gcc -O2 -g1 -fauto-profile=FILE ({other}).";
            ulong nameless = 0, total = 0;
            foreach (FunctionSamples function in profile.Functions.Values)
                AddInlined(function, ref nameless, ref total);
            if (nameless != 0)
                yield return string.Create(CultureInfo.InvariantCulture,
                    $"{100.0 * nameless / total:0.0} % of the samples in inlined C++ functions are in some that neither debug info nor symbols have a mangled name of (in anonymous namespaces, inlined everywhere): GCC uses their counts, but does not inline early by them.");
        }
    }

    private static void AddInlined(FunctionSamples function, ref ulong nameless, ref ulong total)
    {
        bool isCpp = function.Name.StartsWith("_Z", StringComparison.Ordinal);
        foreach ((_, NameMap<FunctionSamples> callees) in function.Callsites)
            foreach ((_, FunctionSamples callee) in callees)
            {
                if (isCpp)
                {
                    total = SampleCount.Add(total, callee.TotalSamples);
                    if (!callee.Name.StartsWith("_Z", StringComparison.Ordinal))
                        nameless = SampleCount.Add(nameless, callee.TotalSamples);
                }
                AddInlined(callee, ref nameless, ref total);
            }
    }
}
