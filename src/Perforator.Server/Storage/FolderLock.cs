namespace Perforator.Server.Storage;

/// <summary>A data folder is one server's at a time.</summary>
internal static class FolderLock
{
    /// <summary>What .NET gives as the error of a file that another process has locked.</summary>
    private const int EWOULDBLOCK = 11;

    /// <summary>Makes a folder at need, open to its user alone, and holds it until the result is closed.</summary>
    /// <exception cref="UserErrorException">Another server has it, or it is open to others and cannot be closed.</exception>
    public static FileStream Hold(string folder)
    {
        try
        {
            PrivateFolder.Claim(folder);
            // FileShare.None is flock(2) here: the kernel lets go of it however the process ends.
            FileStream held = new(Path.Combine(folder, "lock"), new FileStreamOptions
            {
                Mode = FileMode.OpenOrCreate,
                Access = FileAccess.ReadWrite,
                Share = FileShare.None,
                UnixCreateMode = PrivateFolder.OfFiles,
            });
            // Whoever may read it may hold it: earlier versions let everybody.
            File.SetUnixFileMode(held.SafeFileHandle, PrivateFolder.OfFiles);
            return held;
        }
        catch (IOException e) when (e.HResult == EWOULDBLOCK)
        {
            throw new UserErrorException($"another perforator serve uses {folder}; stop it or use another --data folder", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UserErrorException($"cannot keep data in {folder}: {e.Message}; choose another --data folder", e);
        }
    }
}
