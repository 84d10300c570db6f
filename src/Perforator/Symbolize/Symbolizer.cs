using Perforator.Bytes;
using Perforator.Dwarf;
using Perforator.Elf;
using static Perforator.Dwarf.DwarfConstants;

namespace Perforator.Symbolize;

/// <summary>
/// Tells which place in source an address of a binary comes from, inlined calls included, as LLVM's symbolizer tells llvm-profgen.
/// Units are parsed when an address in them is first asked for, so cost follows the code that is touched, not the binary's size.
/// </summary>
/// <remarks>Not safe for use by several threads at once. Fastest when addresses are asked for in ascending order.</remarks>
public sealed class Symbolizer : IDisposable
{
    private readonly ElfFile? debugFile;
    private readonly ElfFile? supplement;
    private readonly SplitUnits splitUnits;
    private readonly FunctionNames names = new();
    private readonly EntrySymbols? entrySymbols;
    private readonly Func<ulong, bool> isCode;
    private readonly DwarfUnits units;
    private readonly LineTables lines;
    private readonly UnitSymbols?[] symbols;
    private readonly string?[] producers;
    private readonly Dictionary<DwarfUnit, LineFiles> files = [];
    private readonly AddressIndex index;

    private Symbolizer(ElfFile binary, IDebugFiles debugFiles, bool namesFromSymbols)
    {
        debugFile = debugFiles.FindDebugFile(binary, Losses);
        isCode = address => binary.IsCode(new(address));
        ElfFile source = debugFile ?? binary;
        supplement = debugFiles.FindSupplement(source, Losses);
        splitUnits = new SplitUnits(binary, source, debugFiles, Losses);
        if (namesFromSymbols)
            entrySymbols = new EntrySymbols(
                debugFile is not null && debugFile.Symbols.Symbols.Length > binary.Symbols.Symbols.Length
                    ? debugFile.Symbols : binary.Symbols);
        units = DwarfUnits.Read(Sections(source));
        if (supplement is not null)
            units.Supplement = DwarfUnits.Read(Sections(supplement));
        if (units.Damage is { } damage)
            Losses.Add($"damaged debug info: {damage.Message}");
        lines = new LineTables(units.Sections.Line, isCode, e => Losses.Add($"damaged debug info: {e.Message}"));
        symbols = new UnitSymbols?[units.All.Count];
        producers = new string?[units.All.Count];
        index = IndexUnits();
    }

    /// <summary>Prepares to symbolize addresses of a binary.</summary>
    /// <param name="binary">The binary; stays open for as long as this object is used, and is not disposed with it.</param>
    /// <param name="debugFiles">Where to look for what the binary does not have itself.</param>
    /// <param name="namesFromSymbols"> Whether C++ functions that the debug info has no linkage name of (GCC's, in anonymous namespaces)
    /// have their symbol's name instead of the plain one.
    /// </param>
    /// <exception cref="UserErrorException">The debug file that the user named cannot be used; the message says why.</exception>
    public static Symbolizer Open(ElfFile binary, IDebugFiles debugFiles, bool namesFromSymbols = false) =>
        new(binary, debugFiles, namesFromSymbols);

    /// <summary>Whether there is any DWARF debug info; without, no address has a place in source.</summary>
    public bool HasDebugInfo => units.All.Count > 0;

    /// <summary>The separate file that the debug info is from; null when it is the binary's own. Disposed with this object.</summary>
    public ElfFile? DebugFile => debugFile;

    /// <summary>What was dropped because it was damaged or missing, by reason; units are named. Grows as units are read.</summary>
    public LossCounts Losses { get; } = new();

    /// <summary>Number of compile units that have been parsed so far, of <see cref="UnitCount"/>.</summary>
    public int ParsedUnitCount { get; private set; }

    /// <summary>Number of units in the debug info.</summary>
    public int UnitCount => units.All.Count;

    /// <summary>The place in source that an address comes from; without context when no debug info covers it.</summary>
    public SourceLocation Find(BinaryAddress address)
    {
        int at = index.Find(address.Value, out ulong end);
        if (at < 0)
            return new SourceLocation(null, 0, 0, new(end));
        SourceLocation found = Symbols(at).Find(address.Value);
        return found.End.Value <= end ? found : found with { End = new(end) };
    }

    /// <summary>
    /// The source file that a function is declared in, as the compiler had its path; null when debug info does not tell. Read when first
    /// asked for.
    /// </summary>
    public string? FindFile(InlineContext context)
    {
        if (context.File is not { } file)
            return null;
        try
        {
            if (!files.TryGetValue(file.Unit, out LineFiles? known))
                files.Add(file.Unit, known = LineFiles.Of(file.Unit));
            return known.PathOf(file.Number);
        }
        catch (MalformedInputException e)
        {
            Losses.Add($"damaged debug info: {e.Message}");
            return null;
        }
    }

    /// <summary>The piece of a function's code that holds an address; null when no debug info covers it or gives it a name.</summary>
    public FunctionRange? FindFunction(BinaryAddress address)
    {
        int at = index.Find(address.Value, out _);
        if (at < 0 || Symbols(at).FindFunction(address.Value, out _) is not { Function.Name.Length: > 0 } range)
            return null;
        return range;
    }

    /// <summary>
    /// DW_AT_name of the unit an address was compiled in: the source file as it was given to the compiler; null when unknown.
    /// </summary>
    public string? FindUnitName(BinaryAddress address) =>
        index.Find(address.Value, out _) is var at and >= 0 && WithEntries(units.All[at]).Attributes.Name is { Length: > 0 } name
            ? name : null;

    /// <summary>The compiler of the code at an address, as DW_AT_producer has it; empty when that is not told.</summary>
    public string ProducerAt(BinaryAddress address)
    {
        int at = index.Find(address.Value, out _);
        return at < 0 ? "" : producers[at] ??= ProducerOf(units.All[at]);
    }

    /// <summary>The compilers of all units.</summary>
    public IEnumerable<string> Producers() => units.All.Where(IsCompileUnit).Select(ProducerOf).Distinct();

    /// <summary>All functions with names and code, unit by unit. Parses every unit: use it only where all of them are needed.</summary>
    public IEnumerable<BinaryFunction> AllFunctions()
    {
        for (int i = 0; i < symbols.Length; i++)
            if (IsCompileUnit(units.All[i]))
                foreach (BinaryFunction function in Symbols(i).Functions())
                    yield return function;
    }

    public void Dispose()
    {
        splitUnits.Dispose();
        supplement?.Dispose();
        debugFile?.Dispose();
    }

    private string ProducerOf(DwarfUnit unit)
    {
        try
        {
            return unit.Attributes.Producer is { Length: > 0 } own ? own : WithEntries(unit).Attributes.Producer;
        }
        catch (MalformedInputException)
        {
            // Counted where the unit's functions are read.
            return "";
        }
    }

    private UnitSymbols Symbols(int unit)
    {
        if (symbols[unit] is { } known)
            return known;
        ParsedUnitCount++;
        return symbols[unit] = new UnitSymbols(WithEntries(units.All[unit]), names, lines, isCode, Losses, entrySymbols);
    }

    /// <summary>The file's debug sections; a damaged one is counted and reads as empty.</summary>
    private DwarfSections Sections(ElfFile file) => new(name =>
    {
        try
        {
            return file.SectionData(name);
        }
        catch (MalformedInputException e)
        {
            Losses.Add($"damaged debug info: {e.Message}");
            return default;
        }
    });

    /// <summary>The unit that has a compile unit's entries: itself, or the split unit it refers to.</summary>
    private DwarfUnit WithEntries(DwarfUnit unit)
    {
        string split = $"of unit 0x{unit.Offset:x}";
        try
        {
            if (unit.Attributes.DwoName is { Length: > 0 } name)
            {
                split = name;
                if (splitUnits.Find(unit) is { } found)
                    return found;
            }
        }
        catch (MalformedInputException e)
        {
            Losses.Add($"damaged split debug info {split}: {e.Message}");
        }
        return unit;
    }

    private static bool IsCompileUnit(DwarfUnit unit) => unit.Type is DW_UT_compile or DW_UT_skeleton;

    private AddressIndex IndexUnits()
    {
        List<(AddressRange, int)> ranges = [];
        Dictionary<ulong, int> byOffset = [];
        for (int i = 0; i < units.All.Count; i++)
            byOffset.Add(units.All[i].Offset, i);

        // .debug_aranges is quicker to read, but may describe only some of the units.
        HashSet<int> described = [];
        MalformedInputException? damage = Aranges.Read(units.Sections.Aranges.Span, (offset, found) =>
        {
            if (!byOffset.TryGetValue(offset, out int unit))
                return;
            described.Add(unit);
            AddRanges(unit, found);
        });
        if (damage is not null)
            Losses.Add($"damaged debug info: {damage.Message}");

        List<AddressRange> own = [];
        for (int i = 0; i < units.All.Count; i++)
        {
            if (described.Contains(i) || !IsCompileUnit(units.All[i]))
                continue;
            own.Clear();
            try
            {
                units.All[i].Attributes.ReadRanges(own);
                if (units.All[i].Attributes.HasUnknownRanges)
                    own.AddRange(Symbols(i).CodeRanges);
            }
            catch (MalformedInputException e)
            {
                Losses.Add($"damaged debug info in unit 0x{units.All[i].Offset:x}: {e.Message}");
            }
            AddRanges(i, own);
        }
        return AddressIndex.OfOverlapping(ranges);

        void AddRanges(int unit, IReadOnlyList<AddressRange> found)
        {
            foreach (AddressRange range in found)
                if (isCode(range.Low))
                    ranges.Add((range, unit));
        }
    }
}
