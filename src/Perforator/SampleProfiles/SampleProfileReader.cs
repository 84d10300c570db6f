using Perforator.Bytes;
using Perforator.SampleProfiles.Gcc;

namespace Perforator.SampleProfiles;

/// <summary>Reads sample profiles in every format that LLVM writes, and GCC's; the format shows in the first bytes.</summary>
public static class SampleProfileReader
{
    /// <summary>Reads a file.</summary>
    /// <exception cref="UserErrorException">The file cannot be read or is not a sample profile.</exception>
    public static SampleProfile Load(string path)
    {
        byte[] data = InputFile.ReadWhole(path);
        try
        {
            return Parse(data);
        }
        catch (MalformedInputException e)
        {
            throw new UserErrorException($"{path} is not a sample profile that can be read: {e.Message}", e);
        }
    }

    /// <summary>Reads a profile from memory.</summary>
    /// <exception cref="MalformedInputException">The bytes are not a well-formed sample profile.</exception>
    public static SampleProfile Parse(ReadOnlySpan<byte> data) => Detect(data) switch
    {
        SampleProfileFormat.ExtBinary => new ExtBinaryReader().Parse(data),
        SampleProfileFormat.Gcc => new GccProfileReader().Parse(data),
        SampleProfileFormat.Binary => BinaryRecordReader.ParseFile(data),
        _ => new SampleProfileTextReader().Parse(data),
    };

    /// <summary>The sections of an extbinary profile as <c>llvm-profdata show --sample --show-sec-info-only</c> prints them.</summary>
    /// <exception cref="MalformedInputException">The bytes are not an extbinary profile.</exception>
    public static string DescribeSections(ReadOnlySpan<byte> data) => Detect(data) == SampleProfileFormat.ExtBinary
        ? ExtBinarySection.Describe(data)
        : throw new MalformedInputException("only extbinary profiles have sections", "sample profile", 0);

    /// <summary>Tells the format from the first bytes.</summary>
    /// <exception cref="MalformedInputException">The bytes are of no format that sample profiles have.</exception>
    public static SampleProfileFormat Detect(ReadOnlySpan<byte> data)
    {
        const string Where = "sample profile";
        if (data.IsEmpty)
            throw new MalformedInputException("empty file", Where, 0);
        if (data.StartsWith(Magic(BinaryFormat.ExtBinaryMagic)))
            return SampleProfileFormat.ExtBinary;
        if (data.StartsWith(Magic(BinaryFormat.BinaryMagic)))
            return SampleProfileFormat.Binary;
        if (GccProfileReader.IsGcc(data))
            return SampleProfileFormat.Gcc;
        if (data.StartsWith<byte>([0x1f, 0x8b]))
            throw new MalformedInputException("a compressed pprof, as Go takes it: that form is written and not read", Where, 0);
        if (data[..Math.Min(data.Length, 256)].Contains((byte)0))
            throw new MalformedInputException("not an LLVM sample profile (text, binary or extbinary), nor one of GCC", Where, 0);
        return SampleProfileFormat.Text;
    }

    private static ReadOnlySpan<byte> Magic(ulong magic)
    {
        ByteWriter writer = new(10);
        writer.WriteULeb128(magic);
        return writer.Written;
    }
}
