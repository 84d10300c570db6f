namespace Perforator.Server.Storage;

/// <summary>A folder of this machine for files that are not whole yet. What an earlier run left there is removed at the start.</summary>
public sealed class ScratchFolder
{
    private readonly string folder;

    /// <param name="folder">The folder; made when missing, emptied when there. It belongs to one process at a time.</param>
    public ScratchFolder(string folder)
    {
        this.folder = Path.GetFullPath(folder);
        if (Directory.Exists(this.folder))
            Directory.Delete(this.folder, recursive: true);
        PrivateFolder.Make(this.folder);
    }

    /// <summary>Finds out whether there is room, by writing a megabyte.</summary>
    /// <exception cref="IOException">The disk is full or cannot be written to.</exception>
    public async Task CheckAsync(CancellationToken stop)
    {
        string file = Path.Combine(folder, Path.GetRandomFileName());
        try
        {
            await using FileStream written = new(file, FileMode.CreateNew, FileAccess.Write, FileShare.None, 1);
            await written.WriteAsync(new byte[1 << 20], stop);
            written.Flush(flushToDisk: true);
        }
        catch (IOException e) when (e.HResult == ENOSPC)
        {
            throw new IOException($"the disk of {folder} is full; make room", e);
        }
        finally
        {
            File.Delete(file);
        }
    }

    /// <summary>What .NET gives as the error of a full disk.</summary>
    private const int ENOSPC = 28;

    /// <summary>The path of a new, empty file.</summary>
    public string CreateFile()
    {
        string path = Path.Combine(folder, Path.GetRandomFileName());
        try
        {
            using FileStream file =
                new(path, new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, UnixCreateMode = PrivateFolder.OfFiles });
            return path;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            StorageMetrics.Failed(StorageMetrics.Objects);
            throw;
        }
    }
}
