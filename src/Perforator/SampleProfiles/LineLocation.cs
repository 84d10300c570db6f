namespace Perforator.SampleProfiles;

/// <summary>
/// A place in a function: line offset from the function's start line and discriminator; for probe-based profiles the probe's
/// index and 0. LLVM's <c>sampleprof::LineLocation</c>.
/// </summary>
public readonly record struct LineLocation(uint LineOffset, uint Discriminator) : IComparable<LineLocation>
{
    /// <summary>Both numbers as one, in the order in which locations sort.</summary>
    internal ulong Key => (ulong)LineOffset << 32 | Discriminator;

    internal static LineLocation FromKey(ulong key) => new((uint)(key >> 32), (uint)key);

    /// <inheritdoc/>
    public int CompareTo(LineLocation other) => Key.CompareTo(other.Key);

    /// <summary>As the text format has it: the discriminator only where it is not 0.</summary>
    public override string ToString() => Discriminator == 0 ? $"{LineOffset}" : $"{LineOffset}.{Discriminator}";

    public static bool operator <(LineLocation a, LineLocation b) => a.Key < b.Key;
    public static bool operator >(LineLocation a, LineLocation b) => a.Key > b.Key;
    public static bool operator <=(LineLocation a, LineLocation b) => a.Key <= b.Key;
    public static bool operator >=(LineLocation a, LineLocation b) => a.Key >= b.Key;
}
