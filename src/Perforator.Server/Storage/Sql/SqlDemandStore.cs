using Dapper;

namespace Perforator.Server.Storage.Sql;

/// <summary>The state of demand in a database.</summary>
public sealed class SqlDemandStore : IDemandStore
{
    private readonly SqlDatabase database;

    public SqlDemandStore(SqlDatabase database) => this.database = database;

    /// <inheritdoc/>
    public Task<KeptDemand?> FindAsync(string service, BuildId buildId, CancellationToken stop) => database.ReadAsync(
        connection => connection.Query<(long Version, long Seen, string Figures, byte[] Evidence)>(
            "SELECT version, seen_us, figures, evidence FROM demand WHERE service = @service AND build_id = @build",
            new { service, build = buildId.ToString() })
            .Select(row => new KeptDemand(service, buildId, row.Version, UnixMicros.ToTime(row.Seen), row.Figures, row.Evidence))
            .SingleOrDefault(), stop);

    /// <inheritdoc/>
    public Task<bool> PutAsync(KeptDemand demand, CancellationToken stop) => database.WriteAsync((connection, transaction) => connection.Execute(
        demand.Version == 0
            ? """
              INSERT INTO demand(service, build_id, version, seen_us, figures, evidence) VALUES (@service, @build, 1, @seen, @figures, @evidence)
              ON CONFLICT DO NOTHING
              """
            : """
              UPDATE demand SET version = version + 1, seen_us = @seen, figures = @figures, evidence = @evidence
              WHERE service = @service AND build_id = @build AND version = @version
              """,
        new
        {
            service = demand.Service,
            build = demand.BuildId.ToString(),
            version = demand.Version,
            seen = UnixMicros.Of(demand.Seen),
            figures = demand.Figures,
            evidence = demand.Evidence,
        }, transaction) == 1, stop);

    /// <inheritdoc/>
    public Task<IReadOnlyList<KeptDemand>> ListAsync(DateTimeOffset seenSince, CancellationToken stop) => database.ReadAsync<IReadOnlyList<KeptDemand>>(
        connection =>
        [
            .. connection.Query<(string Service, string Build, long Version, long Seen, string Figures)>(
                "SELECT service, build_id, version, seen_us, figures FROM demand WHERE seen_us >= @since ORDER BY service, build_id",
                new { since = UnixMicros.Of(seenSince) })
                .Select(static row =>
                    new KeptDemand(row.Service, BuildId.Parse(row.Build), row.Version, UnixMicros.ToTime(row.Seen), row.Figures, [])),
        ], stop);

    /// <inheritdoc/>
    public Task<long> RemoveAsync(DateTimeOffset seenBefore, CancellationToken stop) => database.WriteAsync(
        (connection, transaction) =>
            (long)connection.Execute("DELETE FROM demand WHERE seen_us < @before", new { before = UnixMicros.Of(seenBefore) }, transaction),
        stop);
}
