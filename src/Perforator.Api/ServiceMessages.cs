namespace Perforator.Api;

/// <summary>One service the server has profiles of.</summary>
/// <param name="Service">Its name.</param>
/// <param name="Builds">How many binaries (build ids) were seen.</param>
/// <param name="Profiles">How many uploads there are.</param>
/// <param name="Samples">Branch stacks in them.</param>
/// <param name="LastSeen">End of the latest profile.</param>
public sealed record ServiceSummary(string Service, long Builds, long Profiles, ulong Samples, DateTimeOffset LastSeen);

/// <summary>What the server has of a service.</summary>
/// <param name="Service">Its name.</param>
/// <param name="Builds">Its binaries: those that hosts run now first, then by branches.</param>
/// <param name="Labels">The labels that a selector may name, in ordinal order.</param>
public sealed record ServiceDetail(string Service, IReadOnlyList<BuildSummary> Builds, IReadOnlyList<LabelSummary> Labels);

/// <summary>One binary of a service.</summary>
/// <param name="BuildId">The binary's build id.</param>
/// <param name="Path">Where it was last seen.</param>
/// <param name="Profiles">How many uploads hold branches of it.</param>
/// <param name="Samples">Branch stacks that touched it.</param>
/// <param name="Branches">Taken branches with both ends in it.</param>
/// <param name="FirstSeen">Start of the earliest profile.</param>
/// <param name="LastSeen">End of the latest profile; never later than the server received it.</param>
/// <param name="HasBinary">Whether the server holds the binary itself.</param>
/// <param name="TakenBranchesToExecutableBytesRatio">Branches ÷ executable bytes; null while the binary is missing.</param>
public sealed record BuildSummary(
    string BuildId, string Path, long Profiles, ulong Samples, ulong Branches, DateTimeOffset FirstSeen, DateTimeOffset LastSeen,
    bool HasBinary, double? TakenBranchesToExecutableBytesRatio)
{
    /// <summary>Whether hosts run it now.</summary>
    public bool Current { get; init; }

    /// <summary>On how many hosts it was seen.</summary>
    public long Hosts { get; init; }

    /// <summary>Whether the server has debug info of it, in the binary or in a file of its own.</summary>
    public bool HasDebugInfo { get; init; }
}

/// <summary>A label of a service's profiles.</summary>
/// <param name="Name">The label's name.</param>
/// <param name="Values">Its values in ordinal order, the first hundred of them.</param>
/// <param name="TotalValues">How many values there are.</param>
public sealed record LabelSummary(string Name, IReadOnlyList<string> Values, long TotalValues);
