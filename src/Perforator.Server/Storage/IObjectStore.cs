namespace Perforator.Server.Storage;

/// <summary>What is known of an object without reading it.</summary>
/// <param name="Key">Its key.</param>
/// <param name="Bytes">Its length.</param>
/// <param name="Modified">When it was last put, by the store's clock.</param>
public sealed record StoredObject(string Key, long Bytes, DateTimeOffset Modified);

/// <summary>Where bytes lie: all of an object, or a part of it.</summary>
/// <param name="Object">The object's key.</param>
/// <param name="Start">Where in the object they begin, in bytes.</param>
/// <param name="Length">How many bytes they are; 0 for all that follow, where it was not noted.</param>
public readonly record struct ObjectSlice(string Object, long Start, long Length);

/// <summary>A file on this machine with an object's bytes, to be read and not changed. It stays until this is disposed.</summary>
public abstract class LocalObject : IDisposable
{
    /// <summary>The file's full path.</summary>
    public abstract string Path { get; }

    /// <inheritdoc/>
    public abstract void Dispose();
}

/// <summary>
/// Keeps bytes under keys such as <c>binaries/6f3a…</c>: <c>/</c>-separated parts of ASCII letters, digits, '.', '-' and '_', none of them
/// beginning with '.'. Every implementation passes <c>ObjectStoreContract</c>. All members may be called from any thread, and from any
/// number of servers on the same store.
/// </summary>
/// <remarks>
/// What lies under a key is determined by the key (it has the hash of the content in it), which is what makes the promises cheap: putting
/// twice is putting once, and a reader never sees anything but the whole content or nothing. What fails throws <see cref="IOException"/>
/// with a message that names the key and the store; an <see cref="ArgumentException"/> means a key of another form.
/// </remarks>
public interface IObjectStore
{
    /// <summary>
    /// Stores bytes. When the task completes they survive a crash of the process or the machine; until then nothing is seen under the key,
    /// or what was there before. An object that is there already is replaced: so a damaged one is healed.
    /// </summary>
    Task PutAsync(string key, ReadOnlyMemory<byte> content, CancellationToken stop);

    /// <summary>As the other, from a file of this machine, which may be moved: it is gone afterwards, whatever happens.</summary>
    /// <param name="file">A file of <see cref="ScratchFolder"/>.</param>
    Task PutFileAsync(string key, string file, CancellationToken stop);

    /// <summary>The object's content from its beginning; null when there is no such object.</summary>
    Task<Stream?> OpenAsync(string key, CancellationToken stop);

    /// <summary>Part of an object's content; null when there is no such object. Fewer bytes when it ends earlier.</summary>
    Task<byte[]?> ReadAsync(string key, long offset, int length, CancellationToken stop);

    /// <summary>The bytes of a slice; null when there is no such object. Fewer when it ends earlier.</summary>
    Task<byte[]?> ReadAsync(ObjectSlice slice, CancellationToken stop) =>
        ReadAsync(slice.Object, slice.Start, slice.Length is > 0 and < int.MaxValue ? (int)slice.Length : int.MaxValue, stop);

    /// <summary>
    /// The object as a file of this machine, fetched at need and at most once for any number of callers; null when there is no such object.
    /// </summary>
    Task<LocalObject?> LeaseAsync(string key, CancellationToken stop);

    /// <summary>What is known of an object, without fetching it; null when there is none.</summary>
    Task<StoredObject?> StatAsync(string key, CancellationToken stop);

    /// <summary>
    /// All objects whose key begins with a prefix, in no particular order. What is put or deleted meanwhile may or may not be seen.
    /// </summary>
    IAsyncEnumerable<StoredObject> ListAsync(string prefix, CancellationToken stop);

    /// <summary>
    /// Moves an object whose content is damaged aside, to <see cref="ObjectKeys.Quarantined"/>, for people to look at: there is none under
    /// its key any more. Nothing happens when there is none.
    /// </summary>
    Task QuarantineAsync(string key, CancellationToken stop);

    /// <summary>Deletes an object; nothing happens when there is none. Whoever has it open or leased keeps what they have.</summary>
    Task DeleteAsync(string key, CancellationToken stop);
}

/// <summary>What keys look like.</summary>
internal static class ObjectKeys
{
    /// <summary>Keys are made by the server, never by a client; this guards against a slip.</summary>
    /// <exception cref="ArgumentException">The text is not a key.</exception>
    public static void Check(string key)
    {
        foreach (string part in key.Split('/'))
            if (part.Length == 0 || part[0] == '.' || !part.All(static c => char.IsAsciiLetterOrDigit(c) || c is '.' or '-' or '_'))
                throw new ArgumentException($"'{key}' is not an object's key", nameof(key));
    }

    /// <summary>What all keys begin with.</summary>
    public static readonly IReadOnlyList<string> Prefixes = [Packs, Profiles, "sums/", "binaries/", Parts, "results/", "quarantine/"];

    /// <summary>What packs of uploads begin with.</summary>
    public const string Packs = "packs/";

    /// <summary>What uploads begin with that have an object of their own.</summary>
    public const string Profiles = "profiles/";

    /// <summary>What parts of binaries begin with that are not whole yet. Nothing lists them, so that they are collected in time.</summary>
    public const string Parts = "parts/";

    /// <summary>Where a damaged object is moved. Nothing lists it, so that it is collected in time.</summary>
    public static string Quarantined(string key) => $"quarantine/{key}";

    /// <summary>Uploads that came together, as they came, one behind the other; by the hash of all their bytes.</summary>
    public static string Pack(string hash) => $"{Packs}{hash}";

    /// <summary>
    /// An upload by itself, as it came: one that was stored before there were packs, or was damaged (<see cref="Quarantined"/>).
    /// </summary>
    public static string Upload(string hash) => $"{Profiles}{hash}{Branches.BranchProfileCodec.FileExtension}";

    /// <summary>A sum of uploads.</summary>
    public static string Block(string hash) => $"sums/{hash}";

    /// <summary>An executable or debug file, by the hash of its bytes.</summary>
    public static string Binary(string contentHash) => $"binaries/{contentHash}";

    /// <summary>A generated sample profile, by the hash of its bytes.</summary>
    public static string Result(string hash) => $"results/{hash}.profile";
}
