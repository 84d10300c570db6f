namespace Perforator.Server.Storage;

/// <summary>
/// What is to be deleted is first unlisted (nothing in the database names it any more), then waits as long as a reader or a restored backup
/// may still want it, then is collected. Every implementation passes <c>ObjectCollectionContract</c>.
/// </summary>
public interface IObjectCollection
{
    /// <summary>Of some objects' keys, those that nothing in the database names.</summary>
    Task<IReadOnlyList<string>> UnlistedAsync(IReadOnlyList<string> keys, CancellationToken stop);

    /// <summary>Notes that objects are unlisted since a time; what was noted before keeps its time.</summary>
    Task NoteAsync(IReadOnlyList<string> keys, DateTimeOffset since, CancellationToken stop);

    /// <summary>
    /// Objects noted before a time that are unlisted still; from now on nothing can be listed under these keys
    /// (<see cref="UploadOutcome.Collecting"/>) until <see cref="EndAsync"/>. What was begun and not ended, by a server that died, is
    /// among them.
    /// </summary>
    Task<IReadOnlyList<string>> BeginAsync(DateTimeOffset notedBefore, int limit, CancellationToken stop);

    /// <summary>The objects are deleted: the keys may be used again.</summary>
    Task EndAsync(IReadOnlyList<string> keys, CancellationToken stop);
}
