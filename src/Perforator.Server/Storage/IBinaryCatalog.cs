namespace Perforator.Server.Storage;

/// <summary>What a file of a build is.</summary>
public enum BinaryKind
{
    /// <summary>The executable or library itself, with or without debug info.</summary>
    Executable,

    /// <summary>A file with its debug info alone (<c>objcopy --only-keep-debug</c>).</summary>
    Debug,

    /// <summary>A package of split DWARF (<c>.dwp</c>).</summary>
    SplitDebug,
}

/// <summary>A file of a build.</summary>
/// <param name="BuildId">The build.</param>
/// <param name="Kind">What it is.</param>
/// <param name="Object">Key of its object.</param>
/// <param name="Bytes">Its length.</param>
/// <param name="ExecutableBytes">Bytes of code in it.</param>
/// <param name="HasDebugInfo">Whether it has debug info.</param>
/// <param name="Added">When it came.</param>
public sealed record BinaryFile(
    BuildId BuildId, BinaryKind Kind, string Object, long Bytes, ulong ExecutableBytes, bool HasDebugInfo, DateTimeOffset Added)
{
    /// <summary>
    /// Whether this file should take the place of another of the same build and kind: it has debug info and the other has not.
    /// </summary>
    public bool IsFullerThan(BinaryFile other) => HasDebugInfo && !other.HasDebugInfo;
}

/// <summary>
/// Knows which files of which builds there are: one of each kind. Every implementation passes <c>BinaryCatalogContract</c>. Promises
/// about crashes, threads and servers are those of <see cref="IProfileIndex"/>.
/// </summary>
public interface IBinaryCatalog
{
    /// <summary>A build's files, by kind.</summary>
    Task<IReadOnlyList<BinaryFile>> FindAsync(BuildId buildId, CancellationToken stop);

    /// <summary>The files of many builds, in no particular order.</summary>
    Task<IReadOnlyList<BinaryFile>> FindAsync(IReadOnlyCollection<BuildId> buildIds, CancellationToken stop);

    /// <summary>
    /// Debug files of which there is no executable: those that a program's debug info may name as shared with others (dwz), or whose
    /// executable has not come.
    /// </summary>
    Task<IReadOnlyList<BinaryFile>> ListSharedAsync(CancellationToken stop);

    /// <summary>
    /// Lists a file whose object has been put. One that is there already stays, unless the new one is fuller
    /// (<see cref="BinaryFile.IsFullerThan"/>) or <paramref name="replace"/> is set.
    /// </summary>
    /// <returns>False when the one that was there stays, or the object is just being collected (put it again then).</returns>
    Task<bool> AddAsync(BinaryFile file, bool replace, CancellationToken stop);

    /// <summary>Unlists a file, because it is damaged.</summary>
    Task RemoveAsync(BinaryFile file, CancellationToken stop);

    /// <summary>Unlists files that came before a time and of whose build no service has anything. Gives how many.</summary>
    Task<long> RemoveUnusedAsync(DateTimeOffset addedBefore, CancellationToken stop);
}
