using System.Text;
using Perforator.Bytes;
using Perforator.Elf;

namespace Perforator.Symbolize;

/// <summary>Function symbols by address: they tell which piece of a split function is its entry.</summary>
internal sealed class FunctionSymbols(Func<ElfSymbolTable> load)
{
    /// <summary>What compilers append to the name of a function that is still entered under it.</summary>
    private static readonly string[] KeptSuffixes = [".llvm.", ".__uniq.", ".part."];

    private ElfSymbolTable table = ElfSymbolTable.Empty;
    private ElfSymbol[]? byAddress;

    /// <summary>
    /// Marks the piece where calls enter: the only one, or the one that holds a symbol of the function's name, as llvm-profgen has
    /// it; in a stripped binary the first, since compilers list the entry first.
    /// </summary>
    public void MarkEntry(BinaryFunction function)
    {
        FunctionRange entry = function.Ranges[0];
        if (function.Ranges.Count > 1)
            foreach (FunctionRange range in function.Ranges)
                if (HoldsSymbolOf(range, function.Name))
                {
                    entry = range;
                    break;
                }
        entry.IsEntry = true;
    }

    private bool HoldsSymbolOf(FunctionRange range, string name)
    {
        ElfSymbol[] symbols = ByAddress();
        int low = 0, high = symbols.Length;
        while (low < high)
        {
            int middle = (low + high) >>> 1;
            if (symbols[middle].Address < range.Start)
                low = middle + 1;
            else
                high = middle;
        }
        for (; low < symbols.Length && symbols[low].Address < range.End; low++)
            if (IsNameOf(table.NameBytes(symbols[low]), name))
                return true;
        return false;
    }

    private static bool IsNameOf(ReadOnlySpan<byte> symbol, string name)
    {
        if (symbol.Length < name.Length)
            return false;
        string text = Encoding.UTF8.GetString(symbol);
        if (!text.StartsWith(name, StringComparison.Ordinal))
            return false;
        return text.Length == name.Length || KeptSuffixes.Any(s => text.AsSpan(name.Length).StartsWith(s, StringComparison.Ordinal));
    }

    private ElfSymbol[] ByAddress()
    {
        if (byAddress is not null)
            return byAddress;
        try
        {
            table = load();
        }
        catch (MalformedInputException)
        {
            // Without symbols the first piece is the entry.
        }
        List<ElfSymbol> functions = [];
        foreach (ref readonly ElfSymbol symbol in table.Symbols)
            if (symbol.IsFunction)
                functions.Add(symbol);
        return byAddress = [.. functions.OrderBy(s => s.Address)];
    }
}
