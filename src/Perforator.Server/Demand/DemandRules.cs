namespace Perforator.Server.Demand;

/// <summary>The times by which demand is set; docs/server.md explains them. <see cref="Enrolment"/> may set others.</summary>
internal sealed record DemandRules
{
    /// <summary>In what time hosts are asked to bring what is missing of a build.</summary>
    public TimeSpan CoverWithin { get; init; } = TimeSpan.FromMinutes(3);

    /// <summary>In what time the trickle of a build that is known brings enough to tell whether it still behaves so.</summary>
    public TimeSpan TrickleWindow { get; init; } = TimeSpan.FromHours(3);

    /// <summary>How long an agent goes on by its last plan while the server is away.</summary>
    public TimeSpan Hold { get; init; } = TimeSpan.FromHours(1);

    /// <summary>The rate of all services after that.</summary>
    public double FallbackRate { get; init; } = 0.02;

    /// <summary>How often what came in is added to what is known, and figures are read anew.</summary>
    public TimeSpan Update { get; init; } = TimeSpan.FromSeconds(30);
}
