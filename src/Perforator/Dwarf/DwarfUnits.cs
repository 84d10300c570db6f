using Perforator.Bytes;

namespace Perforator.Dwarf;

/// <summary>The units of one .debug_info or .debug_types section in file order. Only headers are read.</summary>
internal sealed class DwarfUnits
{
    private readonly List<DwarfUnit> units = [];
    private readonly DwarfUnits? info;
    private AbbreviationTables? abbreviations;
    private Dictionary<ulong, DwarfUnit>? bySignature;

    private DwarfUnits(DwarfSections sections, DwarfUnits? info)
    {
        Sections = sections;
        this.info = info;
    }

    public DwarfSections Sections { get; }

    /// <summary>Whether this is .debug_types, where DWARF 4 keeps type units.</summary>
    public bool IsTypes => info is not null;

    /// <summary>The section's bytes, which the units' offsets mean.</summary>
    public ReadOnlyMemory<byte> Data => IsTypes ? Sections.Types : Sections.Info;

    /// <summary>The section's name.</summary>
    public string SectionName => IsTypes ? ".debug_types" : ".debug_info";

    /// <summary>The units' abbreviation tables.</summary>
    public AbbreviationTables Abbreviations => abbreviations ??= new AbbreviationTables(Sections.Abbrev);

    public IReadOnlyList<DwarfUnit> All => units;

    /// <summary>The units of the supplementary file that dwz made several files share; null when there is none.</summary>
    public DwarfUnits? Supplement { get; set; }

    /// <summary>Why the list ends early; null when the section is sound.</summary>
    public MalformedInputException? Damage { get; private set; }

    /// <summary>Reads all unit headers. A damaged length ends the list, since nothing says where the next unit begins.</summary>
    public static DwarfUnits Read(DwarfSections sections) => Read(sections, info: null);

    /// <param name="info">When .debug_types is to be read: the units that refer to those there.</param>
    private static DwarfUnits Read(DwarfSections sections, DwarfUnits? info)
    {
        DwarfUnits result = new(sections, info);
        SpanReader reader = new(result.Data.Span, result.SectionName);
        try
        {
            while (!reader.AtEnd)
            {
                SpanReader before = reader;
                try
                {
                    result.units.Add(DwarfUnit.Parse(result, ref reader));
                }
                catch (MalformedInputException e) when (reader.Position > before.Position + 12)
                {
                    // The length was good, the rest of the header was not: go on behind this unit.
                    result.Damage ??= e;
                }
            }
        }
        catch (MalformedInputException e)
        {
            result.Damage ??= e;
        }
        return result;
    }

    /// <summary>The unit whose entries hold an offset of .debug_info, or null.</summary>
    public DwarfUnit? Holding(ulong offset) => Around(offset) is { } unit && offset >= unit.FirstEntry ? unit : null;

    /// <summary>The type unit with a signature, of this section or of .debug_types; null when there is none.</summary>
    public DwarfUnit? TypeUnit(ulong signature)
    {
        if (info is not null)
            return info.TypeUnit(signature);
        if (bySignature is null)
        {
            bySignature = [];
            foreach (DwarfUnit unit in units.Concat(Read(Sections, info: this).units))
                if (unit.TypeEntry is not null)
                    bySignature.TryAdd(unit.TypeSignature, unit);
        }
        return bySignature.GetValueOrDefault(signature);
    }

    /// <summary>The unit whose header is at an offset of .debug_info, or null.</summary>
    public DwarfUnit? At(ulong offset) => Around(offset) is { } unit && offset == unit.Offset ? unit : null;

    private DwarfUnit? Around(ulong offset)
    {
        int low = 0, high = units.Count;
        while (low < high)
        {
            int middle = (low + high) >>> 1;
            if (units[middle].End > offset)
                high = middle;
            else
                low = middle + 1;
        }
        return low < units.Count ? units[low] : null;
    }
}
