using Perforator.Bytes;

namespace Perforator.SampleProfiles;

/// <summary>
/// What LLVM's two binary formats share: the summary, the name table and the function records, written as
/// <c>SampleProfileWriterBinary</c> does.
/// </summary>
internal sealed class SampleProfileBinaryWriter
{
    private readonly ByteWriter output;
    private readonly SampleProfile profile;
    private readonly Dictionary<string, uint> nameIndices = new(StringComparer.Ordinal);
    private string[] names = [];

    private readonly bool hasVTables;

    /// <param name="hasVTables">Whether each function's record ends in the virtual tables seen in it.</param>
    public SampleProfileBinaryWriter(ByteWriter output, SampleProfile profile, bool hasVTables = false)
    {
        this.output = output;
        this.profile = profile;
        this.hasVTables = hasVTables;
        CollectNames();
    }

    /// <summary>Every function name of the profile, in name order.</summary>
    public IReadOnlyList<string> Names => names;

    /// <summary>The whole file in the binary format: magic, summary, names, functions.</summary>
    public void WriteFile()
    {
        if (profile.IsProbeBased)
            throw new UserErrorException("the binary format cannot hold a probe-based profile; use extbinary or text");
        output.WriteULeb128(BinaryFormat.BinaryMagic);
        output.WriteULeb128(BinaryFormat.Version);
        WriteSummary();
        WriteNames();
        foreach (FunctionSamples function in profile.HottestFirst())
            WriteFunction(function);
    }

    public void WriteSummary()
    {
        ProfileSummary summary = ProfileSummary.Compute(profile);
        output.WriteULeb128(summary.TotalCount);
        output.WriteULeb128(summary.MaxCount);
        output.WriteULeb128(summary.MaxFunctionCount);
        output.WriteULeb128(summary.NumCounts);
        output.WriteULeb128(summary.NumFunctions);
        output.WriteULeb128((ulong)summary.Entries.Length);
        foreach (ProfileSummaryEntry entry in summary.Entries)
        {
            output.WriteULeb128(entry.Cutoff);
            output.WriteULeb128(entry.MinCount);
            output.WriteULeb128(entry.NumCounts);
        }
    }

    /// <summary>The name table as NUL-terminated strings.</summary>
    public void WriteNames()
    {
        output.WriteULeb128((ulong)names.Length);
        foreach (string name in names)
        {
            output.WriteUtf8(name);
            output.WriteU8(0);
        }
    }

    /// <summary>The name table as 64-bit hashes of fixed length.</summary>
    public void WriteMd5Names()
    {
        output.WriteULeb128((ulong)names.Length);
        foreach (string name in names)
            output.WriteU64(profile.UsesMd5Names && ulong.TryParse(name, out ulong hash) ? hash : FunctionNameHash.Of(name));
    }

    /// <summary>One top-level function: head samples, then its record.</summary>
    public void WriteFunction(FunctionSamples function)
    {
        output.WriteULeb128(function.HeadSamples);
        WriteRecord(function);
    }

    public void WriteName(string name) => output.WriteULeb128(nameIndices[name]);

    private void WriteRecord(FunctionSamples function)
    {
        WriteName(function.Name);
        output.WriteULeb128(function.TotalSamples);
        output.WriteULeb128((ulong)function.Body.Count);
        foreach ((LineLocation location, BodySample sample) in function.Body)
        {
            WriteLocation(location);
            output.WriteULeb128(sample.Samples);
            output.WriteULeb128((ulong)sample.CallTargets.Count);
            if (sample.CallTargets.Count != 0)
                foreach ((string target, ulong count) in CallTargetOrder.Of(sample, profile.NameOrder))
                {
                    WriteName(target);
                    output.WriteULeb128(count);
                }
        }
        WriteInlined(function, WriteRecord);
        if (hasVTables)
            WriteVTables(function);
    }

    /// <summary>For each place, how many virtual tables were seen there, then name and count of each.</summary>
    private void WriteVTables(FunctionSamples function)
    {
        output.WriteULeb128((ulong)function.VTables.Count);
        foreach ((LineLocation location, NameMap<ulong> seen) in function.VTables)
        {
            WriteLocation(location);
            output.WriteULeb128((ulong)seen.Count);
            foreach ((string vtable, ulong count) in seen)
            {
                WriteName(vtable);
                output.WriteULeb128(count);
            }
        }
    }

    /// <summary>How many callees are inlined, then location and record of each.</summary>
    public void WriteInlined(FunctionSamples function, Action<FunctionSamples> write)
    {
        ulong count = 0;
        foreach ((_, NameMap<FunctionSamples> callees) in function.Callsites)
            count += (ulong)callees.Count;
        output.WriteULeb128(count);
        foreach ((LineLocation location, NameMap<FunctionSamples> callees) in function.Callsites)
            foreach (FunctionSamples callee in CallTargetOrder.Of(callees, profile.NameOrder))
            {
                WriteLocation(location);
                write(callee);
            }
    }

    private void WriteLocation(LineLocation location)
    {
        output.WriteULeb128(location.LineOffset);
        output.WriteULeb128(location.Discriminator);
    }

    private void CollectNames()
    {
        foreach (FunctionSamples function in profile.Functions.Values)
            Collect(function);
        names = [.. nameIndices.Keys];
        Array.Sort(names, profile.NameOrder);
        for (int i = 0; i < names.Length; i++)
            nameIndices[names[i]] = (uint)i;

        void Collect(FunctionSamples function)
        {
            nameIndices.TryAdd(function.Name, 0);
            foreach ((_, BodySample sample) in function.Body)
                if (sample.CallTargets.Count != 0)
                    foreach ((string target, _) in sample.CallTargets)
                        nameIndices.TryAdd(target, 0);
            if (hasVTables)
                foreach ((_, NameMap<ulong> seen) in function.VTables)
                    foreach ((string vtable, _) in seen)
                        nameIndices.TryAdd(vtable, 0);
            foreach ((_, NameMap<FunctionSamples> callees) in function.Callsites)
                foreach ((_, FunctionSamples callee) in callees)
                    Collect(callee);
        }
    }
}
