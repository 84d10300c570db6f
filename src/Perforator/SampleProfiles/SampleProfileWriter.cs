using Perforator.Bytes;
using Perforator.SampleProfiles.Gcc;
using Perforator.SampleProfiles.Go;

namespace Perforator.SampleProfiles;

/// <summary>Writes sample profiles in the formats that compilers read. The same profile and options give the same bytes.</summary>
public static class SampleProfileWriter
{
    /// <summary>Encodes a profile.</summary>
    /// <param name="losses">Counts the samples that the format cannot hold.</param>
    /// <exception cref="UserErrorException">The format cannot hold the profile.</exception>
    public static byte[] ToBytes(
        SampleProfile profile, SampleProfileFormat format, SampleProfileWriteOptions? options = null, LossCounts? losses = null)
    {
        options ??= new SampleProfileWriteOptions();
        if (format == SampleProfileFormat.ExtBinary)
            return new ExtBinaryWriter(profile, options).Write().ToArray();
        if (format == SampleProfileFormat.Gcc)
            return GccProfileWriter.ToBytes(profile, options.GccVersion, losses);
        if (format == SampleProfileFormat.Go)
            return GoProfileWriter.ToBytes(profile, losses);
        ByteWriter output = new(4096);
        if (format == SampleProfileFormat.Text)
            new SampleProfileTextWriter(output, profile).Write();
        else
            new SampleProfileBinaryWriter(output, profile).WriteFile();
        return output.Written.ToArray();
    }

    /// <summary>Encodes a profile into a stream.</summary>
    /// <exception cref="UserErrorException">The format cannot hold the profile.</exception>
    public static void Write(
        Stream stream, SampleProfile profile, SampleProfileFormat format, SampleProfileWriteOptions? options = null,
        LossCounts? losses = null) =>
        stream.Write(ToBytes(profile, format, options, losses));

    /// <summary>Encodes a profile into a file, which appears whole or not at all.</summary>
    /// <exception cref="UserErrorException">The format cannot hold the profile, or the file cannot be written.</exception>
    public static void Save(
        string path, SampleProfile profile, SampleProfileFormat format, SampleProfileWriteOptions? options = null,
        LossCounts? losses = null)
    {
        byte[] bytes = ToBytes(profile, format, options, losses);
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
