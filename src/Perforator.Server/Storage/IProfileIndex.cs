using Perforator.Branches;

namespace Perforator.Server.Storage;

/// <summary>One upload, as the index files it.</summary>
/// <param name="Hash">Hash of its content: its identity.</param>
/// <param name="Service">The service it is of.</param>
/// <param name="Labels">Its labels.</param>
/// <param name="Start">When its observation began.</param>
/// <param name="End">When it ended. Neither is after <paramref name="Received"/>: whose clock is ahead does not come to lie in the
/// future.</param>
/// <param name="Received">When the server got it.</param>
/// <param name="Samples">Branch stacks in it.</param>
/// <param name="Bytes">Its length.</param>
/// <param name="Builds">The binaries of which it observed something.</param>
public sealed record NewUpload(
    string Hash, string Service, IReadOnlyDictionary<string, string> Labels, DateTimeOffset Start, DateTimeOffset End,
    DateTimeOffset Received,
    ulong Samples, long Bytes, IReadOnlyList<UploadedBuild> Builds)
{
    /// <summary>Key of the object that it is a part of; null for one of its own, <see cref="ObjectKeys.Upload"/>.</summary>
    public string? Object { get; init; }

    /// <summary>Where in that object it begins, in bytes.</summary>
    public long StartAt { get; init; }

    /// <summary>Files a decoded set.</summary>
    public static NewUpload Of(string hash, long bytes, BranchProfileSet set, DateTimeOffset received)
    {
        DateTimeOffset end = set.End < received ? set.End : received;
        return new NewUpload(
            hash, set.Service ?? throw new ArgumentException("a set without a service", nameof(set)), set.Labels,
            set.Start < end ? set.Start : end, end, received,
            set.TotalSamples, bytes,
            [.. set.Profiles.Values.Where(static build => !build.IsEmpty)
                .Select(static build => new UploadedBuild(build.BuildId, build.Path, build.Samples, build.InternalBranches))]);
    }
}

/// <summary>What an upload has of one binary.</summary>
/// <param name="BuildId">The binary.</param>
/// <param name="Path">Where it was seen.</param>
/// <param name="Samples">Branch stacks that touched it.</param>
/// <param name="Branches">Taken branches with both ends in it.</param>
public sealed record UploadedBuild(BuildId BuildId, string Path, ulong Samples, ulong Branches);

/// <summary>What the index knows of an upload.</summary>
public enum UploadState
{
    /// <summary>It counts, and its bytes are kept.</summary>
    Kept = 0,

    /// <summary>Its bytes could not be read: it counts as lost until it is sent again.</summary>
    Damaged = 1,

    /// <summary>It counts, as a part of a block; its own bytes are no longer kept.</summary>
    Forgotten = 2,

    /// <summary>Nothing.</summary>
    Unknown = 3,
}

/// <summary>What became of an upload that was offered to the index.</summary>
public enum UploadOutcome
{
    /// <summary>It is new and counts from now on.</summary>
    Added,

    /// <summary>It was there; nothing has changed but the place where its bytes are read.</summary>
    Duplicate,

    /// <summary>It was there with its bytes damaged; now that they were put anew it counts again.</summary>
    Healed,

    /// <summary>An object of the same key is just being collected: put the bytes again, then ask again.</summary>
    Collecting,
}

/// <summary>A service in figures.</summary>
/// <param name="Service">Its name.</param>
/// <param name="Builds">Distinct binaries.</param>
/// <param name="Uploads">Uploads.</param>
/// <param name="Samples">Branch stacks in them; saturates at 2^63-1.</param>
/// <param name="LastSeen">End of the latest.</param>
public sealed record ServiceTotals(string Service, long Builds, long Uploads, ulong Samples, DateTimeOffset LastSeen);

/// <summary>What is known of one binary of a service on one day under one set of labels, from the index alone.</summary>
/// <param name="BuildId">The binary.</param>
/// <param name="Path">Where it was last seen.</param>
/// <param name="Labels">The labels.</param>
/// <param name="Day">The UTC day of the uploads' ends.</param>
/// <param name="Uploads">Uploads that hold branches of it.</param>
/// <param name="Samples">Branch stacks that touched it; saturates at 2^63-1.</param>
/// <param name="Branches">Taken branches with both ends in it; saturates at 2^63-1.</param>
/// <param name="FirstSeen">Start of the earliest.</param>
/// <param name="LastSeen">End of the latest.</param>
public sealed record BuildDay(
    BuildId BuildId, string Path, IReadOnlyDictionary<string, string> Labels, DateOnly Day, long Uploads, ulong Samples, ulong Branches,
    DateTimeOffset FirstSeen, DateTimeOffset LastSeen);

/// <summary>An upload to be read for a sum.</summary>
/// <param name="Hash">Hash of its content.</param>
/// <param name="Labels">Its labels.</param>
/// <param name="Start">When it began.</param>
/// <param name="End">When it ended.</param>
/// <param name="IsDamaged">Its bytes could not be read before; it counts as lost until it is sent again.</param>
/// <param name="Place">Where its bytes are.</param>
public sealed record SelectedUpload(
    string Hash, IReadOnlyDictionary<string, string> Labels, DateTimeOffset Start, DateTimeOffset End, bool IsDamaged, ObjectSlice Place);

/// <summary>A part of a block: the sum of all of one service's uploads that one set of labels has in one hour or day.</summary>
/// <param name="Object">Key of the block's object.</param>
/// <param name="Offset">Where the part begins in it: an encoded branch profile set.</param>
/// <param name="Length">How many bytes it has.</param>
/// <param name="Labels">The labels.</param>
/// <param name="Set">The uploads that were added up.</param>
/// <param name="Start">Start of the earliest.</param>
/// <param name="End">End of the latest.</param>
public sealed record SelectedPart(
    string Object, long Offset, int Length, IReadOnlyDictionary<string, string> Labels, UploadSetHash Set, DateTimeOffset Start,
    DateTimeOffset End);

/// <summary>All that has to be added up, each upload in exactly one place.</summary>
/// <param name="Uploads">Those that are read one by one, in the order of their places, so that neighbours are read together.</param>
/// <param name="Parts">Those that were added up before, in the same order.</param>
public sealed record ProfileSelection(IReadOnlyList<SelectedUpload> Uploads, IReadOnlyList<SelectedPart> Parts);

/// <summary>A new block: uploads of one service in one period, added up.</summary>
/// <param name="Service">The service.</param>
/// <param name="Period">The hour or day of the uploads' ends.</param>
/// <param name="Hash">Identifies the uploads in all parts; the object's key is made of it.</param>
/// <param name="Bytes">The object's length.</param>
/// <param name="Parts">A part for each set of labels.</param>
/// <param name="Uploads">The hashes of uploads that were read one by one.</param>
/// <param name="Blocks">Keys of the objects of the blocks that went in, all of them in this period; this one takes their place.</param>
public sealed record NewBlock(
    string Service, BlockPeriod Period, string Hash, long Bytes, IReadOnlyList<NewPart> Parts, IReadOnlyList<string> Uploads,
    IReadOnlyList<string> Blocks);

/// <summary>A part of a <see cref="NewBlock"/>.</summary>
public sealed record NewPart(
    IReadOnlyDictionary<string, string> Labels, long Offset, int Length, UploadSetHash Set, DateTimeOffset Start, DateTimeOffset End);

/// <summary>An hour or a day, UTC.</summary>
/// <param name="Start">Its begin.</param>
/// <param name="IsDay">Whether it is a day.</param>
public readonly record struct BlockPeriod(DateTimeOffset Start, bool IsDay)
{
    /// <summary>Its end, exclusive.</summary>
    public DateTimeOffset End => IsDay ? Start.AddDays(1) : Start.AddHours(1);

    /// <summary>The hour that a time lies in.</summary>
    public static BlockPeriod HourOf(DateTimeOffset time) =>
        new(new DateTimeOffset(time.UtcDateTime.Date.AddHours(time.UtcDateTime.Hour), TimeSpan.Zero), false);

    /// <summary>The day that a time lies in.</summary>
    public static BlockPeriod DayOf(DateTimeOffset time) => new(new DateTimeOffset(time.UtcDateTime.Date, TimeSpan.Zero), true);
}

/// <summary>A period of a service that has something to be added up.</summary>
/// <param name="Service">The service.</param>
/// <param name="Period">The period.</param>
/// <param name="Pieces">How many single uploads and smaller blocks it has beside its own block.</param>
/// <param name="LatestReceived">When the last of the single uploads came.</param>
public sealed record OpenPeriod(string Service, BlockPeriod Period, long Pieces, DateTimeOffset LatestReceived);

/// <summary>
/// Knows which uploads and sums of uploads there are. Every implementation passes <c>ProfileIndexContract</c>. All members may be called
/// from any thread, and from any number of servers on the same database.
/// </summary>
/// <remarks>
/// Objects are put before the index is told of them and deleted after it has forgotten them, so that what the index knows has its object.
/// When a task that changes something completes, the change survives a crash of the process or the machine; when it fails, nothing of it
/// is ever seen. A database that does not answer throws <see cref="IOException"/> with a message that names it.
/// </remarks>
public interface IProfileIndex
{
    /// <summary>What is known of uploads, and where their bytes are if they are kept or damaged; in the order of the hashes.</summary>
    Task<IReadOnlyList<(UploadState State, ObjectSlice Place)>> FindAsync(IReadOnlyList<string> hashes, CancellationToken stop);

    /// <summary>
    /// Counts uploads whose objects have been put, all or, when it fails, none. Whatever order and however often, each content counts once;
    /// it is read where it was put last, as that is known to be whole.
    /// </summary>
    /// <returns>What became of each, in their order.</returns>
    Task<IReadOnlyList<UploadOutcome>> AddAsync(IReadOnlyList<NewUpload> uploads, CancellationToken stop);

    /// <summary>
    /// Takes an upload whose bytes cannot be read out of all that follows, until it is sent again (<see cref="UploadOutcome.Healed"/>).
    /// One that is part of a block stays as it is, as the block has it; so does one that has come to lie elsewhere meanwhile.
    /// </summary>
    /// <param name="place">Where they cannot be read.</param>
    Task MarkDamagedAsync(string hash, ObjectSlice place, CancellationToken stop);

    /// <summary>All services in ordinal order. Costs as much as there are services and builds, however many uploads.</summary>
    Task<IReadOnlyList<ServiceTotals>> ListServicesAsync(CancellationToken stop);

    /// <summary>
    /// A service's binaries by day and labels; none for an unknown service. Costs as much as these, however many uploads.
    /// </summary>
    Task<IReadOnlyList<BuildDay>> ListBuildDaysAsync(string service, CancellationToken stop);

    /// <summary>
    /// What has to be read to add up all of a service's uploads that overlap a span. Where the span cuts a block, its uploads are given one
    /// by one while they are kept; after that the block is given whole.
    /// </summary>
    Task<ProfileSelection> SelectAsync(string service, TimeSpanFilter span, CancellationToken stop);

    /// <summary>
    /// Periods that ended before a time and have single uploads beside their block, or (days) hours; the earliest first, at most
    /// <paramref name="limit"/>.
    /// </summary>
    Task<IReadOnlyList<OpenPeriod>> ListOpenPeriodsAsync(bool days, DateTimeOffset endedBefore, int limit, CancellationToken stop);

    /// <summary>What there is to be added up of one period: its own block, the hours of a day, and single uploads.</summary>
    Task<ProfileSelection> SelectPeriodAsync(string service, BlockPeriod period, CancellationToken stop);

    /// <summary>
    /// Lets a block, whose object has been put, take the place of what went in. No answer changes. False, and nothing happens, when what
    /// went in is no longer as it was.
    /// </summary>
    Task<bool> ReplaceAsync(NewBlock block, CancellationToken stop);

    /// <summary>
    /// Takes a block apart whose object cannot be read, so that its uploads are read one by one again. False, and nothing happens, when
    /// they are no longer kept.
    /// </summary>
    Task<bool> DissolveAsync(string blockObject, CancellationToken stop);

    /// <summary>
    /// Forgets the single uploads' bytes behind blocks that ended before a time; the blocks and the uploads' identity stay.
    /// </summary>
    /// <returns>How many were forgotten, at most <paramref name="limit"/>.</returns>
    Task<long> ForgetUploadsAsync(string service, DateTimeOffset endedBefore, int limit, CancellationToken stop);

    /// <summary>
    /// Forgets blocks, and uploads' identity, that ended before a time, and what the figures of services and builds have of them.
    /// </summary>
    /// <returns>How many uploads were forgotten.</returns>
    Task<long> ForgetPeriodsAsync(string service, DateTimeOffset endedBefore, CancellationToken stop);

    /// <summary>Forgets a service with all that is known of it. False when it is unknown.</summary>
    Task<bool> ForgetServiceAsync(string service, CancellationToken stop);
}
