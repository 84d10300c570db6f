namespace Perforator.Dwarf;

/// <summary>
/// An attribute's value as it stands in the entry: a number, an index, a section offset or, for DW_FORM_string, the offset of the
/// text in .debug_info. What it means depends on the form and on the unit, which resolves it.
/// </summary>
internal readonly record struct AttributeValue(ushort Form, ulong Raw)
{
    /// <summary>Whether the attribute was there at all; no form is 0.</summary>
    public bool IsPresent => Form != 0;
}
