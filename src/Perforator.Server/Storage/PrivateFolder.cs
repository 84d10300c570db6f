namespace Perforator.Server.Storage;

/// <summary>Folders and files that only the server's user may open, whatever the process's umask.</summary>
internal static class PrivateFolder
{
    /// <summary>0600.</summary>
    public const UnixFileMode OfFiles = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    private const UnixFileMode OfFolders = OfFiles | UnixFileMode.UserExecute;

    private const UnixFileMode OfAnybody = OfFolders | UnixFileMode.SetGroup | UnixFileMode.SetUser | UnixFileMode.StickyBit;

    /// <summary>What a server itself makes in its data folder, and a disk in its root.</summary>
    private static readonly HashSet<string> Own =
        ["lock", "perforator.db", "perforator.db-wal", "perforator.db-shm", "perforator.db-journal", "blobs", "tmp", "cache", "lost+found"];

    /// <summary>Makes a data folder, or takes from others one that has nothing else in it.</summary>
    /// <exception cref="UserErrorException">It is open to others and not this user's to close, or has more in it.</exception>
    public static void Claim(string path)
    {
        if (!Directory.Exists(path))
        {
            Directory.CreateDirectory(path, OfFolders);
            return;
        }
        UnixFileMode mode = File.GetUnixFileMode(path);
        if ((mode & ~OfAnybody) == 0)
            return;
        string open = $"{path} is open to others (mode {Convert.ToString((int)mode, 8)})";
        if (Directory.EnumerateFileSystemEntries(path).Select(Path.GetFileName)
            .FirstOrDefault(static name => !Own.Contains(name!)) is { } other)
            throw new UserErrorException(
                $"{open} and holds more than a server's data ({other}): chmod 700 it, or choose another --data folder");
        try
        {
            File.SetUnixFileMode(path, mode & OfAnybody);
        }
        catch (UnauthorizedAccessException e)
        {
            throw new UserErrorException(
                $"{open} and another user's: have it closed to others, or choose a new folder in it, as --data {Path.Join(path, "data")}",
                e);
        }
    }

    /// <summary>Takes a file that is there from others.</summary>
    public static void Close(string file)
    {
        if (File.Exists(file) && File.GetUnixFileMode(file) != OfFiles)
            File.SetUnixFileMode(file, OfFiles);
    }

    /// <summary>Makes a folder, or takes one that is there from others.</summary>
    public static void Make(string path)
    {
        if (!Directory.Exists(path))
            Directory.CreateDirectory(path, OfFolders);
        else if (File.GetUnixFileMode(path) != OfFolders)
            File.SetUnixFileMode(path, OfFolders);
    }
}
