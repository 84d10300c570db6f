using Perforator.Bytes;
using Perforator.Dwarf;
using static Perforator.Dwarf.DwarfConstants;

namespace Perforator.Symbolize;

/// <summary>What a function's entry and the entries it refers to say of its name and place.</summary>
internal readonly record struct FunctionDeclaration(string? LinkageName, string? PlainName, uint? Line, DeclarationFile? File = null)
{
    /// <summary>The name LLVM uses for linkage: the linkage name where there is one, else the plain name; empty when neither.</summary>
    public string Name => LinkageName ?? PlainName ?? "";

    /// <summary>This, with what it lacks taken from <paramref name="origin"/>.</summary>
    public FunctionDeclaration Or(in FunctionDeclaration origin) =>
        new(LinkageName ?? origin.LinkageName, PlainName ?? origin.PlainName, Line ?? origin.Line, File ?? origin.File);
}

/// <summary>The file that a function is declared in: DW_AT_decl_file.</summary>
/// <param name="Unit">The unit whose line program has the file table.</param>
/// <param name="Number">The file's number there.</param>
internal sealed record DeclarationFile(DwarfUnit Unit, ulong Number);

/// <summary>
/// Resolves function entries to names and declaration lines, following DW_AT_specification and DW_AT_abstract_origin. Results are
/// cached, names interned.
/// </summary>
internal sealed class FunctionNames
{
    /// <summary>Real chains have at most three links (inlined copy, abstract instance, declaration); more means a cycle.</summary>
    private const int MaxLinks = 32;

    /// <summary>All names together may have this many characters; more than any real program by far.</summary>
    private const long MaxCharacters = 1 << 28;

    // Each file's by offset; numbers, as comparing pairs would have to be compiled at run time.
    private readonly Dictionary<DwarfUnits, Dictionary<ulong, FunctionDeclaration>> resolved = new(ReferenceEqualityComparer.Instance);
    private readonly Dictionary<string, string> interned = new(StringComparer.Ordinal);
    private long characters;
    private DeclarationFile? lastFile;

    /// <summary>Reads the entry at an offset and those that it refers to.</summary>
    /// <exception cref="MalformedInputException">An entry is damaged or lies nowhere.</exception>
    public FunctionDeclaration Resolve(DwarfUnit unit, ulong offset)
    {
        Dictionary<ulong, FunctionDeclaration> own = ResolvedIn(unit.Units);
        if (own.TryGetValue(offset, out FunctionDeclaration cached))
            return cached;
        FunctionDeclaration result = default;
        (DwarfUnit Unit, ulong Offset)? at = (unit, offset);
        for (int links = 0; at is { } place && links < MaxLinks; links++)
        {
            if (ResolvedIn(place.Unit.Units).TryGetValue(place.Offset, out FunctionDeclaration known))
            {
                result = result.Or(known);
                break;
            }
            DieReader reader = new(place.Unit, place.Offset);
            DeclarationAttributes attributes = default;
            if (reader.Next() && reader.Abbreviation is { } abbreviation)
                foreach (AttributeSpec attribute in abbreviation.Attributes)
                    attributes.Take(attribute.Name, reader.Read(attribute));
            result = result.Or(Declaration(place.Unit, attributes));
            at = place.Unit.Reference(attributes.Origin);
        }
        own.Add(offset, result);
        return result;
    }

    /// <summary>
    /// Gives a function without linkage name the one of its symbol, and with it the entry that its inlined copies refer to.
    /// </summary>
    /// <param name="symbolOf">The symbol's name for a plain name; null when there is none.</param>
    /// <exception cref="MalformedInputException">An entry is damaged or lies nowhere.</exception>
    public void NameBySymbol(DwarfUnit unit, ulong offset, Func<string, string?> symbolOf)
    {
        FunctionDeclaration known = Resolve(unit, offset);
        if (known.LinkageName is not null || known.PlainName is not { } plain || symbolOf(plain) is not { } symbol)
            return;
        symbol = Intern(symbol)!;
        ResolvedIn(unit.Units)[offset] = known with { LinkageName = symbol };
        DieReader reader = new(unit, offset);
        DeclarationAttributes attributes = default;
        if (reader.Next() && reader.Abbreviation is { } abbreviation)
            foreach (AttributeSpec attribute in abbreviation.Attributes)
                attributes.Take(attribute.Name, reader.Read(attribute));
        if (unit.Reference(attributes.Origin) is { } origin)
            ResolvedIn(origin.Unit.Units)[origin.Offset] = Resolve(origin.Unit, origin.Offset) with { LinkageName = symbol };
    }

    private Dictionary<ulong, FunctionDeclaration> ResolvedIn(DwarfUnits units)
    {
        if (!resolved.TryGetValue(units, out Dictionary<ulong, FunctionDeclaration>? found))
            resolved.Add(units, found = []);
        return found;
    }

    /// <summary>An entry whose attributes were read already, completed by the entries that it refers to.</summary>
    /// <exception cref="MalformedInputException">An entry is damaged or lies nowhere.</exception>
    public FunctionDeclaration Resolve(DwarfUnit unit, in DeclarationAttributes attributes)
    {
        FunctionDeclaration own = Declaration(unit, attributes);
        return unit.Reference(attributes.Origin) is { } origin ? own.Or(Resolve(origin.Unit, origin.Offset)) : own;
    }

    private FunctionDeclaration Declaration(DwarfUnit unit, in DeclarationAttributes attributes) => new(
        Intern(unit.Text(attributes.LinkageName)), Intern(unit.Text(attributes.Name)), (uint?)DwarfUnit.Constant(attributes.DeclLine),
        DwarfUnit.Constant(attributes.DeclFile) is { } file ? FileOf(unit, file) : null);

    /// <summary>One object for each file: there are far more functions.</summary>
    private DeclarationFile FileOf(DwarfUnit unit, ulong number)
    {
        if (lastFile is { } last && last.Unit == unit && last.Number == number)
            return last;
        return lastFile = new DeclarationFile(unit, number);
    }

    private string? Intern(string? name)
    {
        if (name is null)
            return null;
        if (interned.TryGetValue(name, out string? same))
            return same;
        characters += name.Length;
        if (characters > MaxCharacters)
            throw new MalformedInputException("function names are implausibly long", ".debug_info", 0);
        interned.Add(name, name);
        return name;
    }
}

/// <summary>The attributes that name a function, or say which entry does.</summary>
internal struct DeclarationAttributes
{
    public AttributeValue Name, LinkageName, DeclFile, DeclLine, Origin;

    /// <summary>Keeps the value if the attribute is one of these.</summary>
    public void Take(ushort attribute, AttributeValue value)
    {
        switch (attribute)
        {
            case DW_AT_name: Name = value; break;
            case DW_AT_linkage_name or DW_AT_MIPS_linkage_name: LinkageName = value; break;
            case DW_AT_decl_file: DeclFile = value; break;
            case DW_AT_decl_line: DeclLine = value; break;
            case DW_AT_abstract_origin or DW_AT_specification: Origin = value; break;
        }
    }
}
