using Perforator.Bytes;
using static Perforator.Dwarf.DwarfConstants;

namespace Perforator.Dwarf;

/// <summary>
/// One table of .debug_abbrev. It is parsed only as far as the codes asked for: finding a unit's address ranges needs its first
/// abbreviation alone.
/// </summary>
internal sealed class AbbreviationTable
{
    /// <summary>No tag has nearly as many attributes; more means damage.</summary>
    private const int MaxAttributes = 256;

    private readonly AbbreviationTables owner;
    private readonly FormSizes sizes;
    private readonly List<Abbreviation> sequential = [];
    private readonly Dictionary<ulong, Abbreviation> others = [];
    private ulong position;
    private bool complete;

    /// <param name="owner">All tables of the section.</param>
    /// <param name="offset">Where the table begins.</param>
    /// <param name="sizes">What the sizes of attribute values depend on.</param>
    public AbbreviationTable(AbbreviationTables owner, ulong offset, FormSizes sizes)
    {
        this.owner = owner;
        this.sizes = sizes;
        position = offset;
    }

    /// <summary>The abbreviation of a code.</summary>
    /// <exception cref="MalformedInputException">The table is damaged, or has no such code.</exception>
    public Abbreviation this[ulong code]
    {
        get
        {
            // Producers number from 1 without gaps; anything else goes through the dictionary.
            if (code - 1 < (ulong)sequential.Count)
                return sequential[(int)(code - 1)];
            if (others.TryGetValue(code, out Abbreviation? found))
                return found;
            while (!complete)
                if (ParseNext() is { } next && next.Code == code)
                    return next;
            throw new MalformedInputException($"abbreviation code {code} is not in the table", ".debug_abbrev", position);
        }
    }

    private Abbreviation? ParseNext()
    {
        SpanReader reader = new(owner.Section.Span, ".debug_abbrev");
        reader.Seek(position);
        ulong code = reader.ReadULeb128();
        if (code == 0)
        {
            complete = true;
            return null;
        }
        ulong tag = reader.ReadULeb128();
        bool hasChildren = reader.ReadU8() != 0;
        List<AttributeSpec> attributes = [];
        while (true)
        {
            ulong name = reader.ReadULeb128();
            ulong form = reader.ReadULeb128();
            if (name == 0 && form == 0)
                break;
            if (name > ushort.MaxValue || form > ushort.MaxValue || attributes.Count == MaxAttributes)
                throw reader.Malformed($"attribute 0x{name:x} of form 0x{form:x}");
            attributes.Add(
                new((ushort)name, (ushort)form, sizes.Of((ushort)form), form == DW_FORM_implicit_const ? reader.ReadSLeb128() : 0));
        }
        if (tag > ushort.MaxValue)
            throw reader.Malformed($"tag 0x{tag:x}");
        owner.Spend((ulong)reader.Position - position);
        position = (ulong)reader.Position;
        Abbreviation abbreviation = new(code, (ushort)tag, hasChildren, [.. attributes]);
        if (code == (ulong)sequential.Count + 1)
            sequential.Add(abbreviation);
        else
            others.TryAdd(code, abbreviation);
        return abbreviation;
    }
}
