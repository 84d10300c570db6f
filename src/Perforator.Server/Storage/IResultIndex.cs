namespace Perforator.Server.Storage;

/// <summary>A generated profile, as it is kept.</summary>
/// <param name="Service">The service.</param>
/// <param name="Key">Hash of all that it was generated from: equal keys, equal results.</param>
/// <param name="Profile">SHA-256 of its bytes; its object is <see cref="ObjectKeys.Result"/>.</param>
/// <param name="Made">When.</param>
/// <param name="Selector">Which profiles went in, in canonical form.</param>
/// <param name="Since">The span's begin.</param>
/// <param name="Until">The span's end.</param>
/// <param name="Uploads">How many uploads went in.</param>
/// <param name="Inputs">Identifies the uploads.</param>
/// <param name="Builds">The builds that went in, with most branches first.</param>
/// <param name="Ratio">TakenBranchesToExecutableBytesRatio.</param>
/// <param name="Report">The report as JSON.</param>
/// <param name="ReportText">The report for people.</param>
/// <param name="ReportLine">The report in one line.</param>
/// <param name="Tool">The version that generated it.</param>
public sealed record KeptResult(
    string Service, string Key, string Profile, DateTimeOffset Made, string Selector, DateTimeOffset? Since, DateTimeOffset? Until,
    long Uploads,
    string Inputs, IReadOnlyList<string> Builds, double Ratio, string Report, string ReportText, string ReportLine, string Tool)
{
    /// <summary>Its place in the history; the index gives it.</summary>
    public long Id { get; init; }
}

/// <summary>What a name stands for.</summary>
/// <param name="Name">The name.</param>
/// <param name="Profile">SHA-256 of the profile's bytes.</param>
/// <param name="Changed">Since when.</param>
/// <param name="Previous">What it stood for before; null for nothing.</param>
public sealed record KeptName(string Name, string Profile, DateTimeOffset Changed, string? Previous);

/// <summary>That somebody asked for a profile.</summary>
/// <param name="Service">The service.</param>
/// <param name="Profile">SHA-256 of the profile's bytes.</param>
/// <param name="Who">Who.</param>
/// <param name="When">The last time.</param>
/// <param name="Gates">The gates that they gave the last time that they gave any; empty for none.</param>
/// <param name="Unmet">What was not met of these, a line each.</param>
public sealed record KeptAsked(string Service, string Profile, string Who, DateTimeOffset When, string Gates, string Unmet);

/// <summary>
/// The history of generated profiles, and names that stand for some of them. Every implementation passes <c>ResultIndexContract</c>.
/// Promises about crashes, threads and servers are those of <see cref="IProfileIndex"/>.
/// </summary>
public interface IResultIndex
{
    /// <summary>The result of a key, or null.</summary>
    Task<KeptResult?> FindAsync(string key, CancellationToken stop);

    /// <summary>
    /// A service's results whose profile's hash begins with some digits, the latest of each hash; at most two, which is one too many for
    /// a hash that is to be unique.
    /// </summary>
    Task<IReadOnlyList<KeptResult>> FindByProfileAsync(string service, string hashPrefix, CancellationToken stop);

    /// <summary>The services that a profile was generated for.</summary>
    Task<IReadOnlyList<string>> ServicesOfAsync(string profile, CancellationToken stop);

    /// <summary>Keeps a result whose object has been put. One of the same key stays as it is and is given back.</summary>
    Task<KeptResult> AddAsync(KeptResult result, CancellationToken stop);

    /// <summary>Unlists the result of a key, because its object is damaged.</summary>
    Task RemoveAsync(string key, CancellationToken stop);

    /// <summary>A service's results, the latest first.</summary>
    /// <param name="before">Only those before this <see cref="KeptResult.Id"/>; null for all.</param>
    Task<IReadOnlyList<KeptResult>> ListAsync(string service, long? before, int limit, CancellationToken stop);

    /// <summary>Notes that somebody asked for a profile.</summary>
    Task NoteAskedAsync(KeptAsked asked, CancellationToken stop);

    /// <summary>Who asked for some of a service's profiles, the latest first.</summary>
    Task<IReadOnlyList<KeptAsked>> ListAskedAsync(string service, IReadOnlyCollection<string> profiles, CancellationToken stop);

    /// <summary>A service's names in ordinal order.</summary>
    Task<IReadOnlyList<KeptName>> ListNamesAsync(string service, CancellationToken stop);

    /// <summary>Lets a name stand for a profile. What it stood for becomes <see cref="KeptName.Previous"/>.</summary>
    Task<KeptName> SetNameAsync(string service, string name, string profile, DateTimeOffset now, CancellationToken stop);

    /// <summary>Takes a name away. False when there is none.</summary>
    Task<bool> RemoveNameAsync(string service, string name, CancellationToken stop);

    /// <summary>
    /// Unlists results made before a time that no name stands for or stood for last; each service's latest stays. Gives how many.
    /// </summary>
    Task<long> RemoveOldAsync(DateTimeOffset madeBefore, CancellationToken stop);
}
