namespace Perforator.SampleProfiles;

/// <summary>
/// A place in a function: line offset from the function's start line and discriminator; for probe-based profiles the probe's
/// index and 0. LLVM's <c>sampleprof::LineLocation</c>.
/// </summary>
public readonly record struct LineLocation(uint LineOffset, uint Discriminator) : IComparable<LineLocation>
{
    /// <inheritdoc/>
    public int CompareTo(LineLocation other) =>
        LineOffset != other.LineOffset ? LineOffset.CompareTo(other.LineOffset) : Discriminator.CompareTo(other.Discriminator);

    public static bool operator <(LineLocation a, LineLocation b) => a.CompareTo(b) < 0;
    public static bool operator >(LineLocation a, LineLocation b) => a.CompareTo(b) > 0;
    public static bool operator <=(LineLocation a, LineLocation b) => a.CompareTo(b) <= 0;
    public static bool operator >=(LineLocation a, LineLocation b) => a.CompareTo(b) >= 0;
}

/// <summary>Samples of one line location, with the functions called from it. LLVM's <c>SampleRecord</c>.</summary>
public sealed class BodySample
{
    /// <summary>How often the location ran.</summary>
    public ulong Samples { get; set; }

    /// <summary>Functions called from here that were not inlined, by linkage name, with how often each was.</summary>
    public SortedDictionary<string, ulong> CallTargets { get; } = new(StringComparer.Ordinal);
}

/// <summary>Samples of one function or of one inlined copy of it. LLVM's <c>FunctionSamples</c>.</summary>
public sealed class FunctionSamples
{
    public FunctionSamples(string name) => Name = name;

    /// <summary>Linkage name, canonicalised; in profiles with MD5 names, the decimal hash.</summary>
    public string Name { get; }

    /// <summary>Samples of the body and of everything inlined into it.</summary>
    public ulong TotalSamples { get; set; }

    /// <summary>How often the function was entered; 0 for inlined copies.</summary>
    public ulong HeadSamples { get; set; }

    /// <summary>Checksum of the control-flow graph, of probe-based profiles; null otherwise.</summary>
    public ulong? Checksum { get; set; }

    /// <summary>LLVM's context attributes (<c>ContextAttributeMask</c>: 1 was inlined, 2 should be inlined).</summary>
    public uint Attributes { get; set; }

    /// <summary>Body samples by place.</summary>
    public SortedDictionary<LineLocation, BodySample> Body { get; } = [];

    /// <summary>Inlined callees by place and name.</summary>
    public SortedDictionary<LineLocation, SortedDictionary<string, FunctionSamples>> Callsites { get; } = [];
}

/// <summary>
/// LLVM's sample profile: it names source, not addresses, so profiles of different builds of one program merge here.
/// </summary>
public sealed class SampleProfile
{
    /// <summary>Top-level functions by name.</summary>
    public SortedDictionary<string, FunctionSamples> Functions { get; } = new(StringComparer.Ordinal);

    /// <summary>Whether locations are pseudo probes rather than line offsets.</summary>
    public bool IsProbeBased { get; set; }

    /// <summary>Whether discriminators are flow-sensitive (FS-AFDO).</summary>
    public bool IsFlowSensitive { get; set; }

    /// <summary>Whether names are MD5 hashes rather than names.</summary>
    public bool UsesMd5Names { get; set; }

    /// <summary>
    /// All function symbols of the profiled binary (LLVM's profile symbol list): one that is listed but has no samples is known
    /// to be cold, not new. Empty when the profile carries no list.
    /// </summary>
    public SortedSet<string> Symbols { get; } = new(StringComparer.Ordinal);
}
