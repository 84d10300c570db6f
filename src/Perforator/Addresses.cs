using System.Globalization;

namespace Perforator;

/// <summary>An address in a running process: a virtual address after load-time relocation (ASLR included).</summary>
public readonly record struct RuntimeAddress(ulong Value) : IComparable<RuntimeAddress>
{
    /// <inheritdoc/>
    public int CompareTo(RuntimeAddress other) => Value.CompareTo(other.Value);

    /// <inheritdoc/>
    public override string ToString() => "0x" + Value.ToString("x", CultureInfo.InvariantCulture);

    public static bool operator <(RuntimeAddress a, RuntimeAddress b) => a.Value < b.Value;
    public static bool operator >(RuntimeAddress a, RuntimeAddress b) => a.Value > b.Value;
    public static bool operator <=(RuntimeAddress a, RuntimeAddress b) => a.Value <= b.Value;
    public static bool operator >=(RuntimeAddress a, RuntimeAddress b) => a.Value >= b.Value;
}

/// <summary>An ELF virtual address: what symbol tables, DWARF and program headers of one binary speak of, wherever it was loaded.</summary>
public readonly record struct BinaryAddress(ulong Value) : IComparable<BinaryAddress>
{
    /// <summary>Stands for any address outside the binary: a branch from or to another module, the kernel or unmapped code.</summary>
    public static readonly BinaryAddress External = new(ulong.MaxValue);

    /// <summary>Whether this is <see cref="External"/> rather than an address of the binary.</summary>
    public bool IsExternal => Value == ulong.MaxValue;

    /// <inheritdoc/>
    public int CompareTo(BinaryAddress other) => Value.CompareTo(other.Value);

    /// <inheritdoc/>
    public override string ToString() => IsExternal ? "external" : "0x" + Value.ToString("x", CultureInfo.InvariantCulture);

    public static bool operator <(BinaryAddress a, BinaryAddress b) => a.Value < b.Value;
    public static bool operator >(BinaryAddress a, BinaryAddress b) => a.Value > b.Value;
    public static bool operator <=(BinaryAddress a, BinaryAddress b) => a.Value <= b.Value;
    public static bool operator >=(BinaryAddress a, BinaryAddress b) => a.Value >= b.Value;
}

/// <summary>A position in a file, in bytes from its start.</summary>
public readonly record struct FileOffset(ulong Value)
{
    /// <inheritdoc/>
    public override string ToString() => "+0x" + Value.ToString("x", CultureInfo.InvariantCulture);
}
