namespace Perforator.Server.Storage;

/// <summary>What is kept of one build of one service for <c>Demand</c>.</summary>
/// <param name="Service">The service.</param>
/// <param name="BuildId">One of its executables or libraries.</param>
/// <param name="Version">How often it was changed; 0 for one that is not kept yet.</param>
/// <param name="Seen">When it was last seen running or in an upload.</param>
/// <param name="Figures">All that plans are made of, a short JSON text.</param>
/// <param name="Evidence">What the figures are computed from; empty where only figures were asked for.</param>
public sealed record KeptDemand(string Service, BuildId BuildId, long Version, DateTimeOffset Seen, string Figures, byte[] Evidence);

/// <summary>
/// Keeps the state of demand, so that all servers tell hosts the same. Every implementation passes <c>DemandStoreContract</c>. Promises
/// about crashes, threads and servers are those of <see cref="IProfileIndex"/>.
/// </summary>
public interface IDemandStore
{
    /// <summary>What is kept of a build, with its evidence; null when nothing is.</summary>
    Task<KeptDemand?> FindAsync(string service, BuildId buildId, CancellationToken stop);

    /// <summary>
    /// Keeps a build's state with the next version, if what is kept has the version given (0: nothing is kept). False, and nothing happens,
    /// when another server was first: read it again then.
    /// </summary>
    Task<bool> PutAsync(KeptDemand demand, CancellationToken stop);

    /// <summary>The figures of all builds seen since a time, by service and build id, without their evidence.</summary>
    Task<IReadOnlyList<KeptDemand>> ListAsync(DateTimeOffset seenSince, CancellationToken stop);

    /// <summary>Forgets builds that were not seen since a time.</summary>
    /// <returns>How many.</returns>
    Task<long> RemoveAsync(DateTimeOffset seenBefore, CancellationToken stop);
}
