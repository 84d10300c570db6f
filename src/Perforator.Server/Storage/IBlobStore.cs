namespace Perforator.Server.Storage;

/// <summary>
/// Keeps files under keys such as <c>binaries/6f3a…</c>. A blob never changes once stored. Every implementation passes
/// <c>BlobStoreContract</c>. All members may be called from any thread.
/// </summary>
public interface IBlobStore
{
    /// <summary>
    /// The full path of a local file with the blob's content, to be read and not changed; null when there is no such blob.
    /// </summary>
    Task<string?> FindAsync(string key, CancellationToken stop);

    /// <summary>Stores bytes, durably. A blob that is there already stays as it is.</summary>
    Task PutAsync(string key, ReadOnlyMemory<byte> content, CancellationToken stop);

    /// <summary>Stores a file made with <see cref="CreateTemporaryFile"/>, durably; the temporary file is gone afterwards.</summary>
    Task PutFileAsync(string key, string temporaryFile, CancellationToken stop);

    /// <summary>The path of a new temporary file on the store's own disk. What is left behind is removed at the next start.</summary>
    string CreateTemporaryFile();
}
