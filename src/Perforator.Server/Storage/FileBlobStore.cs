using Perforator.Bytes;

namespace Perforator.Server.Storage;

/// <summary>Blobs as files: <c>&lt;folder&gt;/&lt;key&gt;</c>, with temporary files in <c>&lt;folder&gt;/tmp</c>.</summary>
public sealed class FileBlobStore : IBlobStore
{
    private readonly string folder;
    private readonly string temporary;

    /// <param name="folder">Where the blobs are kept; created when missing. Temporary files of an earlier run are removed.</param>
    public FileBlobStore(string folder)
    {
        this.folder = Path.GetFullPath(folder);
        temporary = Path.Combine(this.folder, "tmp");
        if (Directory.Exists(temporary))
            Directory.Delete(temporary, recursive: true);
        Directory.CreateDirectory(temporary);
    }

    /// <inheritdoc/>
    public Task<string?> FindAsync(string key, CancellationToken stop)
    {
        string path = PathOf(key);
        return Task.FromResult(File.Exists(path) ? path : null);
    }

    /// <inheritdoc/>
    public async Task PutAsync(string key, ReadOnlyMemory<byte> content, CancellationToken stop)
    {
        string partial = CreateTemporaryFile();
        try
        {
            await File.WriteAllBytesAsync(partial, content, stop);
            await PutFileAsync(key, partial, stop);
        }
        finally
        {
            File.Delete(partial);
        }
    }

    /// <inheritdoc/>
    public Task PutFileAsync(string key, string temporaryFile, CancellationToken stop)
    {
        string path = PathOf(key);
        if (File.Exists(path))
            File.Delete(temporaryFile);
        else
            WholeFile.Commit(temporaryFile, path);
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public string CreateTemporaryFile()
    {
        string path = Path.Combine(temporary, Path.GetRandomFileName());
        using FileStream file = new(path, FileMode.CreateNew);
        return path;
    }

    /// <summary>Keys are made by the server, never by a client; this guards against a slip.</summary>
    private string PathOf(string key)
    {
        foreach (string part in key.Split('/'))
            if (part.Length == 0 || part[0] == '.' || !part.All(static c => char.IsAsciiLetterOrDigit(c) || c is '.' or '-' or '_'))
                throw new ArgumentException($"'{key}' is not a blob key", nameof(key));
        return Path.Combine(folder, key);
    }
}
