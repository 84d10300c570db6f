using System.Runtime.CompilerServices;
using Perforator.Bytes;

namespace Perforator.Server.Storage.Embedded;

/// <summary>Objects as files: <c>&lt;folder&gt;/&lt;key&gt;</c>.</summary>
public sealed class FileObjectStore : IObjectStore
{
    private readonly string folder;
    private readonly ScratchFolder scratch;

    /// <param name="folder">Where the objects are; made when missing.</param>
    /// <param name="scratch">A folder on the same disk.</param>
    public FileObjectStore(string folder, ScratchFolder scratch)
    {
        this.folder = Path.GetFullPath(folder);
        this.scratch = scratch;
        Directory.CreateDirectory(this.folder);
    }

    /// <inheritdoc/>
    public Task PutAsync(string key, ReadOnlyMemory<byte> content, CancellationToken stop)
    {
        stop.ThrowIfCancellationRequested();
        ObjectKeys.Check(key);
        string file = scratch.CreateFile();
        try
        {
            File.WriteAllBytes(file, content.Span);
        }
        catch (Exception e)
        {
            if (e is IOException or UnauthorizedAccessException)
                StorageMetrics.Failed(StorageMetrics.Objects);
            File.Delete(file);
            throw;
        }
        return PutFileAsync(key, file, stop);
    }

    /// <inheritdoc/>
    public Task PutFileAsync(string key, string file, CancellationToken stop)
    {
        try
        {
            WholeFile.Commit(file, PathOf(key));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            StorageMetrics.Failed(StorageMetrics.Objects);
            throw;
        }
        finally
        {
            File.Delete(file);
        }
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task<Stream?> OpenAsync(string key, CancellationToken stop) => Task.FromResult<Stream?>(Open(key));

    /// <inheritdoc/>
    public Task<byte[]?> ReadAsync(string key, long offset, int length, CancellationToken stop)
    {
        stop.ThrowIfCancellationRequested();
        // A file of a disk of this machine is read sooner than another thread begins with it.
        using FileStream? file = Open(key);
        if (file is null)
            return Task.FromResult<byte[]?>(null);
        file.Position = offset;
        byte[] bytes = GC.AllocateUninitializedArray<byte>((int)Math.Clamp(file.Length - offset, 0, length));
        int n = file.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false);
        return Task.FromResult<byte[]?>(n == bytes.Length ? bytes : bytes[..n]);
    }

    /// <inheritdoc/>
    public Task<LocalObject?> LeaseAsync(string key, CancellationToken stop)
    {
        string path = PathOf(key);
        return Task.FromResult<LocalObject?>(File.Exists(path) ? new TheFile(path) : null);
    }

    /// <inheritdoc/>
    public Task<StoredObject?> StatAsync(string key, CancellationToken stop)
    {
        FileInfo file = new(PathOf(key));
        return Task.FromResult(file.Exists ? new StoredObject(key, file.Length, file.LastWriteTimeUtc) : null);
    }

    /// <inheritdoc/>
    public async IAsyncEnumerable<StoredObject> ListAsync(string prefix, [EnumeratorCancellation] CancellationToken stop)
    {
        await Task.CompletedTask;
        DirectoryInfo below = new(Path.Combine(folder, prefix[..(prefix.LastIndexOf('/') + 1)]));
        if (!below.Exists)
            yield break;
        foreach (FileInfo file in below.EnumerateFiles("*", new EnumerationOptions { RecurseSubdirectories = true, AttributesToSkip = 0 }))
        {
            stop.ThrowIfCancellationRequested();
            string key = Path.GetRelativePath(folder, file.FullName);
            if (key.StartsWith(prefix, StringComparison.Ordinal)
                && !key.StartsWith(EmbeddedStorage.ScratchName + "/", StringComparison.Ordinal) && file.Exists)
                yield return new StoredObject(key, file.Length, file.LastWriteTimeUtc);
        }
    }

    /// <inheritdoc/>
    public Task QuarantineAsync(string key, CancellationToken stop)
    {
        string path = PathOf(key), aside = PathOf(ObjectKeys.Quarantined(key));
        if (File.Exists(path))
        {
            Directory.CreateDirectory(Path.GetDirectoryName(aside)!);
            File.Move(path, aside, overwrite: true);
        }
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task DeleteAsync(string key, CancellationToken stop)
    {
        string path = PathOf(key);
        if (File.Exists(path))
            File.Delete(path);
        return Task.CompletedTask;
    }

    private FileStream? Open(string key)
    {
        try
        {
            return new FileStream(PathOf(key), FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, 1);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            return null;
        }
    }

    private string PathOf(string key)
    {
        ObjectKeys.Check(key);
        return Path.Combine(folder, key);
    }

    /// <summary>The object's own file; whoever deletes it only takes its name away.</summary>
    private sealed class TheFile(string path) : LocalObject
    {
        public override string Path => path;

        public override void Dispose()
        {
        }
    }
}
