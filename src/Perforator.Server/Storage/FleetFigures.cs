namespace Perforator.Server.Storage;

/// <summary>What is known of a build of a service in the days before the service's newest profile.</summary>
/// <param name="Service">The service.</param>
/// <param name="BuildId">The build.</param>
/// <param name="Path">Where it was seen.</param>
/// <param name="Branches">Taken branches in it.</param>
/// <param name="LastSeen">End of the latest profile.</param>
/// <param name="CodeBytes">Bytes of code of its binary; 0 when there is none.</param>
/// <param name="HasDebugInfo">Whether a binary of it is there, and debug info.</param>
public sealed record FleetBuild(
    string Service, BuildId BuildId, string Path, double Branches, DateTimeOffset LastSeen, ulong CodeBytes, bool HasDebugInfo)
{
    /// <summary>Whether its binary is there.</summary>
    public bool HasBinary => CodeBytes > 0;
}

/// <summary>Taken branches of a service on one day.</summary>
public sealed record FleetDay(string Service, DateOnly Day, double Branches);

/// <summary>How a service's branches are spread over the values of a label.</summary>
/// <param name="Service">The service.</param>
/// <param name="Values">How many values there are.</param>
/// <param name="Largest">The share of the one that most branches are of, from 0 to 1.</param>
public sealed record FleetSpread(string Service, long Values, double Largest);

/// <summary>What a host sent of a service since a day.</summary>
public sealed record FleetHost(string Service, string Host, string? Cpu, string? Source, DateTimeOffset LastSeen, double Samples);

/// <summary>
/// What the index knows of all services, or of one, at a glance. Costs as much as there are builds, days and sets of labels.
/// </summary>
/// <param name="Services">The services in ordinal order.</param>
/// <param name="Builds">Their builds in the window.</param>
/// <param name="Days">Their days since a day.</param>
/// <param name="Hosts">How they are spread over hosts in the window.</param>
/// <param name="Cpus">How they are spread over CPU models in the window.</param>
public sealed record FleetFigures(
    IReadOnlyList<ServiceTotals> Services, IReadOnlyList<FleetBuild> Builds, IReadOnlyList<FleetDay> Days, IReadOnlyList<FleetSpread> Hosts,
    IReadOnlyList<FleetSpread> Cpus);

/// <summary>
/// Figures of all services at once. Promises about crashes, threads and servers are those of <see cref="IProfileIndex"/>.
/// </summary>
public interface IFleetIndex
{
    /// <summary>All services at a glance, or one.</summary>
    /// <param name="service">Only this one; null for all.</param>
    /// <param name="windowDays">How many days before each service's newest profile builds, hosts and CPU models are of.</param>
    /// <param name="since">From which day on days are listed.</param>
    Task<FleetFigures> ReadFleetAsync(string? service, int windowDays, DateOnly since, CancellationToken stop);

    /// <summary>What each host sent of each service since a day.</summary>
    Task<IReadOnlyList<FleetHost>> ReadHostsAsync(DateOnly since, CancellationToken stop);

    /// <summary>
    /// The latest generated profile of each service, or of one, that no conditions on labels narrow down: its <see cref="KeptResult.Id"/>.
    /// </summary>
    Task<IReadOnlyList<(string Service, long Id)>> LatestResultsAsync(string? service, CancellationToken stop);

    /// <summary>Generated profiles by <see cref="KeptResult.Id"/>, with their reports as JSON.</summary>
    Task<IReadOnlyList<(long Id, string Profile, DateTimeOffset Made, string Report)>> ReadReportsAsync(
        IReadOnlyCollection<long> ids, CancellationToken stop);
}
