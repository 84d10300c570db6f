using System.Text.Json;
using System.Text.Json.Serialization;

namespace Perforator.Server.Http;

/// <summary>The API's media types.</summary>
public static class ApiMediaTypes
{
    /// <summary>A branch profile set as BranchProfileCodec writes it.</summary>
    public const string Branches = "application/vnd.perforator.branches";

    /// <summary>An ELF file, a sample profile or other bytes.</summary>
    public const string Bytes = "application/octet-stream";
}

/// <summary>Answer to an accepted profile; it is on the disk when this arrives.</summary>
/// <param name="Id">SHA-256 of the profile's content.</param>
/// <param name="Duplicate">The very same profile was there already and has not been counted again.</param>
/// <param name="WantedBinaries">Build ids in the profile whose binary the server does not have yet.</param>
public sealed record UploadReceipt(string Id, bool Duplicate, IReadOnlyList<string> WantedBinaries);

/// <summary>One service the server has profiles of.</summary>
/// <param name="Service">Its name.</param>
/// <param name="Builds">How many binaries (build ids) were seen.</param>
/// <param name="Profiles">How many uploads there are.</param>
/// <param name="Samples">Branch stacks in them.</param>
/// <param name="LastSeen">End of the latest profile.</param>
public sealed record ServiceSummary(string Service, long Builds, long Profiles, ulong Samples, DateTimeOffset LastSeen);

/// <summary>A service's builds, the one <c>pgo</c> takes by default first.</summary>
public sealed record ServiceDetail(string Service, IReadOnlyList<BuildSummary> Builds);

/// <summary>One binary of a service.</summary>
/// <param name="BuildId">The binary's build id.</param>
/// <param name="Path">Where it was seen.</param>
/// <param name="Profiles">How many uploads hold branches of it.</param>
/// <param name="Samples">Branch stacks that touched it.</param>
/// <param name="Branches">Taken branches with both ends in it.</param>
/// <param name="FirstSeen">Start of the earliest profile.</param>
/// <param name="LastSeen">End of the latest profile.</param>
/// <param name="HasBinary">Whether the server holds the binary itself.</param>
/// <param name="TakenBranchesToExecutableBytesRatio">Branches ÷ executable bytes; null while the binary is missing.</param>
public sealed record BuildSummary(
    string BuildId, string Path, long Profiles, ulong Samples, ulong Branches, DateTimeOffset FirstSeen, DateTimeOffset LastSeen,
    bool HasBinary, double? TakenBranchesToExecutableBytesRatio);

/// <summary>The API's own headers.</summary>
public static class ApiHeaders
{
    /// <summary>With summed branches: how many uploads were added up.</summary>
    public const string TotalProfiles = "Perforator-Total-Profiles";
}

/// <summary>A generated sample profile; its bytes are at <c>/api/v1/results/{profile}</c>.</summary>
/// <param name="Service">The service.</param>
/// <param name="BuildId">The build it is of.</param>
/// <param name="Profile">SHA-256 of the profile's bytes.</param>
/// <param name="Ratio">TakenBranchesToExecutableBytesRatio.</param>
/// <param name="Report">The generation report, field by field.</param>
/// <param name="ReportText">The generation report for people.</param>
/// <param name="OtherBuilds">The service's other builds in the span, best first.</param>
public sealed record PgoAnswer(
    string Service, string BuildId, string Profile, double Ratio, JsonElement Report, string ReportText, IReadOnlyList<OtherBuild> OtherBuilds);

/// <summary>A build that was not chosen.</summary>
public sealed record OtherBuild(string BuildId, string Path, ulong Branches, DateTimeOffset LastSeen);

/// <summary>Whether the server is up.</summary>
public sealed record Health(string Status, string Version);

/// <summary>An error as RFC 9457 has it.</summary>
public sealed record Problem(string? Type, string? Title, int? Status, string? Detail);

/// <summary>JSON of everything the API sends, generated at compile time.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, DefaultIgnoreCondition = JsonIgnoreCondition.Never)]
[JsonSerializable(typeof(UploadReceipt))]
[JsonSerializable(typeof(IReadOnlyList<ServiceSummary>))]
[JsonSerializable(typeof(ServiceDetail))]
[JsonSerializable(typeof(PgoAnswer))]
[JsonSerializable(typeof(Health))]
[JsonSerializable(typeof(Problem))]
[JsonSerializable(typeof(Microsoft.AspNetCore.Mvc.ProblemDetails))]
public sealed partial class ApiJson : JsonSerializerContext;
