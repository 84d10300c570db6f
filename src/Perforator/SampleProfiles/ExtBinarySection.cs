using System.Globalization;
using System.Text;
using Perforator.Bytes;

namespace Perforator.SampleProfiles;

/// <summary>One entry of an extbinary profile's section table.</summary>
/// <param name="Offset">From the start of the file.</param>
/// <param name="Size">As stored, that is compressed.</param>
internal readonly record struct ExtBinarySection(SecType Type, ulong Flags, ulong Offset, ulong Size)
{
    public bool IsCompressed => (Flags & SecFlags.SecFlagCompress) != 0;

    /// <summary>The sections of a file, each checked to lie in it.</summary>
    /// <exception cref="MalformedInputException">The header is malformed.</exception>
    public static ExtBinarySection[] ReadTable(ReadOnlySpan<byte> data)
    {
        SpanReader reader = new(data, "extbinary sample profile");
        BinaryRecordReader.CheckVersion(ref reader);
        ulong count = reader.ReadU64();
        if (count > (ulong)reader.Remaining / 32)
            throw reader.Malformed($"{count} sections do not fit into {reader.Remaining} bytes");
        ExtBinarySection[] table = new ExtBinarySection[count];
        for (int i = 0; i < table.Length; i++)
        {
            ExtBinarySection section = new((SecType)reader.ReadU64(), reader.ReadU64(), reader.ReadU64(), reader.ReadU64());
            if (section.Offset > (ulong)data.Length || section.Size > (ulong)data.Length - section.Offset)
                throw reader.Malformed($"{section.Type} of {section.Size} bytes at {section.Offset} is outside the file");
            table[i] = section;
        }
        return table;
    }

    /// <summary>The type as llvm-profdata names it.</summary>
    private string Name => Type switch
    {
        SecType.SecInValid => "InvalidSection",
        SecType.SecProfSummary => "ProfileSummarySection",
        SecType.SecNameTable => "NameTableSection",
        SecType.SecProfileSymbolList => "ProfileSymbolListSection",
        SecType.SecFuncOffsetTable => "FuncOffsetTableSection",
        SecType.SecFuncMetadata => "FunctionMetadata",
        SecType.SecCSNameTable => "CSNameTableSection",
        SecType.SecLBRProfile => "LBRProfileSection",
        _ => "UnknownSection",
    };

    private string FlagText
    {
        get
        {
            List<string> set = [];
            ulong flags = Flags;
            Add(SecFlags.SecFlagCompress, "compressed");
            Add(SecFlags.SecFlagFlat, "flat");
            switch (Type)
            {
                case SecType.SecNameTable:
                    if (!Add(SecFlags.SecFlagFixedLengthMD5, "fixlenmd5"))
                        Add(SecFlags.SecFlagMD5Name, "md5");
                    Add(SecFlags.SecFlagUniqSuffix, "uniq");
                    break;
                case SecType.SecProfSummary:
                    Add(SecFlags.SecFlagPartial, "partial");
                    Add(SecFlags.SecFlagFullContext, "context");
                    Add(SecFlags.SecFlagIsPreInlined, "preInlined");
                    Add(SecFlags.SecFlagFSDiscriminator, "fs-discriminator");
                    Add(SecFlags.SecFlagHasVTableTypeProf, "vtableTypeProf");
                    break;
                case SecType.SecFuncOffsetTable:
                    Add(SecFlags.SecFlagOrdered, "ordered");
                    break;
                case SecType.SecFuncMetadata:
                    Add(SecFlags.SecFlagIsProbeBased, "probe");
                    Add(SecFlags.SecFlagHasAttribute, "attr");
                    break;
            }
            return $"{{{string.Join(',', set)}}}";

            bool Add(ulong flag, string name)
            {
                if ((flags & flag) == 0)
                    return false;
                set.Add(name);
                return true;
            }
        }
    }

    /// <summary>The table as <c>llvm-profdata show --sample --show-sec-info-only</c> prints it.</summary>
    /// <exception cref="MalformedInputException">The header is malformed.</exception>
    public static string Describe(ReadOnlySpan<byte> data)
    {
        StringBuilder text = new();
        ulong total = 0, end = 0;
        ExtBinarySection[] table = ReadTable(data);
        foreach (ExtBinarySection section in table)
        {
            text.Append(CultureInfo.InvariantCulture, $"{section.Name} - Offset: {section.Offset}, Size: {section.Size}, Flags: {section.FlagText}\n");
            total += section.Size;
            end = Math.Max(end, section.Offset + section.Size);
        }
        text.Append(CultureInfo.InvariantCulture, $"Header Size: {(table.Length == 0 ? 0 : table[0].Offset)}\nTotal Sections Size: {total}\nFile Size: {end}\n");
        return text.ToString();
    }
}
