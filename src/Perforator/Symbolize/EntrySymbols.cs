using System.Globalization;
using Perforator.Bytes;
using Perforator.Elf;

namespace Perforator.Symbolize;

/// <summary>
/// Mangled names of functions by their entry, from the symbol table. GCC's debug info has no linkage names for functions that other
/// files cannot see (in anonymous namespaces, of local classes): of those only the symbol table tells <c>a::next</c> from <c>b::next</c>.
/// </summary>
internal sealed class EntrySymbols
{
    private readonly ElfSymbolTable table;
    private readonly ulong[] addresses;
    private readonly int[] indices;

    /// <param name="table">The symbols; those whose names are not mangled as C++ has it are left out.</param>
    public EntrySymbols(ElfSymbolTable table)
    {
        this.table = table;
        List<ulong> found = [];
        List<int> at = [];
        ReadOnlySpan<ElfSymbol> symbols = table.Symbols;
        for (int i = 0; i < symbols.Length; i++)
            if (symbols[i] is { IsDefined: true, IsFunction: true } && table.NameBytes(symbols[i]).StartsWith("_Z"u8))
            {
                found.Add(symbols[i].Address.Value);
                at.Add(i);
            }
        addresses = [.. found];
        indices = [.. at];
        KeyOrder.Sort(addresses, indices);
    }

    /// <summary>
    /// The mangled name at an address, without the suffixes of clones; null where there is none. Of several the one that holds the plain
    /// name, and of a constructor's the last: GCC makes the base object's, the complete object's is its alias.
    /// </summary>
    public string? Find(ulong address, string plainName)
    {
        string bare = plainName.TrimStart('~');
        string part = bare.Length.ToString(CultureInfo.InvariantCulture) + bare;
        int at = Array.BinarySearch(addresses, address);
        while (at > 0 && addresses[at - 1] == address)
            at--;
        string? best = null;
        for (; at >= 0 && at < addresses.Length && addresses[at] == address; at++)
        {
            string name = table.Name(table.Symbols[indices[at]]);
            int dot = name.IndexOf('.');
            name = dot > 0 ? name[..dot] : name;
            if (best is null
                || Rank(name).CompareTo(Rank(best)) is var order && (order > 0 || (order == 0 && string.CompareOrdinal(name, best) > 0)))
                best = name;
        }
        return best;

        bool Rank(string name) => name.Contains(part, StringComparison.Ordinal);
    }
}
