using System.Globalization;
using System.Text;
using Perforator.Api;
using Perforator.Branches;
using Perforator.SampleProfiles;

namespace Perforator.Server.Results;

/// <summary>What changed from one generated profile to another.</summary>
internal static class ProfileComparison
{
    /// <summary>How many of a kind are named.</summary>
    private const int MaxNamed = 50;

    /// <summary>Compares two profiles.</summary>
    /// <exception cref="UserErrorException">They do not compare: one is probe-based and the other is not.</exception>
    public static ProfileDiff Compare(string fromHash, SampleProfile from, string toHash, SampleProfile to)
    {
        double overlap = ProfileOverlap.Compare(from, to).Similarity;
        Dictionary<string, ulong> hotBefore = Hot(from), hotAfter = Hot(to);
        FunctionChange[] hot = [.. hotAfter.Where(f => !hotBefore.ContainsKey(f.Key)).OrderByDescending(static f => f.Value)
            .ThenBy(static f => f.Key, StringComparer.Ordinal).Take(MaxNamed)
            .Select(f => new FunctionChange(f.Key, SamplesOf(from, f.Key), f.Value))];
        FunctionChange[] cold = [.. hotBefore.Where(f => !hotAfter.ContainsKey(f.Key)).OrderByDescending(static f => f.Value)
            .ThenBy(static f => f.Key, StringComparer.Ordinal).Take(MaxNamed)
            .Select(f => new FunctionChange(f.Key, f.Value, SamplesOf(to, f.Key)))];
        Dictionary<(string, string), ulong> inlinedBefore = Inlined(from), inlinedAfter = Inlined(to);
        InliningChange[] gained = Missing(inlinedAfter, inlinedBefore), lost = Missing(inlinedBefore, inlinedAfter);
        return new ProfileDiff(fromHash, toHash, overlap, hot, cold, gained, lost, Text(overlap, hot, cold, gained, lost));
    }

    private static Dictionary<string, ulong> Hot(SampleProfile profile) =>
        ProfileQuality.Of(profile).HotFunctions.ToDictionary(static f => f.Name, static f => f.TotalSamples, StringComparer.Ordinal);

    private static ulong SamplesOf(SampleProfile profile, string function) =>
        profile.Functions.TryGetValue(function, out FunctionSamples? samples) ? samples.TotalSamples : 0;

    /// <summary>Samples of inlined copies, by the function that holds the call and the one that was inlined.</summary>
    private static Dictionary<(string Function, string Callee), ulong> Inlined(SampleProfile profile)
    {
        Dictionary<(string, string), ulong> inlined = [];
        Stack<FunctionSamples> open = new(profile.Functions.Values);
        while (open.TryPop(out FunctionSamples? function))
            foreach ((LineLocation _, NameMap<FunctionSamples> callees) in function.Callsites)
                foreach ((string name, FunctionSamples callee) in callees)
                {
                    inlined[(function.Name, name)] = inlined.GetValueOrDefault((function.Name, name)) + callee.TotalSamples;
                    open.Push(callee);
                }
        return inlined;
    }

    private static InliningChange[] Missing(
        Dictionary<(string Function, string Callee), ulong> of, Dictionary<(string Function, string Callee), ulong> from) =>
        [.. of.Where(call => !from.ContainsKey(call.Key)).OrderByDescending(static call => call.Value)
            .ThenBy(static call => call.Key.Function, StringComparer.Ordinal).ThenBy(static call => call.Key.Callee, StringComparer.Ordinal)
            .Take(MaxNamed)
            .Select(static call => new InliningChange(call.Key.Function, call.Key.Callee, call.Value))];

    private static string Text(double overlap, FunctionChange[] hot, FunctionChange[] cold, InliningChange[] gained, InliningChange[] lost)
    {
        StringBuilder text = new();
        text.Append(CultureInfo.InvariantCulture, $"Overlap: {100 * overlap:0.00} %\n");
        foreach (FunctionChange f in hot)
            text.Append(CultureInfo.InvariantCulture, $"became hot: {Shown(f.Function)} ({f.FromSamples} to {f.ToSamples} samples)\n");
        foreach (FunctionChange f in cold)
            text.Append(CultureInfo.InvariantCulture, $"became cold: {Shown(f.Function)} ({f.FromSamples} to {f.ToSamples} samples)\n");
        foreach (InliningChange call in gained)
            text.Append(CultureInfo.InvariantCulture, $"inlining gained: {Shown(call.Callee)} into {Shown(call.Function)} ({call.Samples} samples)\n");
        foreach (InliningChange call in lost)
            text.Append(CultureInfo.InvariantCulture, $"inlining lost: {Shown(call.Callee)} into {Shown(call.Function)} ({call.Samples} samples)\n");
        return text.ToString();
    }

    private static string Shown(string name) => ProfileLabels.Printable(name, 300);
}
