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
    public async Task PutAsync(string key, ReadOnlyMemory<byte> content, CancellationToken stop)
    {
        string partial = scratch.CreateFile();
        try
        {
            await File.WriteAllBytesAsync(partial, content, stop);
        }
        catch
        {
            StorageMetrics.Failed(StorageMetrics.Objects);
            File.Delete(partial);
            throw;
        }
        await PutFileAsync(key, partial, stop);
    }

    /// <inheritdoc/>
    public Task PutFileAsync(string key, string file, CancellationToken stop)
    {
        try
        {
            WholeFile.Commit(file, PathOf(key));
        }
        catch (IOException)
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
    public async Task<byte[]?> ReadAsync(string key, long offset, int length, CancellationToken stop)
    {
        await using FileStream? file = Open(key);
        if (file is null)
            return null;
        file.Position = offset;
        byte[] bytes = new byte[Math.Clamp(file.Length - offset, 0, length)];
        int n = await file.ReadAtLeastAsync(bytes, bytes.Length, throwOnEndOfStream: false, stop);
        return n == bytes.Length ? bytes : bytes[..n];
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
        foreach (FileInfo file in new DirectoryInfo(folder).EnumerateFiles("*", new EnumerationOptions { RecurseSubdirectories = true, AttributesToSkip = 0 }))
        {
            stop.ThrowIfCancellationRequested();
            string key = Path.GetRelativePath(folder, file.FullName);
            if (key.StartsWith(prefix, StringComparison.Ordinal) && !key.StartsWith(EmbeddedStorage.ScratchName + "/", StringComparison.Ordinal) && file.Exists)
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
            return new FileStream(PathOf(key), FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, 1, FileOptions.Asynchronous);
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
