namespace Perforator.Server.Storage;

/// <summary>
/// The embedded store: one folder with <c>perforator.db</c> (SQLite), <c>blobs/</c> and <c>lock</c>, held by one server at a time.
/// </summary>
internal sealed class DataFolder : IDisposable
{
    private readonly FileStream held;

    private DataFolder(FileStream held, FileBlobStore blobs, SqliteProfileStore profiles)
    {
        this.held = held;
        Blobs = blobs;
        Profiles = profiles;
    }

    public FileBlobStore Blobs { get; }

    public SqliteProfileStore Profiles { get; }

    /// <exception cref="UserErrorException">The folder cannot be created or read, or another server has it.</exception>
    public static DataFolder Open(string folder)
    {
        FileStream? held = null;
        try
        {
            Directory.CreateDirectory(folder);
            string lockFile = Path.Combine(folder, "lock");
            try
            {
                // FileShare.None is flock(2) here: the kernel lets go of it however the process ends.
                held = new FileStream(lockFile, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            }
            catch (IOException e) when (File.Exists(lockFile))
            {
                throw new UserErrorException($"another perforator serve uses {folder}; stop it or use another --data folder", e);
            }
            FileBlobStore blobs = new(Path.Combine(folder, "blobs"));
            return new DataFolder(held, blobs, new SqliteProfileStore(Path.Combine(folder, "perforator.db"), blobs));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            held?.Dispose();
            throw new UserErrorException($"cannot keep data in {folder}: {e.Message}; choose another --data folder", e);
        }
        catch
        {
            held?.Dispose();
            throw;
        }
    }

    public void Dispose()
    {
        Profiles.Dispose();
        held.Dispose();
    }
}
