using System.Diagnostics.CodeAnalysis;

namespace Perforator;

/// <summary>
/// Identifies one binary by content: the descriptor of its NT_GNU_BUILD_ID note, or, for a binary without one, a pseudo build id
/// hashed from its contents. Kept as lower-case hexadecimal.
/// </summary>
public readonly struct BuildId : IEquatable<BuildId>, IComparable<BuildId>
{
    /// <summary>The longest build id accepted, in bytes; real ones have 8 (Go, lld fast), 16 (md5, uuid) or 20 (sha1).</summary>
    public const int MaxLength = 64;

    /// <summary>
    /// Bytes of the hash that stands in for the build id of a file without one: more than any linker writes, so that it is not taken for a
    /// build id that a build store would have.
    /// </summary>
    public const int ContentHashLength = 24;

    private readonly string? hex;

    private BuildId(string hex) => this.hex = hex;

    /// <summary>Whether no build id is known.</summary>
    public bool IsEmpty => string.IsNullOrEmpty(hex);

    /// <summary>Whether it is a hash of a file's content, as the file has no build id: no recording or build store knows it.</summary>
    public bool IsContentHash => hex?.Length == 2 * ContentHashLength;

    /// <summary>Makes a build id from the note's descriptor bytes.</summary>
    /// <exception cref="ArgumentException">The descriptor is empty or longer than <see cref="MaxLength"/>.</exception>
    public static BuildId FromBytes(ReadOnlySpan<byte> descriptor)
    {
        if (descriptor.IsEmpty || descriptor.Length > MaxLength)
            throw new ArgumentException($"a build id has 1 to {MaxLength} bytes, not {descriptor.Length}", nameof(descriptor));
        char[] digits = new char[2 * descriptor.Length];
        for (int i = 0; i < digits.Length; i++)
            digits[i] = "0123456789abcdef"[i % 2 == 0 ? descriptor[i / 2] >> 4 : descriptor[i / 2] & 0xf];
        return new BuildId(new string(digits));
    }

    /// <summary>Reads the hexadecimal form; upper case is accepted.</summary>
    public static bool TryParse([NotNullWhen(true)] string? text, out BuildId id)
    {
        id = default;
        if (text is null || text.Length == 0 || text.Length > 2 * MaxLength || text.Length % 2 != 0)
            return false;
        foreach (char c in text)
            if (!char.IsAsciiHexDigit(c))
                return false;
        id = new BuildId(text.ToLowerInvariant());
        return true;
    }

    /// <summary>Reads the hexadecimal form.</summary>
    /// <exception cref="FormatException">Not an even number of hexadecimal digits.</exception>
    public static BuildId Parse(string text) =>
        TryParse(text, out BuildId id)
            ? id : throw new FormatException($"'{text}' is not a build id: an even number of hexadecimal digits is expected");

    /// <summary>
    /// Whether both are of one binary: equal, or one is the other padded with zeros to 20 bytes, as recorders write it that have no place
    /// for its length (perf before Linux 5.11, simpleperf).
    /// </summary>
    public bool IsSameAs(BuildId other)
    {
        const int PaddedDigits = 40, ShortestDigits = 8;
        (string shorter, string longer) = ToString().Length <= other.ToString().Length
            ? (ToString(), other.ToString()) : (other.ToString(), ToString());
        return shorter == longer
            || (longer.Length == PaddedDigits && shorter.Length >= ShortestDigits && longer.StartsWith(shorter, StringComparison.Ordinal)
                && longer.AsSpan(shorter.Length).TrimStart('0').IsEmpty);
    }

    /// <summary>The descriptor bytes.</summary>
    public byte[] ToBytes() => hex is null ? [] : Convert.FromHexString(hex);

    /// <summary>The hexadecimal form, lower case; empty when no build id is known.</summary>
    public override string ToString() => hex ?? "";

    /// <inheritdoc/>
    public bool Equals(BuildId other) => ToString() == other.ToString();

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is BuildId other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => ToString().GetHashCode(StringComparison.Ordinal);

    /// <inheritdoc/>
    public int CompareTo(BuildId other) => string.CompareOrdinal(ToString(), other.ToString());

    public static bool operator ==(BuildId a, BuildId b) => a.Equals(b);
    public static bool operator !=(BuildId a, BuildId b) => !a.Equals(b);
    public static bool operator <(BuildId a, BuildId b) => a.CompareTo(b) < 0;
    public static bool operator >(BuildId a, BuildId b) => a.CompareTo(b) > 0;
    public static bool operator <=(BuildId a, BuildId b) => a.CompareTo(b) <= 0;
    public static bool operator >=(BuildId a, BuildId b) => a.CompareTo(b) >= 0;
}
