using Perforator.Bytes;

namespace Perforator.Elf;

/// <summary>
/// How a file names others that hold its debug info: .gnu_debuglink (name and CRC-32 of a separate debug file) and .gnu_debugaltlink
/// (name and build id of the file that dwz moved shared entries to). GDB manual, "Separate Debug Files"; dwz(1).
/// </summary>
/// <param name="FileName">A file name, for .gnu_debuglink; a path, absolute or relative, for .gnu_debugaltlink.</param>
/// <param name="Crc">CRC-32 of the whole file, for .gnu_debuglink.</param>
/// <param name="Id">Build id of the file, for .gnu_debugaltlink.</param>
public sealed record DebugLink(string FileName, uint Crc, BuildId Id)
{
    /// <summary>Reads .gnu_debuglink; null when the file has none.</summary>
    /// <exception cref="MalformedInputException">The section is damaged.</exception>
    public static DebugLink? OfDebugFile(ElfFile file)
    {
        if (!file.HasSection(".gnu_debuglink"))
            return null;
        SpanReader reader = new(file.SectionData(".gnu_debuglink").Span, ".gnu_debuglink");
        string name = reader.ReadCString();
        reader.Align(4);
        return new DebugLink(name, reader.ReadU32(), default);
    }

    /// <summary>
    /// The supplement that a file names in either form; null when it names none, or in a damaged section, which is counted.
    /// </summary>
    public static DebugLink? FindSupplement(ElfFile file, LossCounts losses)
    {
        try
        {
            return OfSupplement(file) ?? OfDebugSup(file);
        }
        catch (MalformedInputException e)
        {
            losses.Add($"damaged debug info: {e.Message}");
            return null;
        }
    }

    /// <summary>Reads .gnu_debugaltlink; null when the file has none.</summary>
    /// <exception cref="MalformedInputException">The section is damaged.</exception>
    public static DebugLink? OfSupplement(ElfFile file)
    {
        if (!file.HasSection(".gnu_debugaltlink"))
            return null;
        SpanReader reader = new(file.SectionData(".gnu_debugaltlink").Span, ".gnu_debugaltlink");
        string name = reader.ReadCString();
        if (reader.Remaining is 0 or > BuildId.MaxLength)
            throw reader.Malformed($"build id of {reader.Remaining} bytes");
        return new DebugLink(name, 0, BuildId.FromBytes(reader.Rest));
    }

    /// <summary>
    /// Reads the DWARF 5 form of the same, .debug_sup (section 7.3.6); null when the file has none or is itself the supplement.
    /// </summary>
    /// <exception cref="MalformedInputException">The section is damaged.</exception>
    public static DebugLink? OfDebugSup(ElfFile file)
    {
        if (!file.HasSection(".debug_sup"))
            return null;
        SpanReader reader = new(file.SectionData(".debug_sup").Span, ".debug_sup");
        reader.Skip(2);
        bool isSupplement = reader.ReadU8() != 0;
        string name = reader.ReadCString();
        ulong length = reader.ReadULeb128();
        if (isSupplement || length is 0 or > BuildId.MaxLength)
            return null;
        return new DebugLink(name, 0, BuildId.FromBytes(reader.ReadBytes(length)));
    }
}
