using System.Globalization;
using System.Text.Json;

namespace Perforator.Api;

/// <summary>What a client asks of <c>pgo</c>. Everything may be left out.</summary>
public sealed record PgoRequest
{
    /// <summary>How far back profiles are taken unless told otherwise, in days before the newest that the selector finds.</summary>
    public const double DefaultWindowDays = 14;

    /// <summary>Which of the service's profiles: the part of a <see cref="ServiceSelector"/> in braces, or null for all.</summary>
    public string? Selector { get; init; }

    /// <summary>Only profiles that end after this; null for <see cref="WindowDays"/>.</summary>
    public DateTimeOffset? Since { get; init; }

    /// <summary>Only profiles that start before this. Pins the inputs: what is uploaded later does not count.</summary>
    public DateTimeOffset? Until { get; init; }

    /// <summary>
    /// How far back, in days before the newest profile that the selector finds: the data's time and not the clock's, so that equal data
    /// give equal profiles. Ignored where <see cref="Since"/> is given. Null: <see cref="DefaultWindowDays"/>.
    /// </summary>
    public double? WindowDays { get; init; }

    /// <summary>After how many days counts weigh half; null for the server's default, 0 for no fading.</summary>
    public double? HalfLifeDays { get; init; }

    /// <summary>Only this build.</summary>
    public string? BuildId { get; init; }

    /// <summary>Only these binaries: paths (with * and ?), file names or build ids. Empty: all.</summary>
    public IReadOnlyList<string> Only { get; init; } = [];

    /// <summary>The profile's format: <c>extbinary</c> (null) or <c>text</c> for clang, <c>gcc</c>, or <c>go</c>.</summary>
    public string? Format { get; init; }

    /// <summary>
    /// Major version of the GCC that is to read a profile in the format <c>gcc</c>; null for 12 to 15, which read one form.
    /// </summary>
    public int? GccVersion { get; init; }

    /// <summary>Whether the names of all functions of the binaries are in the profile.</summary>
    public bool SymbolList { get; init; }

    /// <summary>The path and query that asks this.</summary>
    /// <param name="gates">What the profile will have to be like.</param>
    public string PathOf(string service, PgoGates? gates = null) => ApiRoutes.To(
        ApiRoutes.Pgo, [service],
        [
            ("selector", Selector), ("buildId", BuildId), ("since", Since?.ToString("O", CultureInfo.InvariantCulture)),
            ("until", Until?.ToString("O", CultureInfo.InvariantCulture)),
            ("windowDays", WindowDays?.ToString("R", CultureInfo.InvariantCulture)),
            ("halfLife", HalfLifeDays?.ToString("R", CultureInfo.InvariantCulture)),
            .. Only.Select(static only => ("only", (string?)only)),
            ("format", Format), ("symbolList", SymbolList ? "true" : null),
            ("gccVersion", GccVersion?.ToString(CultureInfo.InvariantCulture)),
            .. PgoGates.QueryOf(gates),
        ]);
}

/// <summary>
/// What whoever asks will hold the profile to. The profile is the same; the history tells who asked with which gates, and what was not met.
/// </summary>
/// <param name="MinRatio">Of TakenBranchesToExecutableBytesRatio.</param>
/// <param name="MinCoverage">Of the share of branches that can be used and of the hot functions' share of the samples, from 0 to 1.</param>
/// <param name="MinOverlap">Of the overlap of two halves of the data, from 0 to 1.</param>
/// <param name="MaxAge">Seconds since the newest data.</param>
/// <param name="MinHosts">Hosts.</param>
public sealed record PgoGates(double? MinRatio, double? MinCoverage, double? MinOverlap, double? MaxAge, int? MinHosts)
{
    /// <summary>Names and values of a query that says so.</summary>
    internal static (string Name, string? Value)[] QueryOf(PgoGates? gates) =>
    [
        ("minRatio", Text(gates?.MinRatio)), ("minCoverage", Text(gates?.MinCoverage)), ("minOverlap", Text(gates?.MinOverlap)),
        ("maxAge", Text(gates?.MaxAge)),
        ("minHosts", Text(gates?.MinHosts)),
    ];

    private static string? Text(double? value) => value?.ToString("R", CultureInfo.InvariantCulture);
}

/// <summary>A generated sample profile; its bytes are at <c>/api/v1/results/{profile}</c>.</summary>
/// <param name="Service">The service.</param>
/// <param name="Selector">Which of its profiles went in, in canonical form: <c>api{cluster="eu-1"}</c>.</param>
/// <param name="Profile">SHA-256 of the profile's bytes, in lower-case hexadecimal.</param>
/// <param name="Ratio">TakenBranchesToExecutableBytesRatio of the whole.</param>
/// <param name="Report">The report, field by field.</param>
/// <param name="ReportText">The report for people.</param>
/// <param name="ReportLine">The report in one line.</param>
/// <param name="Tool">The version of the server that generated it.</param>
/// <param name="Generated">When it was generated.</param>
public sealed record PgoAnswer(
    string Service, string Selector, string Profile, double Ratio, JsonElement Report, string ReportText, string ReportLine, string Tool,
    DateTimeOffset Generated)
{
    /// <summary>The build it is of, where it is of one.</summary>
    public string BuildId { get; init; } = "";
}

/// <summary>
/// A profile that is being generated (status 202): ask <see cref="ApiRoutes.Jobs"/> with its id, after the seconds of Retry-After, until it
/// answers 200 with a <see cref="PgoAnswer"/> or a problem. The job goes on whether or not anybody asks.
/// </summary>
/// <param name="Id">The job.</param>
/// <param name="State"><c>waiting</c> or <c>running</c>.</param>
/// <param name="Service">The service.</param>
public sealed record PgoJob(string Id, string State, string Service);

/// <summary>Generated profiles of a service, the latest first.</summary>
/// <param name="Entries">At most as many as were asked for.</param>
/// <param name="Before">What to give as <c>before</c> for those that follow; null at the end.</param>
public sealed record HistoryPage(IReadOnlyList<HistoryEntry> Entries, string? Before);

/// <summary>One generated profile.</summary>
/// <param name="Profile">SHA-256 of its bytes.</param>
/// <param name="Generated">When.</param>
/// <param name="Selector">Which of the service's profiles went in, in canonical form.</param>
/// <param name="Since">The span's begin; null for open.</param>
/// <param name="Until">The span's end; null for open.</param>
/// <param name="Uploads">How many uploads went in.</param>
/// <param name="Inputs">SHA-256 over the ids of the uploads that went in: equal for equal inputs.</param>
/// <param name="Builds">Build ids that went in, with most branches first.</param>
/// <param name="Ratio">TakenBranchesToExecutableBytesRatio.</param>
/// <param name="ReportLine">The report in one line.</param>
/// <param name="Tool">The version of the server that generated it.</param>
/// <param name="Names">The names that stand for it now.</param>
public sealed record HistoryEntry(
    string Profile, DateTimeOffset Generated, string Selector, DateTimeOffset? Since, DateTimeOffset? Until, long Uploads, string Inputs,
    IReadOnlyList<string> Builds, double Ratio, string ReportLine, string Tool, IReadOnlyList<string> Names)
{
    /// <summary>Who asked for it, those who did so last first, at most a hundred.</summary>
    /// <remarks>Servers of earlier versions do not tell.</remarks>
    public IReadOnlyList<ProfileAsked> Asked { get => field ?? []; init; }
}

/// <summary>That somebody asked for a profile, to have it generated or to fetch it.</summary>
/// <param name="Who">As the audit log names callers; <c>anybody</c> where the server asks nobody who they are.</param>
/// <param name="When">The last time.</param>
/// <param name="Gates">What they wanted it to be like, as options of <c>perforator pgo</c>; empty for nothing.</param>
/// <param name="Unmet">What of that it was not, a sentence each: the build was refused the profile.</param>
public sealed record ProfileAsked(string Who, DateTimeOffset When, string Gates, IReadOnlyList<string> Unmet);

/// <summary>A name that stands for a generated profile.</summary>
/// <param name="Name">The name.</param>
/// <param name="Profile">SHA-256 of the profile's bytes.</param>
/// <param name="Changed">Since when.</param>
/// <param name="Previous">The profile it stood for before, which a roll-back promotes again; null for none.</param>
public sealed record NamedProfile(string Name, string Profile, DateTimeOffset Changed, string? Previous);

/// <summary>Body of <c>PUT names/{name}</c>.</summary>
/// <param name="Hash">SHA-256 of a kept profile's bytes, or at least its first 8 digits.</param>
public sealed record PromoteRequest(string Hash);

/// <summary>What changed from one generated profile to another.</summary>
/// <param name="From">SHA-256 of the earlier one.</param>
/// <param name="To">SHA-256 of the later one.</param>
/// <param name="Overlap">Similarity as <c>llvm-profdata overlap --sample</c> has it, from 0 to 1.</param>
/// <param name="BecameHot">Functions hot in the later one alone, those with most samples first.</param>
/// <param name="BecameCold">Functions hot in the earlier one alone, those with most samples first.</param>
/// <param name="InliningGained">Calls with an inlined copy in the later one alone.</param>
/// <param name="InliningLost">Calls with an inlined copy in the earlier one alone.</param>
/// <param name="Text">All of it for people.</param>
public sealed record ProfileDiff(
    string From, string To, double Overlap, IReadOnlyList<FunctionChange> BecameHot, IReadOnlyList<FunctionChange> BecameCold,
    IReadOnlyList<InliningChange> InliningGained, IReadOnlyList<InliningChange> InliningLost, string Text);

/// <summary>A function's samples in two profiles.</summary>
public sealed record FunctionChange(string Function, ulong FromSamples, ulong ToSamples);

/// <summary>A call that was inlined in one of two profiles.</summary>
/// <param name="Function">The function that calls.</param>
/// <param name="Callee">The function inlined.</param>
/// <param name="Samples">Samples in its inlined copies.</param>
public sealed record InliningChange(string Function, string Callee, ulong Samples);

/// <summary>How well a kept profile fits a build's binary in the store.</summary>
/// <param name="Profile">SHA-256 of the profile's bytes.</param>
/// <param name="BuildId">The build it was held against.</param>
/// <param name="Report">The figures, field by field.</param>
/// <param name="ReportText">The same for people.</param>
public sealed record FitAnswer(string Profile, string BuildId, JsonElement Report, string ReportText);
