namespace Perforator.Server.Storage;

/// <summary>Folders and files that only the server's user may open, whatever the process's umask.</summary>
internal static class PrivateFolder
{
    /// <summary>0600.</summary>
    public const UnixFileMode OfFiles = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    private const UnixFileMode OfFolders = OfFiles | UnixFileMode.UserExecute;

    /// <summary>Makes a folder, or takes one that is there from others.</summary>
    public static void Make(string path)
    {
        if (!Directory.Exists(path))
            Directory.CreateDirectory(path, OfFolders);
        else if (File.GetUnixFileMode(path) != OfFolders)
            File.SetUnixFileMode(path, OfFolders);
    }
}
