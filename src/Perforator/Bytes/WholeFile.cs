using System.Runtime.InteropServices;

namespace Perforator.Bytes;

/// <summary>Files that appear under their name whole or not at all, and stay there once they do.</summary>
public static partial class WholeFile
{
    /// <summary>
    /// Writes beside the target and renames, so that a reader, a crash or a full disk never leaves part of a file under
    /// <paramref name="path"/>.
    /// </summary>
    public static void Write(string path, ReadOnlySpan<byte> content)
    {
        string folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        Directory.CreateDirectory(folder);
        string partial = Path.Combine(folder, $".{Path.GetFileName(path)}.{Path.GetRandomFileName()}.part");
        try
        {
            File.WriteAllBytes(partial, content);
            Commit(partial, path);
        }
        catch
        {
            File.Delete(partial);
            throw;
        }
    }

    /// <summary>
    /// Flushes a finished file to the disk and renames it, on the same file system, to its final path, replacing what is there. The
    /// rename itself is on the disk when this returns: the folder is flushed too (fsync(2): "Calling fsync() does not necessarily ensure
    /// that the entry in the directory containing the file has also reached disk").
    /// </summary>
    public static void Commit(string partial, string path)
    {
        string folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        if (!Directory.Exists(folder))
        {
            Directory.CreateDirectory(folder);
            FlushFolder(Path.GetDirectoryName(folder)!);
        }
        using (FileStream file = new(partial, FileMode.Open, FileAccess.ReadWrite))
            file.Flush(flushToDisk: true);
        File.Move(partial, path, overwrite: true);
        FlushFolder(folder);
    }

    private static void FlushFolder(string folder)
    {
        const int O_RDONLY = 0, O_DIRECTORY = 0x10000, O_CLOEXEC = 0x80000;
        int descriptor = Open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (descriptor < 0)
            throw new IOException($"cannot open {folder}: {Marshal.GetLastPInvokeErrorMessage()}");
        int result = Fsync(descriptor);
        string error = Marshal.GetLastPInvokeErrorMessage();
        _ = Close(descriptor);
        if (result < 0)
            throw new IOException($"cannot flush {folder} to the disk: {error}");
    }

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static partial int Fsync(int descriptor);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int Close(int descriptor);
}
