using System.Security.Cryptography;
using System.Text;
using Perforator.Bytes;

namespace Perforator.Cli;

/// <summary>What <c>pgo</c> and <c>flags</c> gave last for the same question, and when nothing better can be had give again.</summary>
/// <param name="Path">The profile's file.</param>
/// <param name="Line">Its report in one line.</param>
internal sealed record LastProfile(string Path, string Line);

/// <summary>
/// Where profiles are left for compilers: names made of service and content, so that a build cache that looks at paths sees a new profile
/// as a new input and an old one as an old one. Bounded: those that were given out longest ago go first.
/// </summary>
internal static class ProfileCache
{
    /// <summary>Hexadecimal digits of the SHA-256 in a name: 128 bits.</summary>
    private const int HashDigits = 32;

    /// <summary>Bytes of profiles that are kept: some thousand of a small service, some ten of a very large one.</summary>
    public const long MaxBytes = 1L << 30;

    /// <summary>Files that are kept, whatever their size.</summary>
    public const int MaxFiles = 1000;

    /// <summary>A profile that was given out this recently may be in use by a build, and stays.</summary>
    public static readonly TimeSpan InUse = TimeSpan.FromHours(6);

    /// <summary>XDG Base Directory Specification: $XDG_CACHE_HOME when it is an absolute path, else ~/.cache.</summary>
    public static string Folder
    {
        get
        {
            string? cache = Environment.GetEnvironmentVariable("XDG_CACHE_HOME");
            if (cache is null || !Path.IsPathFullyQualified(cache))
                cache = Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".cache");
            return Path.Combine(cache, "perforator");
        }
    }

    private static string LastFolder => Path.Combine(Folder, "last");

    /// <summary>
    /// Writes a profile and returns its full path. A file that holds the very bytes already is left as it is, its time of change included.
    /// </summary>
    /// <param name="output">A file; or a folder to put it in under its content-addressed name; or null for the cache.</param>
    /// <param name="service">The service.</param>
    /// <param name="bytes">The profile.</param>
    /// <exception cref="UserErrorException">It cannot be written.</exception>
    public static string Write(string? output, string service, byte[] bytes)
    {
        if (output is { Length: 0 })
            throw new UserErrorException("the name after -o is empty; give a file or a folder");
        string path = Path.GetFullPath(output ?? Folder);
        if (output is null || output.EndsWith('/') || Directory.Exists(path))
            path = Path.Combine(path, $"{service}.{Convert.ToHexStringLower(SHA256.HashData(bytes))[..HashDigits]}.afdo");
        try
        {
            if (output is null)
                Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            if (!WholeFile.Holds(path, bytes))
                WholeFile.Write(path, bytes);
            if (output is null)
            {
                MarkUsed(path);
                Trim(Folder, MaxBytes, MaxFiles, DateTime.UtcNow);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UserErrorException($"cannot write {path}: {e.Message}; choose another place with -o", e);
        }
        return path;
    }

    /// <summary>Remembers what was given for a question. That it cannot be is no reason to fail: the profile itself is there.</summary>
    /// <param name="question">All that the profile depends on, but for time.</param>
    public static void Remember(string question, LastProfile profile)
    {
        try
        {
            Directory.CreateDirectory(LastFolder);
            WholeFile.Write(LastFile(question), Encoding.UTF8.GetBytes($"{profile.Path}\n{profile.Line}\n"));
            Trim(LastFolder, MaxBytes, MaxFiles, DateTime.UtcNow);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
        }
    }

    /// <summary>What was given last for a question, as long as the file is still there; else null.</summary>
    public static LastProfile? Last(string question)
    {
        try
        {
            if (File.ReadAllLines(LastFile(question)) is not [string path, string line] || !File.Exists(path))
                return null;
            MarkUsed(path);
            return new LastProfile(path, line);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <summary>
    /// Deletes the files of a folder that were used longest ago until it holds no more than it may; what is in use stays.
    /// </summary>
    /// <param name="now">The time, UTC.</param>
    internal static void Trim(string folder, long maxBytes, int maxFiles, DateTime now)
    {
        FileInfo[] files = [.. new DirectoryInfo(folder).EnumerateFiles().OrderByDescending(static file => file.LastAccessTimeUtc)];
        long bytes = 0;
        for (int i = 0; i < files.Length; i++)
        {
            try
            {
                bytes += files[i].Length;
                if ((bytes > maxBytes || i >= maxFiles) && now - files[i].LastAccessTimeUtc > InUse)
                    files[i].Delete();
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // Another process trims too, or the file is somebody else's.
            }
        }
    }

    /// <summary>
    /// The time of access is set, as mounts that do not keep it are common; the time of change is what make looks at, and stays.
    /// </summary>
    private static void MarkUsed(string path)
    {
        try
        {
            File.SetLastAccessTimeUtc(path, DateTime.UtcNow);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
        }
    }

    private static string LastFile(string question) =>
        Path.Combine(LastFolder, Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(question)))[..HashDigits]);
}
