using Microsoft.Win32.SafeHandles;

namespace Perforator.Bytes;

/// <summary>Opens and reads files that a user names; what can be wrong with one is said in one line.</summary>
public static class InputFile
{
    /// <summary>The most that is read into memory of a pipe or device, which do not tell their length: 1 GiB.</summary>
    public const int MaxUnknownLength = 1 << 30;

    /// <summary>The path that stands for standard input.</summary>
    public const string StandardInput = "-";

    /// <summary>What messages call a path.</summary>
    public static string NameOf(string path) => path == StandardInput ? "standard input" : path;

    /// <summary>Opens a file, pipe or device, or standard input, for reading from its beginning to its end.</summary>
    /// <exception cref="UserErrorException">Missing, a folder, or not readable; or a terminal as standard input.</exception>
    public static FileStream Open(string path, FileOptions options = FileOptions.SequentialScan)
    {
        try
        {
            if (path == StandardInput)
                return OpenStandardInput();
            if (Directory.Exists(path))
                throw new UserErrorException($"{path} is a folder; a file is expected");
            return new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, bufferSize: 0, options);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new UserErrorException($"{path} does not exist", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            throw Unreadable(path, e);
        }
    }

    /// <summary>Reads a file into memory.</summary>
    /// <exception cref="UserErrorException">Missing, a folder, not readable, or too large to be held in memory.</exception>
    public static byte[] ReadWhole(string path)
    {
        using FileStream file = Open(path);
        return ReadWhole(file, NameOf(path));
    }

    /// <summary>Reads a file or pipe that stands at its beginning into memory.</summary>
    /// <param name="path">What messages call it.</param>
    /// <exception cref="UserErrorException">Not readable, or too large to be held in memory.</exception>
    public static byte[] ReadWhole(Stream file, string path)
    {
        try
        {
            long length = file.CanSeek ? file.Length : 0;
            if (length > Array.MaxLength)
                throw new UserErrorException($"{path} has {length} bytes, more than fit in memory at once");
            byte[] content = new byte[length];
            Array.Resize(ref content, file.ReadAtLeast(content, content.Length, throwOnEndOfStream: false));
            return length > 0 ? content : ReadUnknownLength(file, path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw Unreadable(path, e);
        }
    }

    /// <summary>By its descriptor, since what /dev/stdin names cannot be opened again where it is a socket, as below sshd.</summary>
    private static FileStream OpenStandardInput() => Console.IsInputRedirected
        ? new FileStream(new SafeFileHandle(0, ownsHandle: false), FileAccess.Read, bufferSize: 0)
        : throw new UserErrorException("standard input is a terminal; pipe the data into it, or name a file");

    private static byte[] ReadUnknownLength(Stream file, string path)
    {
        byte[] content = new byte[1 << 16];
        for (int filled = 0; ;)
        {
            int read = file.Read(content, filled, content.Length - filled);
            filled += read;
            if (read == 0)
                return content[..filled];
            if (filled == MaxUnknownLength)
                throw new UserErrorException($"{path} did not end after {MaxUnknownLength >> 30} GiB; a file is expected");
            if (filled == content.Length)
                Array.Resize(ref content, 2 * filled);
        }
    }

    private static UserErrorException Unreadable(string path, Exception e) =>
        new(path.Length == 0 ? "the name of a file is empty" : $"{path} cannot be read: {e.Message}", e);
}
