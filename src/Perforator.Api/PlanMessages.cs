namespace Perforator.Api;

/// <summary>What a host runs, and what it recorded since it last asked: by this the server knows how many hosts run a build, and what one can bring.</summary>
/// <param name="Host">The host's name, as in its profiles' label.</param>
/// <param name="Services">The services that it runs.</param>
public sealed record PlanRequest(string Host, IReadOnlyList<RunningService> Services);

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
public sealed record ServicePlan(string Service, double Rate, string State, IReadOnlyDictionary<string, string> Labels);
