using Perforator.Bytes;

namespace Perforator.Cli;

/// <summary>
/// Where <c>pgo</c> leaves profiles: a name made of service and content, so that a build cache that looks at paths sees a new profile as a
/// new input and an old one as an old one.
/// </summary>
internal static class ContentAddressedFile
{
    /// <summary>Hexadecimal digits of the SHA-256 in a name: 128 bits.</summary>
    private const int HashDigits = 32;

    /// <summary>Writes a profile and returns its full path. A file that holds the very bytes already is left alone, its time included.</summary>
    /// <param name="output">A file; or a folder to put it in under its content-addressed name; or null for the cache folder.</param>
    /// <param name="service">The service.</param>
    /// <param name="hash">SHA-256 of the bytes.</param>
    /// <param name="bytes">The profile.</param>
    public static string Write(string? output, string service, string hash, byte[] bytes)
    {
        if (output is { Length: 0 })
            throw new UserErrorException("the name after -o is empty; give a file or a folder");
        string path = Path.GetFullPath(output ?? CacheFolder());
        if (output is null || output.EndsWith('/') || Directory.Exists(path))
            path = Path.Combine(path, $"{service}.{hash[..HashDigits]}.afdo");
        try
        {
            if (output is null)
                Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            if (!WholeFile.Holds(path, bytes))
                WholeFile.Write(path, bytes);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UserErrorException($"cannot write {path}: {e.Message}; choose another place with -o", e);
        }
        return path;
    }

    /// <summary>XDG Base Directory Specification: $XDG_CACHE_HOME when it is an absolute path, else ~/.cache.</summary>
    private static string CacheFolder()
    {
        string? cache = Environment.GetEnvironmentVariable("XDG_CACHE_HOME");
        if (cache is null || !Path.IsPathFullyQualified(cache))
            cache = Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".cache");
        return Path.Combine(cache, "perforator");
    }
}
