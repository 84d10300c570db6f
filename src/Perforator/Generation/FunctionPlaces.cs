using Perforator.SampleProfiles;
using Perforator.Symbolize;

namespace Perforator.Generation;

/// <summary>A line of a source file.</summary>
/// <param name="File">Its path as the compiler had it.</param>
/// <param name="Line">Counted from 1.</param>
public readonly record struct SourcePlace(string File, uint Line);

/// <summary>
/// Where in source a profile's counts of a function, and of what is inlined into it, are of, as a binary's debug info tells.
/// </summary>
public sealed class FunctionPlaces
{
    private readonly Symbolizer symbolizer;
    private readonly Dictionary<string, SourcePlace> starts = new(StringComparer.Ordinal);
    private readonly Dictionary<(ulong Function, uint Probe), SourcePlace> probes = [];
    private readonly HashSet<InlineContext> seen = [];

    internal FunctionPlaces(Symbolizer symbolizer) => this.symbolizer = symbolizer;

    /// <summary>Where a function begins; null when it is not one of these, or debug info names no file.</summary>
    public SourcePlace? StartOf(string function) => starts.TryGetValue(function, out SourcePlace start) ? start : null;

    /// <summary>The line of a count in a profile by lines.</summary>
    /// <param name="function">The function, or the inlined one, that the count is of.</param>
    /// <param name="offset">Lines behind its first one, as profiles have them: modulo 2^16.</param>
    public SourcePlace? LineOf(string function, uint offset) =>
        StartOf(function) is { } start ? start with { Line = start.Line + offset } : null;

    /// <summary>The line of a count in a profile by pseudo probes: of an instruction that the probe stands at.</summary>
    public SourcePlace? ProbeOf(string function, uint probe) =>
        probes.TryGetValue((FunctionNameHash.Of(function), probe), out SourcePlace place) ? place : null;

    /// <summary>Takes over the functions of a location.</summary>
    internal void Add(SourceLocation location)
    {
        for (InlineContext? context = location.Context; context is not null && seen.Add(context); context = context.Caller)
            if (context.Function.Length > 0 && context.StartLine != 0 && symbolizer.FindFile(context) is { } file)
                starts.TryAdd(CanonicalName.Of(context.Function), new SourcePlace(file, context.StartLine));
    }

    /// <summary>Takes over a probe at a location.</summary>
    internal void Add(SourceLocation location, PseudoProbe probe)
    {
        foreach (SourceFrame frame in location.Frames())
            if (frame.Line != 0 && CanonicalName.Of(frame.Function) is var name && FunctionNameHash.Of(name) == probe.Node.Guid
                && StartOf(name) is { } start)
            {
                probes.TryAdd((probe.Node.Guid, probe.Index), start with { Line = frame.Line });
                return;
            }
    }
}
