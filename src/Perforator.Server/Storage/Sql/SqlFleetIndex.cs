using System.Data.Common;
using Dapper;
using Perforator.Branches;

namespace Perforator.Server.Storage.Sql;

/// <summary>The fleet at a glance, added up in the database: its answer has a row for a build or a day, not for each host's.</summary>
public sealed class SqlFleetIndex : IFleetIndex
{
    /// <summary>How many rows are named in one statement.</summary>
    private const int Batch = 500;

    private readonly SqlDatabase database;

    public SqlFleetIndex(SqlDatabase database) => this.database = database;

    /// <summary>Sums are floating-point numbers: counters saturate one by one, and their sum would overflow.</summary>
    private const string SumOfBranches = "sum(CAST(d.branches AS double precision))";

    private static readonly string InWindow = $"d.day > s.last_us / 86400000000 + {UnixMicros.ToDay(0).DayNumber} - @windowDays";

    private const string OfService = "(@service = '' OR s.name = @service)";

    /// <inheritdoc/>
    public Task<FleetFigures> ReadFleetAsync(string? service, int windowDays, DateOnly since, CancellationToken stop) => database.ReadAsync(connection =>
    {
        object parameters = new { service = service ?? "", windowDays, since = (long)since.DayNumber };
        return new FleetFigures(
            [
                .. connection.Query<(string Name, long Builds, long Uploads, long Samples, long Last)>(
                    $"""
                    SELECT s.name, (SELECT count(*) FROM service_build WHERE service = s.id), s.uploads, s.samples, s.last_us
                    FROM service s WHERE s.uploads > 0 AND {OfService}
                    """, parameters)
                    .OrderBy(static row => row.Name, StringComparer.Ordinal)
                    .Select(static row =>
                        new ServiceTotals(row.Name, row.Builds, row.Uploads, (ulong)row.Samples, UnixMicros.ToTime(row.Last))),
            ],
            [
                .. connection.Query<(string Service, string BuildId, string Path, double Branches, long Last, long CodeBytes, long Debug)>(
                    $"""
                    SELECT t.name, t.build_id, t.path, t.branches, t.last_us, COALESCE(max(f.code_bytes), 0), COALESCE(max(f.has_debug_info), 0)
                    FROM (SELECT s.name AS name, d.build_id AS build_id, max(d.path) AS path, {SumOfBranches} AS branches, max(d.last_us) AS last_us
                          FROM build_day d JOIN service s ON s.id = d.service WHERE {OfService} AND {InWindow} GROUP BY s.name, d.build_id) t
                    LEFT JOIN binary_file f ON f.build_id = t.build_id GROUP BY t.name, t.build_id, t.path, t.branches, t.last_us
                    """, parameters)
                    .Select(static row => new FleetBuild(
                        row.Service, BuildId.Parse(row.BuildId), row.Path, row.Branches, UnixMicros.ToTime(row.Last), (ulong)row.CodeBytes,
                        row.CodeBytes > 0 && row.Debug != 0)),
            ],
            [
                .. connection.Query<(string Service, long Day, double Branches)>(
                    $"""
                    SELECT s.name, d.day, {SumOfBranches} FROM build_day d JOIN service s ON s.id = d.service
                    WHERE {OfService} AND d.day >= @since GROUP BY s.name, d.day
                    """, parameters)
                    .Select(static row => new FleetDay(row.Service, DateOnly.FromDayNumber((int)row.Day), row.Branches)),
            ],
            Spreads(connection, ProfileLabels.Host, parameters), Spreads(connection, ProfileLabels.Cpu, parameters));
    }, stop);

    private List<FleetSpread> Spreads(DbConnection connection, string label, object parameters) =>
    [
        .. connection.Query<(string Service, long Values, double Largest, double All)>(
            $"""
            SELECT v.name, count(*), max(v.branches), sum(v.branches) FROM
                (SELECT t.name AS name, {database.JsonText("l.json", label)} AS value, sum(t.branches) AS branches FROM
                    (SELECT s.name AS name, d.labels AS labels, {SumOfBranches} AS branches
                     FROM build_day d JOIN service s ON s.id = d.service WHERE {OfService} AND {InWindow} GROUP BY s.name, d.labels) t
                 JOIN label_set l ON l.id = t.labels GROUP BY 1, 2) v
            WHERE v.value IS NOT NULL GROUP BY v.name
            """, parameters)
            .Select(static row => new FleetSpread(row.Service, row.Values, row.All > 0 ? row.Largest / row.All : 0)),
    ];

    /// <inheritdoc/>
    public Task<IReadOnlyList<FleetHost>> ReadHostsAsync(DateOnly since, CancellationToken stop) => database.ReadAsync<IReadOnlyList<FleetHost>>(connection =>
    [
        .. connection.Query<(string Service, string? Host, string? Cpu, string? Source, long Last, double Samples)>(
            $"""
            SELECT t.name, {database.JsonText("l.json", ProfileLabels.Host)}, {database.JsonText("l.json", ProfileLabels.Cpu)},
                {database.JsonText("l.json", ProfileLabels.Source)}, t.last_us, t.samples
            FROM (SELECT s.name AS name, d.labels AS labels, max(d.last_us) AS last_us,
                      sum(CAST(d.samples AS double precision)) AS samples
                  FROM build_day d JOIN service s ON s.id = d.service WHERE d.day >= @since GROUP BY s.name, d.labels) t
            JOIN label_set l ON l.id = t.labels
            """, new { since = (long)since.DayNumber })
            .Select(static row =>
                new FleetHost(row.Service, row.Host ?? "", row.Cpu, row.Source, UnixMicros.ToTime(row.Last), row.Samples)),
    ], stop);

    /// <inheritdoc/>
    public Task<IReadOnlyList<(string Service, long Id)>> LatestResultsAsync(string? service, CancellationToken stop) =>
        database.ReadAsync<IReadOnlyList<(string, long)>>(connection =>
        [
            .. connection.Query<(string, long)>(
                "SELECT service, max(id) FROM result WHERE selector = service AND (@service = '' OR service = @service) GROUP BY service",
                new { service = service ?? "" }),
        ], stop);

    /// <inheritdoc/>
    public Task<IReadOnlyList<(long Id, string Profile, DateTimeOffset Made, string Report)>> ReadReportsAsync(
        IReadOnlyCollection<long> ids, CancellationToken stop) => database.ReadAsync<IReadOnlyList<(long, string, DateTimeOffset, string)>>(connection =>
    {
        List<(long, string, DateTimeOffset, string)> reports = [];
        foreach (long[] some in ids.Chunk(Batch))
            reports.AddRange(connection.Query<(long Id, string Profile, long Made, string Report)>(
                $"SELECT id, profile, made_us, report FROM result WHERE id {database.In("@some")}", new { some })
                .Select(static row => (row.Id, row.Profile, UnixMicros.ToTime(row.Made), row.Report)));
        return reports;
    }, stop);
}
