using System.Globalization;
using System.Text;

namespace Perforator.SampleProfiles;

/// <summary>Prints profiles as <c>llvm-profdata show --sample</c> does.</summary>
public static class SampleProfileText
{
    /// <summary>Where the columns of the list of hot functions start.</summary>
    private static readonly int[] Columns = [0, 24, 42, 58];

    /// <summary>All functions, hottest first.</summary>
    public static void Write(TextWriter output, SampleProfile profile)
    {
        foreach (FunctionSamples function in profile.HottestFirst())
            Write(output, function, profile);
    }

    /// <summary>One function.</summary>
    public static void Write(TextWriter output, FunctionSamples function, SampleProfile profile)
    {
        output.Write($"Function: {function.Name}: ");
        Body(output, function, profile, indent: 0);
    }

    /// <summary>The list of hot functions.</summary>
    /// <param name="top">How many to list at most; 0 for all.</param>
    public static string HotFunctions(ProfileQuality quality, int top = 0)
    {
        StringBuilder text = new();
        double share = quality.Functions == 0 ? 0 : (double)quality.HotFunctions.Count / quality.Functions;
        text.Append(CultureInfo.InvariantCulture, $"{quality.HotFunctions.Count} out of {quality.Functions} functions with profile ({Percent(share)}) are ")
            .Append(CultureInfo.InvariantCulture, $"considered hot functions (max sample >= {quality.HotCountThreshold}).\n")
            .Append(CultureInfo.InvariantCulture, $"{quality.HotSamples} out of {quality.TotalSamples} profile counts ({Percent(quality.HotCoverage)}) ")
            .Append("are from hot functions.\n");
        TextColumns.Append(text, Columns, [" Total sample (%)", "Max sample", "Entry sample", "Function name"]);
        foreach (HotFunction function in top == 0 ? quality.HotFunctions : quality.HotFunctions.Take(top))
        {
            double part = quality.TotalSamples == 0 ? 0 : (double)function.TotalSamples / quality.TotalSamples;
            TextColumns.Append(text, Columns,
            [
                string.Create(CultureInfo.InvariantCulture, $" {function.TotalSamples} ({Percent(part)})"),
                function.MaxSamples.ToString(CultureInfo.InvariantCulture),
                function.EntrySamples.ToString(CultureInfo.InvariantCulture),
                function.Name,
            ]);
        }
        return text.ToString();
    }

    private static string Percent(double ratio) => (ratio * 100).ToString("F2", CultureInfo.InvariantCulture) + "%";

    private static void Body(TextWriter output, FunctionSamples function, SampleProfile profile, int indent)
    {
        string margin = new(' ', indent);
        if (function.Checksum != 0)
            output.Write($"CFG checksum {function.Checksum}\n");
        output.Write($"{function.TotalSamples}, {function.HeadSamples}, {function.Body.Count} sampled lines\n{margin}");
        if (function.Body.Count == 0)
        {
            output.Write("No samples collected in the function's body\n");
        }
        else
        {
            output.Write("Samples collected in the function's body {\n");
            foreach ((LineLocation location, BodySample sample) in function.Body)
            {
                output.Write($"{margin}  {location}: {sample.Samples}");
                if (sample.CallTargets.Count != 0)
                    output.Write(", calls:");
                foreach ((string target, ulong count) in CallTargetOrder.Of(sample, profile.NameOrder))
                    output.Write($" {target}:{count}");
                output.Write('\n');
                VTables(location);
            }
            output.Write($"{margin}}}\n");
        }
        output.Write(margin);
        if (function.Callsites.Count == 0)
        {
            output.Write("No inlined callsites in this function\n");
            return;
        }
        output.Write("Samples collected in inlined callsites {\n");
        foreach ((LineLocation location, NameMap<FunctionSamples> callees) in function.Callsites)
        {
            foreach (FunctionSamples callee in CallTargetOrder.Of(callees, profile.NameOrder))
            {
                output.Write($"{margin}  {location}: inlined callee: {callee.Name}: ");
                Body(output, callee, profile, indent + 4);
            }
            VTables(location);
        }
        output.Write($"{margin}}}\n");

        void VTables(LineLocation location)
        {
            if (!function.VTables.TryGetValue(location, out NameMap<ulong>? seen))
                return;
            output.Write($"{margin}  {location}: vtables: ");
            foreach ((string vtable, ulong count) in seen)
                output.Write($"{vtable}:{count} ");
            output.Write('\n');
        }
    }
}
