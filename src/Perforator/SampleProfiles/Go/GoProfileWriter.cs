using System.IO.Compression;
using Perforator.Bytes;

namespace Perforator.SampleProfiles.Go;

/// <summary>
/// Writes the CPU profile (pprof, gzip) that <c>go build -pgo=FILE</c> reads. Go's compiler makes of a profile a graph of calls: caller,
/// line of the call behind the caller's first line, callee, weight. Each such call is one sample here, of two frames, whose value is how
/// often the call ran, whether it was inlined in the profiled build or not.
/// </summary>
/// <remarks>
/// Sample profiles have lines relative to the function's first and no file names; Go subtracts <c>Function.start_line</c> from the
/// line, so every function begins at line 1 here.
/// </remarks>
public static class GoProfileWriter
{
    /// <summary>Why a call is left out.</summary>
    public const string BeforeFunction = "a call on a line before its function's first, which Go's profiles cannot place";

    private const int FirstLine = 1;

    /// <summary>Encodes a profile.</summary>
    /// <param name="losses">Counts the calls that are left out.</param>
    /// <exception cref="UserErrorException">Go can do nothing with it: it is of pseudo probes or has no names.</exception>
    public static byte[] ToBytes(SampleProfile profile, LossCounts? losses = null)
    {
        if (profile.IsProbeBased)
            throw new UserErrorException("the profile is of pseudo probes, which only clang has: Go needs one of a build by go build");
        if (profile.UsesMd5Names)
            throw new UserErrorException("the profile has hashes for names, and Go needs the names: write it without --use-md5");
        Message message = new(losses ?? new LossCounts());
        foreach (FunctionSamples function in profile.HottestFirst())
            message.AddCalls(function);
        using MemoryStream compressed = new();
        using (GZipStream gzip = new(compressed, CompressionLevel.Optimal))
            gzip.Write(message.Encode());
        return compressed.ToArray();
    }

    /// <summary>A function's name as Go's own profiles have it: type arguments are "...". Go's <c>funcNameForPrint</c>.</summary>
    internal static string NameOf(string function)
    {
        int open = function.IndexOf('['), close = function.LastIndexOf(']');
        return open < 0 || close < open ? function : string.Concat(function.AsSpan(0, open), "[...]", function.AsSpan(close + 1));
    }

    /// <summary>The profile message of pprof's profile.proto; fields by their numbers there.</summary>
    private sealed class Message(LossCounts losses)
    {
        private readonly ByteWriter body = new(4096);
        private readonly ByteWriter tables = new(4096);
        private readonly Dictionary<string, ulong> strings = new(StringComparer.Ordinal) { [""] = 0 };
        private readonly Dictionary<string, ulong> functions = new(StringComparer.Ordinal);
        private readonly Dictionary<(ulong Function, uint Line), ulong> locations = [];

        public void AddCalls(FunctionSamples function)
        {
            foreach ((LineLocation location, BodySample sample) in function.Body)
                foreach ((string target, ulong count) in CallTargetOrder.Of(sample, FunctionNameOrder.Names))
                    AddCall(function.Name, location, target, count);
            foreach ((LineLocation location, NameMap<FunctionSamples> callees) in function.Callsites)
                foreach (FunctionSamples callee in CallTargetOrder.Of(callees, FunctionNameOrder.Names))
                {
                    AddCall(function.Name, location, callee.Name, callee.TotalSamples == 0 ? 0 : callee.HeadSamplesEstimate);
                    AddCalls(callee);
                }
        }

        public ReadOnlySpan<byte> Encode()
        {
            // Profile.sample_type: ValueType { type = 1, unit = 2 }.
            ByteWriter type = new(16);
            Field(type, 1, String("samples"));
            Field(type, 2, String("count"));
            ByteWriter whole = new(body.Position + tables.Position + 4096);
            Bytes(whole, 1, type.Written);
            whole.WriteBytes(body.Written);
            whole.WriteBytes(tables.Written);
            foreach (string text in strings.Keys)
                Bytes(whole, 6, System.Text.Encoding.UTF8.GetBytes(text));
            return whole.Written;
        }

        private void AddCall(string caller, LineLocation call, string callee, ulong count)
        {
            if (count == 0)
                return;
            if (call.LineOffset > 0x7fff)
            {
                losses.Add(BeforeFunction, count);
                return;
            }
            // Sample { location_id = 1 (leaf first), value = 2 }.
            ByteWriter sample = new(24);
            Field(sample, 1, Location(callee, FirstLine));
            Field(sample, 1, Location(caller, FirstLine + call.LineOffset));
            Field(sample, 2, Math.Min(count, long.MaxValue));
            Bytes(body, 2, sample.Written);
        }

        private ulong Location(string function, uint line)
        {
            ulong callee = Function(NameOf(function));
            if (locations.TryGetValue((callee, line), out ulong id))
                return id;
            locations.Add((callee, line), id = (ulong)locations.Count + 1);
            // Location { id = 1, address = 3, line = 4: Line { function_id = 1, line = 2 } }; the address only tells locations apart.
            ByteWriter place = new(16), location = new(32);
            Field(place, 1, callee);
            Field(place, 2, line);
            Field(location, 1, id);
            Field(location, 3, id);
            Bytes(location, 4, place.Written);
            Bytes(tables, 4, location.Written);
            return id;
        }

        private ulong Function(string name)
        {
            if (functions.TryGetValue(name, out ulong id))
                return id;
            functions.Add(name, id = (ulong)functions.Count + 1);
            // Function { id = 1, name = 2, system_name = 3, start_line = 5 }.
            ByteWriter function = new(32);
            Field(function, 1, id);
            Field(function, 2, String(name));
            Field(function, 3, String(name));
            Field(function, 5, FirstLine);
            Bytes(tables, 5, function.Written);
            return id;
        }

        private ulong String(string text)
        {
            if (!strings.TryGetValue(text, out ulong index))
                strings.Add(text, index = (ulong)strings.Count);
            return index;
        }

        private static void Field(ByteWriter output, uint field, ulong value)
        {
            output.WriteULeb128(field << 3);
            output.WriteULeb128(value);
        }

        private static void Bytes(ByteWriter output, uint field, ReadOnlySpan<byte> bytes)
        {
            output.WriteULeb128(field << 3 | 2);
            output.WriteULeb128((ulong)bytes.Length);
            output.WriteBytes(bytes);
        }
    }
}
