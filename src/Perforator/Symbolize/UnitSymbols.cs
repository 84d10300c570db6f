using Perforator.Bytes;
using Perforator.Dwarf;
using static Perforator.Dwarf.DwarfConstants;

namespace Perforator.Symbolize;

/// <summary>
/// The functions and lines of one compile unit. The unit's entries are walked once for its functions; what is inlined into a
/// function is read when an address in it is first asked for.
/// </summary>
internal sealed class UnitSymbols
{
    private readonly DwarfUnit unit;
    private readonly FunctionNames names;
    private readonly LossCounts losses;
    private readonly LineTable? lines;
    private readonly List<Function> functions = [];
    private readonly AddressIndex index;
    private string? damage;

    /// <param name="unit">The unit whose entries to read: of the linked file, or the split unit.</param>
    /// <param name="names">Shared by all units, so that equal names are one object.</param>
    /// <param name="lineTables">The line tables of the linked file.</param>
    /// <param name="isCode">Whether an address is in code; functions that the linker discarded lie elsewhere.</param>
    /// <param name="losses">Where damage is counted.</param>
    /// <param name="entrySymbols">Names of functions that the debug info has no linkage names of; null to take plain names.</param>
    public UnitSymbols(
        DwarfUnit unit, FunctionNames names, LineTables lineTables, Func<ulong, bool> isCode, LossCounts losses,
        EntrySymbols? entrySymbols = null)
    {
        this.unit = unit;
        this.names = names;
        this.losses = losses;
        lines = ReadLines(lineTables);
        List<(AddressRange, int)> ranges = [];
        try
        {
            ReadFunctions(isCode, ranges);
            if (entrySymbols is not null)
                foreach (Function function in functions)
                    names.NameBySymbol(unit, function.Entry, plain => entrySymbols.Find(function.Ranges[0].Low, plain));
        }
        catch (MalformedInputException e)
        {
            CountDamage(e);
        }
        index = AddressIndex.Of(ranges);
    }

    /// <summary>The function piece at an address, or null.</summary>
    public FunctionRange? FindFunction(ulong address, out ulong end)
    {
        int at = index.Find(address, out end);
        if (at < 0)
            return null;
        foreach (FunctionRange range in Named(functions[at]).Ranges)
            if (address >= range.Start.Value && address < range.End.Value)
                return range;
        return null;
    }

    /// <summary>The place in source that an address comes from.</summary>
    public SourceLocation Find(ulong address)
    {
        LineRow row = default;
        ulong rowEnd = ulong.MaxValue;
        lines?.TryFind(address, out row, out rowEnd);
        int at = index.Find(address, out ulong functionEnd);
        if (at < 0)
            return new SourceLocation(null, row.Line, row.Discriminator, new(Math.Min(rowEnd, functionEnd)));
        InlineContext context = Inlined(functions[at]).Find(address, out ulong contextEnd);
        return new SourceLocation(context, row.Line, row.Discriminator, new(Math.Min(rowEnd, Math.Min(functionEnd, contextEnd))));
    }

    /// <summary>The ranges of all functions.</summary>
    public IReadOnlyList<AddressRange> CodeRanges => [.. functions.SelectMany(f => f.Ranges)];

    /// <summary>All functions that have a name and code.</summary>
    public IEnumerable<BinaryFunction> Functions()
    {
        foreach (Function function in functions)
            if (Named(function) is { Name.Length: > 0 } named)
                yield return named;
    }

    /// <summary>One DW_TAG_subprogram with code.</summary>
    private sealed class Function(ulong entry, AddressRange[] ranges)
    {
        public ulong Entry => entry;
        public AddressRange[] Ranges => ranges;
        public FunctionDeclaration? Declaration { get; set; }
        public BinaryFunction? Named { get; set; }
        public InlineTree? Inlined { get; set; }
    }

    private BinaryFunction Named(Function function)
    {
        if (function.Named is { } known)
            return known;
        BinaryFunction named = new(Declaration(function).Name);
        FunctionRange[] ranges = new FunctionRange[function.Ranges.Length];
        for (int i = 0; i < ranges.Length; i++)
            ranges[i] = new FunctionRange(named, new(function.Ranges[i].Low), new(function.Ranges[i].High));
        named.Ranges = ranges;
        return function.Named = named;
    }

    private FunctionDeclaration Declaration(Function function)
    {
        if (function.Declaration is { } known)
            return known;
        FunctionDeclaration declaration = default;
        try
        {
            declaration = names.Resolve(unit, function.Entry);
        }
        catch (MalformedInputException e)
        {
            CountDamage(e);
        }
        function.Declaration = declaration;
        return declaration;
    }

    private InlineTree Inlined(Function function)
    {
        if (function.Inlined is { } known)
            return known;
        FunctionDeclaration declaration = Declaration(function);
        InlineContext outermost = new(declaration.Name, declaration.Line ?? 0, declaration.File, null, 0, 0);
        try
        {
            function.Inlined = InlineTree.Read(unit, function.Entry, outermost, names);
        }
        catch (MalformedInputException e)
        {
            CountDamage(e);
            function.Inlined = InlineTree.WithoutInlining(outermost);
        }
        return function.Inlined;
    }

    private void ReadFunctions(Func<ulong, bool> isCode, List<(AddressRange, int)> all)
    {
        List<AddressRange> ranges = [];
        DieReader reader = new(unit, unit.FirstEntry);
        while (reader.Next())
        {
            if (reader.Abbreviation is not { Tag: DW_TAG_subprogram, HasAddresses: true } abbreviation)
            {
                reader.SkipAttributes();
                continue;
            }
            AttributeValue lowPc = default, highPc = default, rangeList = default;
            foreach (AttributeSpec attribute in abbreviation.Attributes)
            {
                AttributeValue value = reader.Read(attribute);
                switch (attribute.Name)
                {
                    case DW_AT_low_pc: lowPc = value; break;
                    case DW_AT_high_pc: highPc = value; break;
                    case DW_AT_ranges: rangeList = value; break;
                }
            }
            ranges.Clear();
            unit.ReadRanges(lowPc, highPc, rangeList, ranges);
            ranges.RemoveAll(r => !isCode(r.Low));
            if (ranges.Count == 0)
                continue;
            foreach (AddressRange range in ranges)
                all.Add((range, functions.Count));
            functions.Add(new Function(reader.Offset, [.. ranges]));
        }
    }

    private LineTable? ReadLines(LineTables tables)
    {
        // The lines of a split unit stay in the linked file.
        DwarfUnit owner = unit.Skeleton ?? unit;
        try
        {
            return owner.Attributes.LineProgram is { } offset ? tables.At(offset, owner.Sizes.AddressSize) : null;
        }
        catch (MalformedInputException e)
        {
            CountDamage(e);
            return null;
        }
    }

    /// <summary>Counts damage under the reason first found: one damaged unit is one reason, however many of its functions suffer.</summary>
    private void CountDamage(MalformedInputException e)
    {
        damage ??= $"damaged debug info in unit {Name()}: {e.Message}";
        losses.Add(damage);
    }

    /// <summary>The unit's source file, or its .dwo file, or where it is when it is too damaged to tell.</summary>
    private string Name()
    {
        foreach (Func<string> name in (Func<string>[])[() =>
            unit.Attributes.Name, () => unit.Skeleton?.Attributes.Name ?? "", () => unit.Skeleton?.Attributes.DwoName ?? ""])
        {
            try
            {
                if (name() is { Length: > 0 } found)
                    return found;
            }
            catch (MalformedInputException)
            {
                // Its first entry is damaged too; the next source may tell.
            }
        }
        return $"0x{unit.Offset:x}";
    }
}
