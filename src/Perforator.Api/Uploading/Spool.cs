using Perforator.Bytes;

namespace Perforator.Api.Uploading;

/// <summary>
/// A folder in which an agent keeps what the server has not acknowledged. Files appear whole and on the disk, or not at all; nothing here
/// throws for what a disk may do: <see cref="Trouble"/> says it, and the next write tries anew.
/// </summary>
public sealed class Spool : IDisposable
{
    /// <summary>What .NET gives as the error of a file that another process has locked.</summary>
    private const int EWOULDBLOCK = 11;

    private readonly string folder;
    private FileStream? held;

    /// <param name="folder">Made at need, open to its user alone.</param>
    public Spool(string folder) => this.folder = Path.GetFullPath(folder);

    /// <summary>Where it is.</summary>
    public string Folder => folder;

    /// <summary>Why the latest write or read failed, in one line for people; null when it did not.</summary>
    public string? Trouble { get; private set; }

    /// <summary>
    /// Takes the folder for this process alone, clears away what a kill left half written, and finds out whether it can be written to.
    /// </summary>
    /// <returns>The names of the files there; null when it cannot be used, or was open before.</returns>
    public IReadOnlyList<string>? TryOpen() => held is not null ? null : Try(() =>
    {
        if (!Directory.Exists(folder))
            Directory.CreateDirectory(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        FileStream taken = new(Path.Combine(folder, ".lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        try
        {
            foreach (string partial in Directory.GetFiles(folder, ".*.part"))
                File.Delete(partial);
            // A full disk may still take an empty file.
            string trial = Path.Combine(folder, ".trial");
            WholeFile.Write(trial, new byte[4096]);
            File.Delete(trial);
            string[] names =
                [.. Directory.GetFiles(folder, "*" + Branches.BranchProfileCodec.FileExtension).Select(path => Path.GetFileName(path)!)];
            held = taken;
            return names;
        }
        finally
        {
            if (held is null)
                taken.Dispose();
        }
    });

    /// <summary>Writes a file; when this is true it is on the disk.</summary>
    public bool TryWrite(string name, ReadOnlySpan<byte> content)
    {
        byte[] bytes = content.ToArray();
        return held is not null && Try(() =>
        {
            WholeFile.Write(Path.Combine(folder, name), bytes);
            return "";
        }) is not null;
    }

    /// <summary>Reads a file; null when it is gone or cannot be read.</summary>
    public byte[]? TryRead(string name) => Try(() => File.ReadAllBytes(Path.Combine(folder, name)));

    /// <summary>The size of a file in bytes; 0 when it is gone.</summary>
    public long SizeOf(string name) => new FileInfo(Path.Combine(folder, name)) is { Exists: true } file ? file.Length : 0;

    /// <summary>Deletes files for good: when this returns they do not come back after a power cut either.</summary>
    public bool TryDelete(params IEnumerable<string> names) => Try(() =>
    {
        foreach (string name in names)
            File.Delete(Path.Combine(folder, name));
        WholeFile.FlushFolder(folder);
        return "";
    }) is not null;

    public void Dispose() => held?.Dispose();

    private T? Try<T>(Func<T> action)
        where T : class
    {
        try
        {
            T done = action();
            Trouble = null;
            return done;
        }
        catch (IOException e) when (e.HResult == EWOULDBLOCK)
        {
            Trouble = $"the spool {folder} is another agent's; give each its own with --spool";
        }
        catch (UnauthorizedAccessException)
        {
            Trouble = $"the spool {folder} may not be written to: permission denied; give its folder to the agent's user, or name another with --spool";
        }
        catch (Exception e) when (e is IOException or UserErrorException)
        {
            Trouble = $"the spool {folder} cannot be used: {e.Message.TrimEnd('.')}; mend it, or name another folder with --spool";
        }
        return null;
    }
}
