using Perforator.Bytes;
using Perforator.Dwarf;
using static Perforator.Dwarf.DwarfConstants;

namespace Perforator.Symbolize;

/// <summary>One function's inlined calls by address.</summary>
internal sealed class InlineTree
{
    /// <summary>Entries nested deeper than this mean damage; real functions stay below 100.</summary>
    private const int MaxDepth = 1024;

    private readonly InlineContext[] contexts;
    private readonly AddressIndex index;

    private InlineTree(InlineContext[] contexts, AddressIndex index)
    {
        this.contexts = contexts;
        this.index = index;
    }

    /// <summary>A function whose entries cannot be read: no calls are known to be inlined.</summary>
    public static InlineTree WithoutInlining(InlineContext function) => new([function], AddressIndex.Of([]));

    /// <summary>The innermost context at an address of the function.</summary>
    /// <param name="end">The next address at which the answer changes.</param>
    public InlineContext Find(ulong address, out ulong end)
    {
        int at = index.Find(address, out end);
        return contexts[Math.Max(at, 0)];
    }

    /// <summary>Reads the entries below a DW_TAG_subprogram.</summary>
    /// <param name="offset">Offset of the subprogram's entry.</param>
    /// <param name="function">The function itself, outermost context of the tree.</param>
    /// <exception cref="MalformedInputException">The entries are damaged.</exception>
    public static InlineTree Read(DwarfUnit unit, ulong offset, InlineContext function, FunctionNames names)
    {
        List<InlineContext> contexts = [function];
        List<(AddressRange, int)> ranges = [];
        List<AddressRange> own = [];
        // Index of the context that encloses the entries of each level; -1 inside a nested function, which has a tree of its own.
        Stack<int> enclosing = new();

        DieReader reader = new(unit, offset);
        if (!reader.Next() || reader.Abbreviation is not { HasChildren: true })
            return WithoutInlining(function);
        reader.SkipAttributes();
        enclosing.Push(0);
        while (enclosing.Count > 0 && reader.Next())
        {
            if (reader.Abbreviation is not { } abbreviation)
            {
                enclosing.Pop();
                continue;
            }
            int context = enclosing.Peek();
            if (context >= 0 && abbreviation.Tag == DW_TAG_inlined_subroutine)
            {
                own.Clear();
                contexts.Add(ReadInlined(ref reader, unit, abbreviation, contexts[context], names, own));
                context = contexts.Count - 1;
                foreach (AddressRange range in own)
                    ranges.Add((range, context));
            }
            else
            {
                reader.SkipAttributes();
                if (abbreviation.Tag == DW_TAG_subprogram)
                    context = -1;
            }
            if (!abbreviation.HasChildren)
                continue;
            if (enclosing.Count == MaxDepth)
                throw new MalformedInputException($"entries are nested more than {MaxDepth} deep", ".debug_info", reader.Offset);
            enclosing.Push(context);
        }
        return new InlineTree([.. contexts], AddressIndex.Of(ranges));
    }

    private static InlineContext ReadInlined(
        ref DieReader reader, DwarfUnit unit, Abbreviation abbreviation, InlineContext caller, FunctionNames names,
        List<AddressRange> ranges)
    {
        AttributeValue lowPc = default, highPc = default, rangeList = default, callLine = default, discriminator = default;
        DeclarationAttributes declaration = default;
        foreach (AttributeSpec attribute in abbreviation.Attributes)
        {
            AttributeValue value = reader.Read(attribute);
            switch (attribute.Name)
            {
                case DW_AT_low_pc: lowPc = value; break;
                case DW_AT_high_pc: highPc = value; break;
                case DW_AT_ranges: rangeList = value; break;
                case DW_AT_call_line: callLine = value; break;
                case DW_AT_GNU_discriminator: discriminator = value; break;
                default: declaration.Take(attribute.Name, value); break;
            }
        }
        unit.ReadRanges(lowPc, highPc, rangeList, ranges);
        FunctionDeclaration function = names.Resolve(unit, declaration);
        return new InlineContext(
            function.Name, function.Line ?? 0, function.File, caller, (uint)(DwarfUnit.Constant(callLine) ?? 0),
            (uint)(DwarfUnit.Constant(discriminator) ?? 0));
    }
}
