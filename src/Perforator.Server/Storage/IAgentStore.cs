namespace Perforator.Server.Storage;

/// <summary>What an agent last said of itself.</summary>
/// <param name="Host">Its host.</param>
/// <param name="Seen">When.</param>
/// <param name="Report">What, as JSON.</param>
public sealed record KeptAgent(string Host, DateTimeOffset Seen, string Report);

/// <summary>
/// What agents say of themselves, the latest of each. Promises about crashes, threads and servers are those of <see cref="IProfileIndex"/>.
/// </summary>
public interface IAgentStore
{
    /// <summary>Keeps what some agents said, unless something later is kept, and forgets those not heard of since a time.</summary>
    Task PutAsync(IReadOnlyCollection<KeptAgent> agents, DateTimeOffset forgetBefore, CancellationToken stop);

    /// <summary>The agents heard of since a time.</summary>
    Task<IReadOnlyList<KeptAgent>> ListAsync(DateTimeOffset seenSince, CancellationToken stop);
}
