using Dapper;

namespace Perforator.Server.Storage.Sql;

/// <summary>What agents say of themselves, in a database.</summary>
public sealed class SqlAgentStore : IAgentStore
{
    private readonly SqlDatabase database;

    public SqlAgentStore(SqlDatabase database) => this.database = database;

    /// <inheritdoc/>
    public Task PutAsync(IReadOnlyCollection<KeptAgent> agents, DateTimeOffset forgetBefore, CancellationToken stop) => database.WriteAsync((connection, transaction) =>
    {
        connection.Execute("DELETE FROM agent WHERE seen_us < @before", new { before = UnixMicros.Of(forgetBefore) }, transaction);
        // In one order, so that servers that write the same rows wait for each other and not in a ring.
        return connection.Execute(
            """
            INSERT INTO agent(host, seen_us, report) VALUES (@Host, @seen, @Report)
            ON CONFLICT(host) DO UPDATE SET seen_us = excluded.seen_us, report = excluded.report WHERE agent.seen_us <= excluded.seen_us
            """,
            agents.OrderBy(static agent => agent.Host, StringComparer.Ordinal)
                .Select(static agent => new { agent.Host, seen = UnixMicros.Of(agent.Seen), agent.Report }), transaction);
    }, stop);

    /// <inheritdoc/>
    public Task<IReadOnlyList<KeptAgent>> ListAsync(DateTimeOffset seenSince, CancellationToken stop) => database.ReadAsync<IReadOnlyList<KeptAgent>>(connection =>
    [
        .. connection.Query<(string Host, long Seen, string Report)>(
            "SELECT host, seen_us, report FROM agent WHERE seen_us >= @since", new { since = UnixMicros.Of(seenSince) })
            .Select(static row => new KeptAgent(row.Host, UnixMicros.ToTime(row.Seen), row.Report)),
    ], stop);
}
