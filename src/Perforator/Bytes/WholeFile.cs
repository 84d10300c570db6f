namespace Perforator.Bytes;

/// <summary>Files that appear under their name whole or not at all.</summary>
public static class WholeFile
{
    /// <summary>
    /// Writes beside the target, flushes to the disk and renames, so that a reader, a crash or a full disk never leaves part of a file
    /// under <paramref name="path"/>.
    /// </summary>
    public static void Write(string path, ReadOnlySpan<byte> content)
    {
        string folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        Directory.CreateDirectory(folder);
        string partial = Path.Combine(folder, $".{Path.GetFileName(path)}.{Path.GetRandomFileName()}.part");
        try
        {
            using (FileStream file = new(partial, FileMode.CreateNew, FileAccess.Write))
            {
                file.Write(content);
                file.Flush(flushToDisk: true);
            }
            File.Move(partial, path, overwrite: true);
        }
        catch
        {
            File.Delete(partial);
            throw;
        }
    }
}
