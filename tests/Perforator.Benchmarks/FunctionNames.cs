using Perforator.Elf;

namespace Perforator.Benchmarks;

/// <summary>A binary's functions by address, as its symbol table names them.</summary>
internal sealed class FunctionNames
{
    private readonly ulong[] starts;
    private readonly string[] names;

    public FunctionNames(string binary)
    {
        using ElfFile file = ElfFile.Load(binary);
        SortedDictionary<ulong, string> byStart = [];
        foreach (ElfSymbol symbol in file.Symbols.Symbols)
            if (symbol.IsFunction)
                byStart.TryAdd(symbol.Address.Value, file.Symbols.Name(symbol));
        (starts, names) = ([.. byStart.Keys], [.. byStart.Values]);
    }

    /// <summary>Each function's share of the branches, by where they start.</summary>
    public Dictionary<string, double> Shares(Dictionary<(ulong From, ulong To), double> branches)
    {
        double total = branches.Values.Sum();
        return branches.GroupBy(b => NameOf(b.Key.From)).ToDictionary(g => g.Key, g => g.Sum(b => b.Value) / total);
    }

    private string NameOf(ulong address)
    {
        int index = Array.BinarySearch(starts, address);
        index = index >= 0 ? index : ~index - 1;
        return index >= 0 ? names[index] : "?";
    }
}
