using System.Text.Encodings.Web;
using System.Text.Json;

namespace Perforator.SampleProfiles;

/// <summary>Prints profiles as <c>llvm-profdata show --sample --show-format=json</c> does.</summary>
public static class SampleProfileJson
{
    /// <summary>All functions, hottest first.</summary>
    public static void Write(Stream output, SampleProfile profile)
    {
        JsonWriterOptions options = new()
        {
            Indented = true,
            IndentSize = 2,
            NewLine = "\n",
            Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
            MaxDepth = 5 * FunctionSamples.MaxInlineDepth,
        };
        using (Utf8JsonWriter json = new(output, options))
        {
            json.WriteStartArray();
            foreach (FunctionSamples function in profile.HottestFirst())
                Function(json, function, profile, isTopLevel: true);
            json.WriteEndArray();
        }
        output.WriteByte((byte)'\n');
    }

    private static void Function(Utf8JsonWriter json, FunctionSamples function, SampleProfile profile, bool isTopLevel)
    {
        json.WriteStartObject();
        json.WriteString("name", function.Name);
        json.WriteNumber("total", function.TotalSamples);
        if (isTopLevel)
            json.WriteNumber("head", function.HeadSamples);
        if (function.Body.Count != 0)
        {
            json.WriteStartArray("body");
            foreach ((LineLocation location, BodySample sample) in function.Body)
            {
                Location(json, location);
                json.WriteNumber("samples", sample.Samples);
                if (sample.CallTargets.Count != 0)
                {
                    json.WriteStartArray("calls");
                    foreach ((string target, ulong count) in CallTargetOrder.Of(sample, profile.NameOrder))
                    {
                        json.WriteStartObject();
                        json.WriteString("function", target);
                        json.WriteNumber("samples", count);
                        json.WriteEndObject();
                    }
                    json.WriteEndArray();
                }
                json.WriteEndObject();
            }
            json.WriteEndArray();
        }
        if (function.Callsites.Count != 0)
        {
            json.WriteStartArray("callsites");
            foreach ((LineLocation location, NameMap<FunctionSamples> callees) in function.Callsites)
                foreach (FunctionSamples callee in CallTargetOrder.Of(callees, profile.NameOrder))
                {
                    Location(json, location);
                    json.WriteStartArray("samples");
                    Function(json, callee, profile, isTopLevel: false);
                    json.WriteEndArray();
                    json.WriteEndObject();
                }
            json.WriteEndArray();
        }
        json.WriteEndObject();
    }

    /// <summary>Opens the object of a location.</summary>
    private static void Location(Utf8JsonWriter json, LineLocation location)
    {
        json.WriteStartObject();
        json.WriteNumber("line", location.LineOffset);
        if (location.Discriminator != 0)
            json.WriteNumber("discriminator", location.Discriminator);
    }
}
