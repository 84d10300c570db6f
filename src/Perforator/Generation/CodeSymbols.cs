using System.Text;
using Perforator.Bytes;
using Perforator.Elf;

namespace Perforator.Generation;

/// <summary>The symbols of a binary's code in address order, by which it is disassembled and function entries are told.</summary>
internal sealed class CodeSymbols
{
    private readonly ElfSymbolTable table;
    private readonly ulong[] addresses;
    private readonly int[] indices;

    private CodeSymbols(ElfSymbolTable table, ulong[] addresses, int[] indices)
    {
        this.table = table;
        this.addresses = addresses;
        this.indices = indices;
    }

    /// <summary>Addresses at which some symbol lies, ascending, repeated where several do.</summary>
    public ReadOnlySpan<ulong> Addresses => addresses;

    /// <summary>
    /// Takes the symbols of the given sections from a symbol table, whatever their type: labels of assembly count as well.
    /// </summary>
    public static CodeSymbols Of(ElfSymbolTable table, IReadOnlyCollection<ElfSection> codeSections)
    {
        bool[] isCode = new bool[codeSections.Count == 0 ? 0 : codeSections.Max(s => s.Index) + 1];
        foreach (ElfSection section in codeSections)
            isCode[section.Index] = true;
        List<ulong> addresses = [];
        List<int> indices = [];
        ReadOnlySpan<ElfSymbol> symbols = table.Symbols;
        for (int i = 0; i < symbols.Length; i++)
        {
            ElfSymbol symbol = symbols[i];
            if (!symbol.IsDefined || symbol.SectionIndex >= isCode.Length || !isCode[symbol.SectionIndex])
                continue;
            addresses.Add(symbol.Address.Value);
            indices.Add(i);
        }
        ulong[] sortedAddresses = [.. addresses];
        int[] sortedIndices = [.. indices];
        KeyOrder.Sort(sortedAddresses, sortedIndices);
        return new CodeSymbols(table, sortedAddresses, sortedIndices);
    }

    /// <summary>The names of the symbols from one address up to another.</summary>
    /// <param name="start">First address.</param>
    /// <param name="end">One past the last.</param>
    public IEnumerable<string> NamesBetween(BinaryAddress start, BinaryAddress end)
    {
        int at = Array.BinarySearch(addresses, start.Value);
        if (at < 0)
            at = ~at;
        while (at > 0 && addresses[at - 1] == start.Value)
            at--;
        for (; at < addresses.Length && addresses[at] < end.Value; at++)
            yield return table.Name(table.Symbols[indices[at]]);
    }

    /// <summary>Addresses whose symbols have one of the names, or one of them followed by suffixes that begin with a dot.</summary>
    public IEnumerable<(ulong Address, string Name)> WithNameIn(HashSet<string> names)
    {
        HashSet<string>.AlternateLookup<ReadOnlySpan<char>> lookup = names.GetAlternateLookup<ReadOnlySpan<char>>();
        List<(ulong, string)> found = [];
        char[] buffer = new char[256];
        for (int i = 0; i < addresses.Length; i++)
        {
            ReadOnlySpan<byte> bytes = table.NameBytes(table.Symbols[indices[i]]);
            if (bytes.Length > buffer.Length)
                buffer = new char[2 * bytes.Length];
            ReadOnlySpan<char> name = buffer.AsSpan(0, Encoding.UTF8.GetChars(bytes, buffer));
            while (true)
            {
                if (lookup.TryGetValue(name, out string? match))
                    found.Add((addresses[i], match));
                int dot = name.LastIndexOf('.');
                if (dot <= 0)
                    break;
                name = name[..dot];
            }
        }
        return found;
    }
}
