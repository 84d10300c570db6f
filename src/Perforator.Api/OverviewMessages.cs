namespace Perforator.Api;

/// <summary>Whether a service's profile is fit to build with.</summary>
public static class ServiceState
{
    /// <summary>Fresh, sufficient and of several hosts.</summary>
    public const string Good = "good";

    /// <summary>Too few branches, or too few of them usable.</summary>
    public const string Thin = "thin";

    /// <summary>Nothing has arrived for days.</summary>
    public const string Stale = "stale";

    /// <summary>One host or CPU model carries nearly all of it.</summary>
    public const string Biased = "biased";

    /// <summary>No profile can be made: binaries or debug info are missing.</summary>
    public const string None = "none";

    /// <summary>All of them, from what is best to what is worst.</summary>
    public static readonly IReadOnlyList<string> All = [Good, Biased, Thin, Stale, None];
}

/// <summary>All services at a glance.</summary>
/// <param name="Made">When the figures were taken; they are at most some seconds old.</param>
/// <param name="TrendEnds">The day of the last number of each <see cref="ServiceOverview.Trend"/>.</param>
/// <param name="Counts">How many services are in each <see cref="ServiceState"/>.</param>
/// <param name="Services">The services in ordinal order.</param>
public sealed record FleetOverview(
    DateTimeOffset Made, DateOnly TrendEnds, IReadOnlyDictionary<string, int> Counts, IReadOnlyList<ServiceOverview> Services);

/// <summary>A service at a glance, from what is known without generating: of the 14 days before its newest profile.</summary>
/// <param name="Service">Its name.</param>
/// <param name="State">One of <see cref="ServiceState"/>.</param>
/// <param name="Reasons">Why, and what to do, a sentence each; the first is of the state.</param>
/// <param name="LastSeen">End of the latest profile.</param>
/// <param name="Ratio">TakenBranchesToExecutableBytesRatio of the files with debug info; null while there is none.</param>
/// <param name="RatioThreshold">From which on a ratio is good.</param>
/// <param name="UsableShare">The share of the branches in files whose binary and debug info the server has, from 0 to 1.</param>
/// <param name="Builds">Builds seen.</param>
/// <param name="Hosts">Hosts seen.</param>
/// <param name="Uploads">Uploads there are.</param>
/// <param name="Trend">Taken branches of each day, for 30 days.</param>
public sealed record ServiceOverview(
    string Service, string State, IReadOnlyList<string> Reasons, DateTimeOffset LastSeen, double? Ratio, double RatioThreshold,
    double UsableShare,
    long Builds, long Hosts, long Uploads, IReadOnlyList<double> Trend)
{
    /// <summary>The overlap of two halves of the data of the latest generated profile; null when none tells.</summary>
    public double? Convergence { get; init; }

    /// <summary>From which on a convergence is enough.</summary>
    public double ConvergenceThreshold { get; init; }

    /// <summary>The share of samples in hot functions of the latest generated profile; null when there is none.</summary>
    public double? HotCoverage { get; init; }

    /// <summary>SHA-256 of the latest generated profile of all of the service; null when there is none.</summary>
    public string? Profile { get; init; }

    /// <summary>When that was generated.</summary>
    public DateTimeOffset? ProfileGenerated { get; init; }
}

/// <summary>A service over time.</summary>
/// <param name="Overview">The service as it is now.</param>
/// <param name="Days">A figure for each day of the span, the oldest first, days without data too.</param>
/// <param name="Builds">The builds of the span, the oldest first.</param>
/// <param name="Labels">Whom and what the data are of: hosts, CPU models, sources and what else agents say.</param>
/// <param name="Files">The service's files, the one with most branches first.</param>
/// <param name="Losses">What the latest generated profile lost, by reason, most first.</param>
/// <param name="Profiles">Figures of the profiles generated last, the oldest first.</param>
public sealed record ServiceTimeline(
    ServiceOverview Overview, IReadOnlyList<TimelineDay> Days, IReadOnlyList<TimelineBuild> Builds, IReadOnlyList<LabelShares> Labels,
    IReadOnlyList<ServiceFileShare> Files, IReadOnlyList<LossShare> Losses, IReadOnlyList<ProfileFigures> Profiles);

/// <summary>A service on one day (UTC).</summary>
/// <param name="Day">The day.</param>
/// <param name="Branches">Taken branches in its files.</param>
/// <param name="Samples">Branch stacks.</param>
/// <param name="Uploads">Uploads, of the file that is in most of them.</param>
/// <param name="Hosts">Hosts seen.</param>
/// <param name="Ratio">TakenBranchesToExecutableBytesRatio of the 14 days that end with it; null while no binary is known.</param>
/// <param name="BuildBranches">Taken branches of each build of <see cref="ServiceTimeline.Builds"/>, in its order.</param>
public sealed record TimelineDay(
    DateOnly Day, double Branches, double Samples, long Uploads, long Hosts, double? Ratio, IReadOnlyList<double> BuildBranches);

/// <summary>A build over time.</summary>
/// <param name="BuildId">The build.</param>
/// <param name="File">The file it is a build of.</param>
/// <param name="Path">Where it was last seen.</param>
/// <param name="FirstSeen">Start of its earliest profile.</param>
/// <param name="LastSeen">End of its latest.</param>
/// <param name="Branches">Taken branches in it.</param>
/// <param name="Hosts">Hosts that ran it.</param>
/// <param name="Current">Whether hosts run it now.</param>
/// <param name="HasBinary">Whether the server has the binary.</param>
/// <param name="HasDebugInfo">Whether the server has debug info of it.</param>
/// <param name="Effect">What the compiler made of it, from the latest profile that it is in; null when none tells.</param>
public sealed record TimelineBuild(
    string BuildId, string File, string Path, DateTimeOffset FirstSeen, DateTimeOffset LastSeen, double Branches, long Hosts, bool Current,
    bool HasBinary, bool HasDebugInfo, BuildEffect? Effect);

/// <summary>What a compiler made of a build, as its branches tell.</summary>
/// <param name="InstructionsPerTakenBranch">Executed instructions for each taken branch; more is better.</param>
/// <param name="BytesOf90Percent">Bytes of the hottest code that holds 90 % of the executed instructions.</param>
/// <param name="BytesOf99Percent">The same for 99 %.</param>
/// <param name="CallsPer1000Instructions">Calls for each 1,000 executed instructions; fewer is better.</param>
/// <param name="MispredictedShare">The share of taken branches mispredicted, from 0 to 1; null where the source does not tell.</param>
public sealed record BuildEffect(
    double InstructionsPerTakenBranch, double BytesOf90Percent, double BytesOf99Percent, double CallsPer1000Instructions,
    double? MispredictedShare);

/// <summary>A label's values by their share of the branches of the 14 days before the newest profile.</summary>
/// <param name="Name">The label.</param>
/// <param name="Values">The values, largest first, at most a hundred.</param>
/// <param name="TotalValues">How many there are.</param>
public sealed record LabelShares(string Name, IReadOnlyList<LabelShare> Values, long TotalValues);

/// <summary>One value of a label.</summary>
/// <param name="Value">The value.</param>
/// <param name="Share">Its share of the branches, from 0 to 1.</param>
/// <param name="LastSeen">When it was last seen.</param>
public sealed record LabelShare(string Value, double Share, DateTimeOffset LastSeen);

/// <summary>A file of a service: the builds that differ only in their release.</summary>
/// <param name="Name">Its name.</param>
/// <param name="ShareOfBranches">Its share of the service's branches of the 14 days before the newest profile, from 0 to 1.</param>
/// <param name="Problem">Why it cannot be in a profile; null when it can.</param>
public sealed record ServiceFileShare(string Name, double ShareOfBranches, string? Problem);

/// <summary>What was lost for one reason.</summary>
public sealed record LossShare(string Reason, ulong Count);

/// <summary>Figures of a generated profile.</summary>
/// <param name="Profile">SHA-256 of its bytes.</param>
/// <param name="Generated">When it was generated.</param>
/// <param name="DataUntil">End of the newest data in it.</param>
/// <param name="Ratio">TakenBranchesToExecutableBytesRatio.</param>
/// <param name="Convergence">The overlap of two halves of its data; null when they cannot be split.</param>
/// <param name="HotCoverage">The share of samples in hot functions.</param>
/// <param name="UsableShare">The share of all branches that it rests on.</param>
/// <param name="Hosts">Hosts in it.</param>
public sealed record ProfileFigures(
    string Profile, DateTimeOffset Generated, DateTimeOffset DataUntil, double Ratio, double? Convergence, double HotCoverage,
    double UsableShare, int Hosts);

/// <summary>How an agent does, in a word.</summary>
public static class AgentState
{
    /// <summary>Heard of of late, within its budget, nothing dropped.</summary>
    public const string Ok = "ok";

    /// <summary>Has dropped profiles since it was started.</summary>
    public const string Dropping = "dropping";

    /// <summary>Takes more CPU time or memory than it may.</summary>
    public const string OverBudget = "over budget";

    /// <summary>Was not heard of for <see cref="SilentAfter"/>.</summary>
    public const string Silent = "silent";

    /// <summary>Agents ask what to record once in each interval, a minute by default.</summary>
    public static readonly TimeSpan SilentAfter = TimeSpan.FromMinutes(10);

    /// <summary>All of them.</summary>
    public static readonly IReadOnlyList<string> All = [Ok, Dropping, OverBudget, Silent];

    /// <summary>The worst that holds.</summary>
    /// <param name="report">What the agent last said; null for one of an earlier version, of which profiles alone are known.</param>
    public static string Of(AgentReport? report, DateTimeOffset lastSeen, DateTimeOffset now) =>
        now - lastSeen > SilentAfter ? Silent
        : report is null ? Ok
        : report.DroppedProfiles > 0 ? Dropping
        : report.CpuShare > report.CpuBudget * Tolerance || report.MemoryBytes > report.MemoryBudget ? OverBudget
        : Ok;

    /// <summary>CPU time of some seconds swings by so much about what an agent keeps to.</summary>
    private const double Tolerance = 1.25;
}

/// <summary>A host that has an agent, as its profiles and the agent itself tell.</summary>
/// <param name="Host">The host.</param>
/// <param name="State">One of <see cref="AgentState"/>.</param>
/// <param name="Source">Where its branch records come from.</param>
/// <param name="Cpu">The CPU model.</param>
/// <param name="LastSeen">When the agent last asked what to record, or its latest profile ended.</param>
/// <param name="Samples">Branch stacks of the last 30 days.</param>
/// <param name="Services">The services it sent or runs, at most a hundred, in ordinal order.</param>
/// <param name="Report">What the agent last said of itself; null for one of an earlier version.</param>
public sealed record AgentSummary(
    string Host, string State, string? Source, string? Cpu, DateTimeOffset LastSeen, double Samples, IReadOnlyList<string> Services,
    AgentReport? Report);
