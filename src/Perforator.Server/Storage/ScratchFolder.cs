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
        Directory.CreateDirectory(this.folder);
    }

    /// <summary>The path of a new, empty file.</summary>
    public string CreateFile()
    {
        string path = Path.Combine(folder, Path.GetRandomFileName());
        using FileStream file = new(path, FileMode.CreateNew);
        return path;
    }
}
