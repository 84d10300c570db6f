using System.Text;
using Perforator.Bytes;

namespace Perforator.Elf;

/// <summary>The entries of .symtab or .dynsym with their string table. Names are decoded only when asked for.</summary>
public sealed class ElfSymbolTable
{
    private const int EntrySize = 24;

    /// <summary>Longer names are taken as none: many entries may share one long name.</summary>
    private const int MaxNameLength = 1 << 16;

    private readonly ReadOnlyMemory<byte> strings;
    private readonly ElfSymbol[] symbols;

    private ElfSymbolTable(ElfSymbol[] symbols, ReadOnlyMemory<byte> strings)
    {
        this.symbols = symbols;
        this.strings = strings;
    }

    /// <summary>A table without symbols.</summary>
    public static ElfSymbolTable Empty { get; } = new([], default);

    /// <summary>The symbols in file order, the null symbol at index 0 left out.</summary>
    public ReadOnlySpan<ElfSymbol> Symbols => symbols;

    /// <summary>Parses a section of Elf64_Sym entries.</summary>
    /// <exception cref="MalformedInputException">The size is not a multiple of the entries'.</exception>
    public static ElfSymbolTable Parse(ReadOnlyMemory<byte> entries, ReadOnlyMemory<byte> strings, string where)
    {
        SpanReader reader = new(entries.Span, where);
        if (entries.Length % EntrySize != 0)
            throw reader.Malformed($"{entries.Length} bytes do not hold a whole number of symbols");
        if (entries.Length == 0)
            return Empty;
        reader.Skip(EntrySize);
        ElfSymbol[] symbols = new ElfSymbol[entries.Length / EntrySize - 1];
        for (int i = 0; i < symbols.Length; i++)
        {
            uint name = reader.ReadU32();
            byte info = reader.ReadU8();
            reader.Skip(1);
            ushort section = reader.ReadU16();
            symbols[i] = new ElfSymbol(name, info, section, new(reader.ReadU64()), reader.ReadU64());
        }
        return new ElfSymbolTable(symbols, strings);
    }

    /// <summary>An object file's symbols, whose values are offsets in their sections, at the addresses that the sections have.</summary>
    public ElfSymbolTable PlacedIn(IReadOnlyList<ElfSection> sections) => new(
        [.. symbols.Select(s => s.IsDefined && s.SectionIndex < sections.Count
            ? s with { Address = new(unchecked(s.Address.Value + sections[s.SectionIndex].Address.Value)) } : s)], strings);

    /// <summary>The symbol's name as it stands in the string table; empty when the name lies outside it.</summary>
    public ReadOnlySpan<byte> NameBytes(in ElfSymbol symbol)
    {
        if (symbol.NameOffset >= (uint)strings.Length)
            return default;
        ReadOnlySpan<byte> rest = strings.Span[(int)symbol.NameOffset..];
        rest = rest[..Math.Min(rest.Length, MaxNameLength)];
        int end = rest.IndexOf((byte)0);
        return end < 0 ? default : rest[..end];
    }

    /// <summary>The symbol's name; empty when it lies outside the string table.</summary>
    public string Name(in ElfSymbol symbol) => Encoding.UTF8.GetString(NameBytes(symbol));
}
