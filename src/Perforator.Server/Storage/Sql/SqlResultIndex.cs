using System.Data.Common;
using Dapper;

namespace Perforator.Server.Storage.Sql;

/// <summary>The history of generated profiles in a database.</summary>
public sealed class SqlResultIndex : IResultIndex
{
    private readonly SqlDatabase database;

    public SqlResultIndex(SqlDatabase database) => this.database = database;

    /// <summary>A row; times are microseconds.</summary>
    private sealed class Row
    {
        public long Id { get; set; }
        public string Service { get; set; } = "";
        public string ResultKey { get; set; } = "";
        public string Profile { get; set; } = "";
        public long Made { get; set; }
        public string Selector { get; set; } = "";
        public long? Since { get; set; }
        public long? Until { get; set; }
        public long Uploads { get; set; }
        public string Inputs { get; set; } = "";
        public string Builds { get; set; } = "";
        public double Ratio { get; set; }
        public string Report { get; set; } = "";
        public string ReportText { get; set; } = "";
        public string ReportLine { get; set; } = "";
        public string Tool { get; set; } = "";

        public KeptResult ToResult() => new(
            Service, ResultKey, Profile, UnixMicros.ToTime(Made), Selector, Since is { } since ? UnixMicros.ToTime(since) : null,
            Until is { } until ? UnixMicros.ToTime(until) : null, Uploads, Inputs, Builds.Split(' ', StringSplitOptions.RemoveEmptyEntries),
            Ratio, Report,
            ReportText, ReportLine, Tool)
        {
            Id = Id,
        };
    }

    private const string Columns = """
        id AS Id, service AS Service, result_key AS ResultKey, profile AS Profile, made_us AS Made, selector AS Selector, since_us AS Since,
        until_us AS Until, uploads AS Uploads, inputs AS Inputs, builds AS Builds, ratio AS Ratio, report AS Report, report_text AS ReportText,
        report_line AS ReportLine, tool AS Tool
        """;

    /// <inheritdoc/>
    public Task<KeptResult?> FindAsync(string key, CancellationToken stop) =>
        database.ReadAsync(connection => Find(connection, null, key), stop);

    private static KeptResult? Find(DbConnection connection, DbTransaction? transaction, string key) =>
        connection.QuerySingleOrDefault<Row>($"SELECT {Columns} FROM result WHERE result_key = @key", new { key }, transaction)?.ToResult();

    /// <inheritdoc/>
    public Task<IReadOnlyList<KeptResult>> FindByProfileAsync(string service, string hashPrefix, CancellationToken stop) =>
        database.ReadAsync<IReadOnlyList<KeptResult>>(connection =>
        [
            .. connection.Query<Row>(
                $"""
                SELECT {Columns} FROM result WHERE id IN
                    (SELECT max(id) FROM result WHERE service = @service AND profile >= @hashPrefix AND profile < @end GROUP BY profile ORDER BY 1 DESC LIMIT 2)
                ORDER BY id DESC
                """, new { service, hashPrefix, end = hashPrefix + "g" }).Select(static row => row.ToResult()),
        ], stop);

    /// <inheritdoc/>
    public Task<IReadOnlyList<string>> ServicesOfAsync(string profile, CancellationToken stop) => database.ReadAsync<IReadOnlyList<string>>(
        connection => [.. connection.Query<string>("SELECT DISTINCT service FROM result WHERE profile = @profile", new { profile })], stop);

    /// <inheritdoc/>
    public Task<KeptResult> AddAsync(KeptResult result, CancellationToken stop) => database.WriteAsync((connection, transaction) =>
    {
        if (!Garbage.Rescue(connection, transaction, ObjectKeys.Result(result.Profile)))
            throw new IOException($"{ObjectKeys.Result(result.Profile)} is just being collected; ask again");
        connection.Execute(
            """
            INSERT INTO result(service, result_key, profile, made_us, selector, since_us, until_us, uploads, inputs, builds, ratio, report,
                report_text, report_line, tool)
            VALUES (@Service, @Key, @Profile, @made, @Selector, @since, @until, @Uploads, @Inputs, @builds, @Ratio, @Report,
                @ReportText, @ReportLine, @Tool)
            ON CONFLICT(result_key) DO NOTHING
            """,
            new
            {
                result.Service,
                result.Key,
                result.Profile,
                made = UnixMicros.Of(result.Made),
                result.Selector,
                since = result.Since is { } since ? (long?)UnixMicros.Of(since) : null,
                until = result.Until is { } until ? (long?)UnixMicros.Of(until) : null,
                result.Uploads,
                result.Inputs,
                builds = string.Join(' ', result.Builds),
                result.Ratio,
                result.Report,
                result.ReportText,
                result.ReportLine,
                result.Tool,
            }, transaction);
        return Find(connection, transaction, result.Key)!;
    }, stop);

    /// <inheritdoc/>
    public Task RemoveAsync(string key, CancellationToken stop) => database.WriteAsync(
        (connection, transaction) => connection.Execute("DELETE FROM result WHERE result_key = @key", new { key }, transaction), stop);

    /// <inheritdoc/>
    public Task<IReadOnlyList<KeptResult>> ListAsync(string service, long? before, int limit, CancellationToken stop) =>
        database.ReadAsync<IReadOnlyList<KeptResult>>(connection =>
        [
            .. connection.Query<Row>(
                $"SELECT {Columns} FROM result WHERE service = @service AND id < @before ORDER BY id DESC LIMIT @limit",
                new { service, before = before ?? long.MaxValue, limit }).Select(static row => row.ToResult()),
        ], stop);

    /// <inheritdoc/>
    public Task NoteAskedAsync(KeptAsked asked, CancellationToken stop) => database.WriteAsync((connection, transaction) => connection.Execute(
        """
        INSERT INTO profile_asked(service, profile, who, asked_us, gates, unmet) VALUES (@Service, @Profile, @Who, @when, @Gates, @Unmet)
        ON CONFLICT(service, profile, who) DO UPDATE SET asked_us = excluded.asked_us,
            gates = CASE WHEN excluded.gates = '' THEN profile_asked.gates ELSE excluded.gates END,
            unmet = CASE WHEN excluded.gates = '' THEN profile_asked.unmet ELSE excluded.unmet END
        """, new { asked.Service, asked.Profile, asked.Who, when = UnixMicros.Of(asked.When), asked.Gates, asked.Unmet }, transaction), stop);

    /// <inheritdoc/>
    public Task<IReadOnlyList<KeptAsked>> ListAskedAsync(string service, IReadOnlyCollection<string> profiles, CancellationToken stop) =>
        database.ReadAsync<IReadOnlyList<KeptAsked>>(connection => profiles.Count == 0 ? [] :
        [
            .. connection.Query<(string Profile, string Who, long When, string Gates, string Unmet)>(
                $"""
                SELECT profile, who, asked_us, gates, unmet FROM profile_asked WHERE service = @service AND profile {database.In("@some")}
                ORDER BY asked_us DESC, who
                """, new { service, some = profiles.ToArray() })
                .Select(row => new KeptAsked(service, row.Profile, row.Who, UnixMicros.ToTime(row.When), row.Gates, row.Unmet)),
        ], stop);

    /// <summary>A row.</summary>
    private sealed class NameRow
    {
        public string Name { get; set; } = "";
        public string Profile { get; set; } = "";
        public long Changed { get; set; }
        public string? Previous { get; set; }

        public KeptName ToName() => new(Name, Profile, UnixMicros.ToTime(Changed), Previous);
    }

    private const string NameColumns = "name AS Name, profile AS Profile, changed_us AS Changed, previous AS Previous";

    /// <inheritdoc/>
    public Task<IReadOnlyList<KeptName>> ListNamesAsync(string service, CancellationToken stop) => database.ReadAsync<IReadOnlyList<KeptName>>(connection =>
    [
        .. connection.Query<NameRow>($"SELECT {NameColumns} FROM profile_name WHERE service = @service", new { service })
            .Select(static row => row.ToName()).OrderBy(static name => name.Name, StringComparer.Ordinal),
    ], stop);

    /// <inheritdoc/>
    public Task<KeptName> SetNameAsync(string service, string name, string profile, DateTimeOffset now, CancellationToken stop) =>
        database.WriteAsync((connection, transaction) =>
        {
            connection.Execute(
                """
                INSERT INTO profile_name(service, name, profile, changed_us) VALUES (@service, @name, @profile, @now)
                ON CONFLICT(service, name) DO UPDATE SET previous = profile_name.profile, profile = excluded.profile, changed_us = excluded.changed_us
                WHERE profile_name.profile <> excluded.profile
                """, new { service, name, profile, now = UnixMicros.Of(now) }, transaction);
            return connection.QuerySingle<NameRow>(
                $"SELECT {NameColumns} FROM profile_name WHERE service = @service AND name = @name", new { service, name }, transaction)
                .ToName();
        }, stop);

    /// <inheritdoc/>
    public Task<bool> RemoveNameAsync(string service, string name, CancellationToken stop) => database.WriteAsync((connection, transaction) =>
        connection.Execute(
            "DELETE FROM profile_name WHERE service = @service AND name = @name", new { service, name }, transaction) == 1, stop);

    /// <inheritdoc/>
    public Task<long> RemoveOldAsync(DateTimeOffset madeBefore, CancellationToken stop) => database.WriteAsync((connection, transaction) =>
    {
        long removed = connection.Execute(
            """
            DELETE FROM result WHERE made_us < @before
                AND id <> (SELECT max(latest.id) FROM result latest WHERE latest.service = result.service)
                AND NOT EXISTS (SELECT 1 FROM profile_name n
                    WHERE n.service = result.service AND (n.profile = result.profile OR n.previous = result.profile))
            """, new { before = UnixMicros.Of(madeBefore) }, transaction);
        connection.Execute(
            """
            DELETE FROM profile_asked WHERE NOT EXISTS
                (SELECT 1 FROM result r WHERE r.service = profile_asked.service AND r.profile = profile_asked.profile)
            """, transaction: transaction);
        return removed;
    }, stop);
}
