using Perforator.Bytes;

namespace Perforator.SampleProfiles;

/// <summary>Writes sample profiles in the formats that LLVM reads. The same profile and options give the same bytes.</summary>
public static class SampleProfileWriter
{
    /// <summary>Encodes a profile.</summary>
    /// <exception cref="UserErrorException">The format cannot hold the profile.</exception>
    public static byte[] ToBytes(SampleProfile profile, SampleProfileFormat format, SampleProfileWriteOptions? options = null)
    {
        if (format == SampleProfileFormat.ExtBinary)
            return new ExtBinaryWriter(profile, options ?? new SampleProfileWriteOptions()).Write().ToArray();
        ByteWriter output = new(4096);
        if (format == SampleProfileFormat.Text)
            new SampleProfileTextWriter(output, profile).Write();
        else
            new SampleProfileBinaryWriter(output, profile).WriteFile();
        return output.Written.ToArray();
    }

    /// <summary>Encodes a profile into a stream.</summary>
    /// <exception cref="UserErrorException">The format cannot hold the profile.</exception>
    public static void Write(Stream stream, SampleProfile profile, SampleProfileFormat format, SampleProfileWriteOptions? options = null) =>
        stream.Write(ToBytes(profile, format, options));

    /// <summary>Encodes a profile into a file, which appears whole or not at all.</summary>
    /// <exception cref="UserErrorException">The format cannot hold the profile, or the file cannot be written.</exception>
    public static void Save(string path, SampleProfile profile, SampleProfileFormat format, SampleProfileWriteOptions? options = null)
    {
        byte[] bytes = ToBytes(profile, format, options);
        try
        {
            WholeFile.Write(path, bytes);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UserErrorException($"{path} cannot be written: {e.Message}", e);
        }
    }
}
