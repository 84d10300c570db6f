using System.Text;
using Perforator.Bytes;

namespace Perforator.SampleProfiles.Gcc;

/// <summary>Writes the profile that <c>gcc -fauto-profile=FILE</c> reads.</summary>
public static class GccProfileWriter
{
    /// <summary>GCC's counters are signed.</summary>
    private const ulong MaxCount = long.MaxValue;

    /// <summary>Encodes a profile.</summary>
    /// <param name="gcc">Major version of the GCC that is to read it.</param>
    /// <param name="losses">Counts what GCC's format cannot hold.</param>
    /// <exception cref="UserErrorException">That GCC reads no such profiles, or the profile is of no use to GCC.</exception>
    public static byte[] ToBytes(SampleProfile source, int gcc, LossCounts? losses = null)
    {
        if (gcc < GccFormat.OldestGcc)
            throw new UserErrorException(
                $"GCC {gcc} reads another format: its profiles can be written for GCC {GccFormat.OldestGcc} and newer");
        SampleProfile profile = GccProfile.Of(source, losses ?? new LossCounts());
        FunctionSamples[] functions = profile.HottestFirst();
        uint version = GccFormat.VersionFor(gcc);
        ByteWriter output = new(4096);
        output.WriteU32(GccFormat.GCOV_DATA_MAGIC);
        output.WriteU32(version);
        output.WriteU32(0);
        if (version == GccFormat.Version3)
            WriteSummary(output, profile);
        Dictionary<string, uint> names = WriteNames(output, functions, version);

        // Of functions of one name GCC up to 15 keeps the last, and our reader the first, which is what was sampled.
        if (version == GccFormat.Version2)
        {
            FunctionSamples[] inlined = GccProfile.OfInlined(profile).HottestFirst();
            functions =
            [
                .. functions,
                .. inlined.Where(function => !profile.Functions.ContainsKey(function.Name))
                    .Select(static function => new FunctionSamples(function.Name)),
                .. inlined,
            ];
        }
        int start = BeginSection(output, GccFormat.GCOV_TAG_AFDO_FUNCTION);
        output.WriteU32((uint)functions.Length);
        foreach (FunctionSamples function in functions)
        {
            // A function that ran was entered, if before the recording began: with 0 here GCC would take it for never called.
            output.WriteU64(Math.Min(MaxCount, Math.Max(function.HeadSamples, function.TotalSamples == 0 ? 0UL : 1)));
            if (version == GccFormat.Version3)
                output.WriteU64(0);
            WriteFunction(output, function, names);
        }
        EndSection(output, start);
        EndSection(output, BeginSection(output, GccFormat.GCOV_TAG_MODULE_GROUPING));
        output.WriteU32(0);
        return output.Written.ToArray();
    }

    private static void WriteSummary(ByteWriter output, SampleProfile profile)
    {
        ProfileSummary summary = ProfileSummary.Compute(profile);
        output.WriteU32(GccFormat.GCOV_TAG_AFDO_SUMMARY);
        output.WriteU64(summary.TotalCount);
        output.WriteU64(summary.MaxCount);
        output.WriteU64(summary.MaxFunctionCount);
        output.WriteU64(summary.NumCounts);
        output.WriteU64(summary.NumFunctions);
        output.WriteU64((ulong)summary.Entries.Length);
        foreach (ProfileSummaryEntry entry in summary.Entries)
        {
            output.WriteU32(entry.Cutoff);
            output.WriteU64(entry.MinCount);
            output.WriteU64(entry.NumCounts);
        }
    }

    /// <summary>Writes all names in order; the first is empty, as GCC asserts that no function has index 0.</summary>
    private static Dictionary<string, uint> WriteNames(ByteWriter output, FunctionSamples[] functions, uint version)
    {
        SortedSet<string> sorted = new(StringComparer.Ordinal) { "" };
        foreach (FunctionSamples function in functions)
            Collect(function, sorted);
        int start = BeginSection(output, GccFormat.GCOV_TAG_AFDO_FILE_NAMES);
        if (version == GccFormat.Version3)
            output.WriteU32(0);
        output.WriteU32((uint)sorted.Count);
        Dictionary<string, uint> indices = new(sorted.Count, StringComparer.Ordinal);
        foreach (string name in sorted)
        {
            indices.Add(name, (uint)indices.Count);
            output.WriteU32((uint)Encoding.UTF8.GetByteCount(name) + 1);
            output.WriteUtf8(name);
            output.WriteU8(0);
            if (version == GccFormat.Version3)
                output.WriteU32(GccFormat.NoFile);
        }
        EndSection(output, start);
        return indices;
    }

    private static void Collect(FunctionSamples function, SortedSet<string> names)
    {
        names.Add(function.Name);
        foreach ((_, BodySample sample) in function.Body)
            foreach ((string target, _) in sample.CallTargets)
                names.Add(target);
        foreach ((_, NameMap<FunctionSamples> callees) in function.Callsites)
            foreach ((_, FunctionSamples callee) in callees)
                Collect(callee, names);
    }

    private static void WriteFunction(ByteWriter output, FunctionSamples function, Dictionary<string, uint> names)
    {
        output.WriteU32(names[function.Name]);
        output.WriteU32((uint)function.Body.Count);
        int callsites = 0;
        foreach ((_, NameMap<FunctionSamples> callees) in function.Callsites)
            callsites += callees.Count;
        output.WriteU32((uint)callsites);
        foreach ((LineLocation location, BodySample sample) in function.Body)
        {
            output.WriteU32(GccFormat.Position(location));
            output.WriteU32((uint)sample.CallTargets.Count);
            output.WriteU64(Math.Min(MaxCount, sample.Samples));
            foreach ((string target, ulong count) in CallTargetOrder.Of(sample, FunctionNameOrder.Names))
            {
                output.WriteU32(GccFormat.HIST_TYPE_INDIR_CALL);
                output.WriteU64(names[target]);
                output.WriteU64(Math.Min(MaxCount, count));
            }
        }
        foreach ((LineLocation location, NameMap<FunctionSamples> callees) in function.Callsites)
            foreach (FunctionSamples callee in CallTargetOrder.Of(callees, FunctionNameOrder.Names))
            {
                output.WriteU32(GccFormat.Position(location));
                WriteFunction(output, callee, names);
            }
    }

    /// <summary>Writes a section's tag and room for its length; returns where it begins.</summary>
    private static int BeginSection(ByteWriter output, uint tag)
    {
        output.WriteU32(tag);
        output.WriteU32(0);
        return output.Position;
    }

    /// <summary>Fills in the length, which GCC skips.</summary>
    private static void EndSection(ByteWriter output, int start) => output.PatchU32(start - 4, (uint)(output.Position - start));
}
