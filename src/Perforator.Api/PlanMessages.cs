namespace Perforator.Api;

/// <summary>
/// What a host runs, and what it recorded since it last asked: by this the server knows how many hosts run a build, and what one can bring.
/// </summary>
/// <param name="Host">The host's name, as in its profiles' label.</param>
/// <param name="Services">The services that it runs.</param>
public sealed record PlanRequest(string Host, IReadOnlyList<RunningService> Services)
{
    /// <summary>How the host's agent does; null from one of an earlier version.</summary>
    public AgentReport? Agent { get; init; }
}

/// <summary>How an agent does, in its own words.</summary>
/// <param name="Version">Its version, with commit.</param>
/// <param name="Source">Where its branch records come from, as in its profiles' label.</param>
/// <param name="CpuShare">Its CPU time of late as a share of all CPUs' time, from 0 to 1.</param>
/// <param name="CpuBudget">What that may be.</param>
/// <param name="MemoryBytes">Its resident memory.</param>
/// <param name="MemoryBudget">What that may be.</param>
/// <param name="Sampling">The part of its usual samples that its own budget lets it take, from 0 to 1.</param>
/// <param name="WaitingProfiles">Profiles that wait to be sent.</param>
/// <param name="WaitingBytes">Their bytes.</param>
/// <param name="DroppedProfiles">Profiles dropped since it was started.</param>
/// <param name="DroppedSamples">Branch stacks in them.</param>
/// <param name="Notice">What keeps it from recording as it should; null for nothing.</param>
public sealed record AgentReport(
    string Version, string Source, double CpuShare, double CpuBudget, long MemoryBytes, long MemoryBudget, double Sampling,
    long WaitingProfiles,
    long WaitingBytes, long DroppedProfiles, double DroppedSamples, string? Notice);

/// <summary>A service that a host runs.</summary>
/// <param name="Service">Its name.</param>
/// <param name="Builds">Build ids of the executables that its processes run; none where the host cannot tell.</param>
/// <param name="Rate">The rate at which it was recorded, on average; 0 for not at all.</param>
/// <param name="Branches">Taken branches recorded.</param>
/// <param name="Seconds">In how many seconds.</param>
public sealed record RunningService(string Service, IReadOnlyList<string> Builds, double Rate, double Branches, double Seconds);

/// <summary>What a host is to record.</summary>
/// <param name="Services">A plan for each service that it runs.</param>
/// <param name="HoldSeconds">How long the plan holds when the server does not answer any more.</param>
/// <param name="FallbackRate">The rate of every service after that, and of those that the plan does not name.</param>
public sealed record PlanAnswer(IReadOnlyList<ServicePlan> Services, double HoldSeconds, double FallbackRate);

/// <summary>What a host is to record of one service.</summary>
/// <param name="Service">Its name.</param>
/// <param name="Rate">From 0, not at all, to 1, as much as the host's own budget lets it: the share of its samples that are taken.</param>
/// <param name="State"><c>new</c>, <c>changed</c>, <c>sufficient</c> or <c>pinned</c>: why.</param>
/// <param name="Labels">Labels for the service's profiles, besides the host's own.</param>
public sealed record ServicePlan(string Service, double Rate, string State, IReadOnlyDictionary<string, string> Labels)
{
    /// <summary>Branches known of the service's main build to the bytes of its code; null while the server has no binary of it.</summary>
    public double? Ratio { get; init; }

    /// <summary>Whether an answer is whole: what a server of another kind or version sends need not be.</summary>
    internal static bool IsWhole(ServicePlan? plan) => plan is { Service: not null, State: not null, Labels: not null };
}
