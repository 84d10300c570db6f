using Perforator.Bytes;

namespace Perforator.SampleProfiles;

/// <summary>
/// LLVM's text format, byte for byte as <c>SampleProfileWriterText</c> writes it: hottest function first, body lines before inlined
/// callees, one space of indentation a level, metadata last.
/// </summary>
internal sealed class SampleProfileTextWriter
{
    private readonly ByteWriter output;
    private readonly SampleProfile profile;

    public SampleProfileTextWriter(ByteWriter output, SampleProfile profile)
    {
        this.output = output;
        this.profile = profile;
    }

    public void Write()
    {
        foreach (FunctionSamples function in profile.HottestFirst())
        {
            Header(function);
            Char(':');
            output.WriteDecimal(function.HeadSamples);
            Char('\n');
            Function(function, indent: 1);
        }
    }

    private void Header(FunctionSamples function)
    {
        output.WriteUtf8(function.Name);
        Char(':');
        output.WriteDecimal(function.TotalSamples);
    }

    private void Function(FunctionSamples function, int indent)
    {
        foreach ((LineLocation location, BodySample sample) in function.Body)
        {
            Location(location, indent);
            output.WriteDecimal(sample.Samples);
            foreach ((string target, ulong count) in CallTargetOrder.Of(sample, profile.NameOrder))
            {
                Char(' ');
                output.WriteUtf8(target);
                Char(':');
                output.WriteDecimal(count);
            }
            Char('\n');
            VTables(function, location, indent);
        }
        foreach ((LineLocation location, NameMap<FunctionSamples> callees) in function.Callsites)
        {
            foreach (FunctionSamples callee in CallTargetOrder.Of(callees, profile.NameOrder))
            {
                Location(location, indent);
                Header(callee);
                Char('\n');
                Function(callee, indent + 1);
            }
            // LLVM writes them twice where a place has samples and inlined callees, so that they double when they are read again.
            if (!function.Body.TryGetValue(location, out _))
                VTables(function, location, indent);
        }
        foreach ((LineLocation location, _) in function.VTables)
            if (!function.Body.TryGetValue(location, out _) && !function.Callsites.TryGetValue(location, out _))
                VTables(function, location, indent);
        if (profile.IsProbeBased)
            Metadata("!CFGChecksum: "u8, function.Checksum, indent);
        if (function.Attributes != 0)
            Metadata("!Attributes: "u8, (ulong)function.Attributes, indent);
        if (function.IsMarkedFlat)
            output.WriteUtf8(" !Flat\n");
    }

    /// <summary>The virtual tables seen at a place, by name, if there are any; the newer form ends in a blank.</summary>
    private void VTables(FunctionSamples function, LineLocation location, int indent)
    {
        if (!function.VTables.TryGetValue(location, out NameMap<ulong>? seen))
            return;
        Location(location, indent);
        output.WriteUtf8(profile.VTableKeyword);
        foreach ((string vtable, ulong count) in seen)
        {
            Char(' ');
            output.WriteUtf8(vtable);
            Char(':');
            output.WriteDecimal(count);
        }
        if (profile.VTableKeyword == SampleProfile.NewVTableKeyword)
            Char(' ');
        Char('\n');
    }

    private void Metadata(ReadOnlySpan<byte> key, ulong value, int indent)
    {
        Indent(indent);
        output.WriteBytes(key);
        output.WriteDecimal(value);
        Char('\n');
    }

    private void Location(LineLocation location, int indent)
    {
        Indent(indent);
        output.WriteDecimal(location.LineOffset);
        if (location.Discriminator != 0)
        {
            Char('.');
            output.WriteDecimal(location.Discriminator);
        }
        Char(':');
        Char(' ');
    }

    private void Indent(int indent)
    {
        for (int i = 0; i < indent; i++)
            Char(' ');
    }

    private void Char(char c) => output.WriteU8((byte)c);
}
