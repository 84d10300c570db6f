using System.Runtime.InteropServices;

namespace Perforator.Bytes;

/// <summary>Files that appear under their name whole or not at all, and stay there once they do.</summary>
public static partial class WholeFile
{
    /// <summary>
    /// Writes beside the target and renames, so that a reader, a crash or a full disk never leaves part of a file under
    /// <paramref name="path"/>. Devices and pipes (/dev/stdout) are written to, and links are followed, never replaced. The folder must
    /// be there.
    /// </summary>
    /// <exception cref="UserErrorException">The path is empty, a folder, or in a folder that is missing.</exception>
    public static void Write(string path, ReadOnlySpan<byte> content)
    {
        using (FileStream? stream = OpenStream(path))
        {
            if (stream is not null)
            {
                stream.Write(content);
                return;
            }
        }
        string partial = PartialOf(ref path);
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

    /// <summary>Finds out before long work whether <see cref="Write"/> will succeed. What is there is left as it is.</summary>
    /// <exception cref="UserErrorException">It will not; the message says why.</exception>
    public static void Check(string path)
    {
        if (path.Length == 0)
            throw new UserErrorException("the name of the file to write is empty");
        // To open a pipe and close it again would end whoever reads it.
        if (File.Exists(path)
            && (IsDevice(Path.GetFullPath(path)) || IsDevice(File.ResolveLinkTarget(path, returnFinalTarget: true)?.FullName ?? path)))
            return;
        string file = path;
        try
        {
            using FileStream partial =
                new(PartialOf(ref file), FileMode.CreateNew, FileAccess.Write, FileShare.None, 0, FileOptions.DeleteOnClose);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            string reason =
                e is UnauthorizedAccessException
                    ? "permission denied" : e is FileNotFoundException ? "it takes no files" : e.Message.TrimEnd('.');
            throw new UserErrorException($"{path} cannot be written: folder {Path.GetDirectoryName(Path.GetFullPath(file))}: {reason}", e);
        }
    }

    private static bool IsDevice(string full) => full.StartsWith("/proc/", StringComparison.Ordinal)
        || (full.StartsWith("/dev/", StringComparison.Ordinal) && !full.StartsWith("/dev/shm/", StringComparison.Ordinal));

    /// <summary>The name under which a file is written before it has its own, and its own with links followed.</summary>
    private static string PartialOf(ref string path)
    {
        if (File.Exists(path))
            path = File.ResolveLinkTarget(path, returnFinalTarget: true)?.FullName ?? path;
        if (Directory.Exists(path))
            throw new UserErrorException($"{path} cannot be written: it is a folder");
        string folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        if (!Directory.Exists(folder))
            throw new UserErrorException($"{path} cannot be written: there is no folder {folder}");
        return Path.Combine(folder, $".{Path.GetFileName(path)}.{Path.GetRandomFileName()}.part");
    }

    /// <summary>Whether a file is there and has this content. Devices and pipes, which might never end, have none.</summary>
    public static bool Holds(string path, ReadOnlySpan<byte> content)
    {
        FileInfo file = new(path);
        file = file.Exists ? file.ResolveLinkTarget(returnFinalTarget: true) as FileInfo ?? file : file;
        return file.Exists && file.Length == content.Length && file.Length > 0 && File.ReadAllBytes(path).AsSpan().SequenceEqual(content);
    }

    /// <summary>
    /// Opens a device or pipe: something that takes bytes, but is no file that could be replaced. Null when the path is none.
    /// </summary>
    /// <exception cref="UserErrorException">The path is empty.</exception>
    public static FileStream? OpenStream(string path)
    {
        if (path.Length == 0)
            throw new UserErrorException("the name of the file to write is empty");
        string full = Path.GetFullPath(path);
        if (!File.Exists(full) || new FileInfo(full) is { LinkTarget: null, Length: > 0 })
            return null;
        FileStream stream = new(full, FileMode.Open, FileAccess.Write, FileShare.ReadWrite, bufferSize: 0);
        if (IsDevice(full) || !stream.CanSeek)
            return stream;
        stream.Dispose();
        return null;
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

    /// <summary>Has the disk know which files are in a folder: after this, what was deleted there does not come back.</summary>
    public static void FlushFolder(string folder)
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
