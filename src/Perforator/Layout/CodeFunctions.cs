using Perforator.Bytes;
using Perforator.Elf;

namespace Perforator.Layout;

/// <summary>
/// The functions of a binary as its symbol table has them: disjoint ranges of code, each from a symbol up to the next one or the end of its
/// section. Labels inside a function do not end it. BOLT takes a binary apart like this.
/// </summary>
public sealed class CodeFunctions
{
    private readonly ulong[] starts;
    private readonly ulong[] ends;

    private CodeFunctions(ulong[] starts, ulong[] ends)
    {
        this.starts = starts;
        this.ends = ends;
    }

    /// <summary>How many there are.</summary>
    public int Count => starts.Length;

    /// <summary>Reads the functions of a binary that is open.</summary>
    /// <exception cref="MalformedInputException">Its symbol table is damaged.</exception>
    public static CodeFunctions Of(ElfFile elf)
    {
        Dictionary<int, ElfSection> code = [];
        foreach (ElfSection section in elf.Sections)
            if (section is { IsExecutable: true, IsLoaded: true })
                code[section.Index] = section;
        List<ElfSymbol> symbols = [];
        List<ulong> addresses = [];
        foreach (ref readonly ElfSymbol symbol in elf.Symbols.Symbols)
        {
            if (!symbol.IsDefined || !code.TryGetValue(symbol.SectionIndex, out ElfSection? section)
                || !Contains(section, symbol.Address.Value)
                || symbol.Type is not (ElfSymbolType.STT_FUNC or ElfSymbolType.STT_NOTYPE or ElfSymbolType.STT_GNU_IFUNC))
                continue;
            symbols.Add(symbol);
            addresses.Add(symbol.Address.Value);
        }

        List<ulong> starts = [], ends = [];
        ulong bodyEnd = 0;
        foreach (int i in KeyOrder.Of([.. addresses]))
        {
            ElfSymbol symbol = symbols[i];
            (ulong start, ulong size) = (symbol.Address.Value, symbol.Size);
            ulong end = size > ulong.MaxValue - start ? ulong.MaxValue : start + size;
            if (starts.Count > 0 && start == starts[^1])
            {
                bodyEnd = Math.Max(bodyEnd, end);
                continue;
            }
            // Within another function's size only another function with a size begins one.
            if (start < bodyEnd && (size == 0 || (symbol.Type != ElfSymbolType.STT_FUNC && symbol.Binding == ElfSymbolBinding.STB_LOCAL)))
                continue;
            ElfSection section = code[symbol.SectionIndex];
            if (starts.Count > 0 && ends[^1] > start)
                ends[^1] = start;
            starts.Add(start);
            ends.Add(section.Address.Value + section.Size);
            bodyEnd = end;
        }
        return new CodeFunctions([.. starts], [.. ends]);
    }

    /// <summary>The function that holds an address, counted in address order; -1 where there is none.</summary>
    public int IndexOf(BinaryAddress address)
    {
        int at = Array.BinarySearch(starts, address.Value);
        if (at < 0)
            at = ~at - 1;
        return at >= 0 && address.Value < ends[at] ? at : -1;
    }

    private static bool Contains(ElfSection section, ulong address) => address - section.Address.Value < section.Size;
}
