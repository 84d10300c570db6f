namespace Perforator.Api;

/// <summary>Answer to an accepted profile; it is on the disk when this arrives.</summary>
/// <param name="Id">SHA-256 of the profile's content.</param>
/// <param name="Duplicate">The very same profile was there already and has not been counted again.</param>
/// <param name="WantedBinaries">Build ids in the profile whose binary the server does not have yet, or not with debug info.</param>
public sealed record UploadReceipt(string Id, bool Duplicate, IReadOnlyList<string> WantedBinaries)
{
    /// <summary>What the host is to record of this service from now on; null where the profile names no host.</summary>
    public ServicePlan? Plan { get; init; }
}

/// <summary>Whether the server is up.</summary>
public sealed record Health(string Status, string Version);

/// <summary>An error as RFC 9457 has it.</summary>
public sealed record Problem(string? Type, string? Title, int? Status, string? Detail);
