using System.Collections.Concurrent;
using System.Data.Common;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Dapper;

namespace Perforator.Server.Storage.Sql;

/// <summary>The profile index in a database; <c>Schema</c> says what its tables hold.</summary>
public sealed partial class SqlProfileIndex : IProfileIndex
{
    private const long Kept = (long)UploadState.Kept, Damaged = (long)UploadState.Damaged, Forgotten = (long)UploadState.Forgotten;

    /// <summary>How many rows are named in one statement.</summary>
    private const int Batch = 500;

    private readonly SqlDatabase database;

    /// <summary>How many label sets are remembered.</summary>
    private const int MaxLabelSets = 100_000;

    /// <summary>Label sets never change.</summary>
    private readonly ConcurrentDictionary<long, IReadOnlyDictionary<string, string>> labelSets = [];

    public SqlProfileIndex(SqlDatabase database) => this.database = database;

    /// <inheritdoc/>
    public Task<(UploadState State, ObjectSlice Place)> FindAsync(string hash, CancellationToken stop) => database.ReadAsync(
        connection => connection.QueryFirstOrDefault<PlaceRow>("SELECT state AS State, object AS Object, start_at AS StartAt, bytes AS Bytes FROM upload WHERE hash = @hash", new { hash })
            is { } row ? ((UploadState)row.State, PlaceOf(hash, row.Object, row.StartAt, row.Bytes)) : (UploadState.Unknown, default), stop);

    private sealed record PlaceRow(long State, string? Object, long StartAt, long Bytes);

    /// <summary>Uploads of before there were packs have an object of their own.</summary>
    private static ObjectSlice PlaceOf(string hash, string? pack, long start, long bytes) => new(pack ?? ObjectKeys.Upload(hash), start, bytes);

    /// <inheritdoc/>
    public Task<UploadOutcome> AddAsync(NewUpload upload, CancellationToken stop)
    {
        string json = Json(upload.Labels);
        return database.WriteAsync((connection, transaction) => Add(connection, transaction, upload, json), stop);
    }

    private static UploadOutcome Add(DbConnection connection, DbTransaction transaction, NewUpload upload, string labels)
    {
        if (!Garbage.Rescue(connection, transaction, upload.Object ?? ObjectKeys.Upload(upload.Hash)))
            return UploadOutcome.Collecting;
        long service = connection.ExecuteScalar<long>(
            "INSERT INTO service(name) VALUES (@name) ON CONFLICT(name) DO UPDATE SET name = excluded.name RETURNING id",
            new { name = upload.Service }, transaction);
        long set = connection.ExecuteScalar<long>(
            "INSERT INTO label_set(hash, json) VALUES (@hash, @json) ON CONFLICT(hash) DO UPDATE SET hash = excluded.hash RETURNING id",
            new { hash = HashOf(labels), json = labels }, transaction);
        long start = UnixMicros.Of(upload.Start), end = UnixMicros.Of(upload.End), samples = Integer(upload.Samples);
        long? id = connection.ExecuteScalar<long?>(
            """
            INSERT INTO upload(hash, service, labels, start_us, end_us, received_us, samples, bytes, object, start_at)
            VALUES (@hash, @service, @set, @start, @end, @received, @samples, @bytes, @pack, @at) ON CONFLICT(hash) DO NOTHING RETURNING id
            """,
            new
            {
                hash = upload.Hash,
                service,
                set,
                start,
                end,
                received = UnixMicros.Of(upload.Received),
                samples,
                bytes = upload.Bytes,
                pack = upload.Object,
                at = upload.StartAt,
            }, transaction);
        if (id is null)
        {
            if (Moved(Damaged))
                return UploadOutcome.Healed;
            Moved(Kept);
            return UploadOutcome.Duplicate;
        }
        // In one order, so that two uploads of the same builds do not wait for each other.
        foreach (UploadedBuild build in upload.Builds.OrderBy(static build => build.BuildId))
        {
            connection.Execute(
                $"""
                INSERT INTO build_day(service, build_id, labels, day, path, uploads, samples, branches, first_us, last_us)
                VALUES (@service, @build, @set, @day, @path, 1, @samples, @branches, @start, @end)
                ON CONFLICT(service, build_id, labels, day) DO UPDATE SET
                    path = CASE WHEN excluded.last_us >= build_day.last_us THEN excluded.path ELSE build_day.path END,
                    uploads = build_day.uploads + 1,
                    samples = {Sum("build_day.samples", "excluded.samples")},
                    branches = {Sum("build_day.branches", "excluded.branches")},
                    first_us = {Least("build_day.first_us", "excluded.first_us")},
                    last_us = {Greatest("build_day.last_us", "excluded.last_us")}
                """,
                new
                {
                    service,
                    build = build.BuildId.ToString(),
                    set,
                    day = Day(end),
                    path = build.Path,
                    samples = Integer(build.Samples),
                    branches = Integer(build.Branches),
                    start,
                    end,
                }, transaction);
            connection.Execute(
                "INSERT INTO service_build(service, build_id) VALUES (@service, @build) ON CONFLICT DO NOTHING",
                new { service, build = build.BuildId.ToString() }, transaction);
        }
        connection.Execute(
            $"UPDATE service SET uploads = uploads + 1, samples = {Sum("samples", "@samples")}, last_us = {Greatest("last_us", "@end")} WHERE id = @service",
            new { service, samples, end }, transaction);
        return UploadOutcome.Added;

        bool Moved(long state) => connection.Execute(
            $"UPDATE upload SET state = {Kept}, object = @pack, start_at = @at, bytes = @bytes WHERE hash = @hash AND state = {state}",
            new { hash = upload.Hash, pack = upload.Object, at = upload.StartAt, bytes = upload.Bytes }, transaction) == 1;
    }

    /// <inheritdoc/>
    public Task MarkDamagedAsync(string hash, ObjectSlice place, CancellationToken stop) => database.WriteAsync((connection, transaction) =>
        connection.Execute(
            $"""
            UPDATE upload SET state = {Damaged}
            WHERE hash = @hash AND state = {Kept} AND block IS NULL AND COALESCE(object, @own) = @place AND start_at = @start
            """, new { hash, own = ObjectKeys.Upload(hash), place = place.Object, start = place.Start }, transaction), stop);

    /// <inheritdoc/>
    public Task<IReadOnlyList<ServiceTotals>> ListServicesAsync(CancellationToken stop) => database.ReadAsync<IReadOnlyList<ServiceTotals>>(
        static connection =>
        [
            .. connection.Query<(string Name, long Builds, long Uploads, long Samples, long Last)>(
                """
                SELECT name, (SELECT count(*) FROM service_build WHERE service = service.id), uploads, samples, last_us
                FROM service WHERE uploads > 0
                """)
                .OrderBy(static row => row.Name, StringComparer.Ordinal)
                .Select(static row => new ServiceTotals(row.Name, row.Builds, row.Uploads, (ulong)row.Samples, UnixMicros.ToTime(row.Last))),
        ], stop);

    private sealed record BuildDayRow(string BuildId, string Path, long Labels, long Day, long Uploads, long Samples, long Branches, long First, long Last);

    /// <inheritdoc/>
    public Task<IReadOnlyList<BuildDay>> ListBuildDaysAsync(string service, CancellationToken stop) => database.ReadAsync<IReadOnlyList<BuildDay>>(connection =>
    {
        List<BuildDayRow> rows = [.. connection.Query<BuildDayRow>(
            """
            SELECT build_id AS BuildId, path AS Path, labels AS Labels, day AS Day, uploads AS Uploads, samples AS Samples, branches AS Branches,
                first_us AS First, last_us AS Last
            FROM build_day WHERE service = (SELECT id FROM service WHERE name = @service)
            """, new { service })];
        Func<long, IReadOnlyDictionary<string, string>> labels = LabelSets(connection, rows.Select(static row => row.Labels));
        return
        [
            .. rows.Select(row => new BuildDay(
                BuildId.Parse(row.BuildId), row.Path, labels(row.Labels), DateOnly.FromDayNumber((int)row.Day), row.Uploads, (ulong)row.Samples,
                (ulong)row.Branches, UnixMicros.ToTime(row.First), UnixMicros.ToTime(row.Last))),
        ];
    }, stop);

    private sealed record UploadRow(string Hash, long Labels, long Start, long End, long State, long Bytes, string? Object, long StartAt);

    private sealed record PartRow(long Block, string Object, long Offset, long Length, long Labels, byte[] SetHash, long Uploads, long Start, long End);

    private const string UploadColumns = """
        hash AS Hash, labels AS Labels, start_us AS Start, end_us AS "End", state AS State, bytes AS Bytes, object AS Object, start_at AS StartAt
        """;

    private const string PartColumns = """
        p.block AS Block, b.object AS Object, p.start_at AS "Offset", p.length AS Length, p.labels AS Labels, p.set_hash AS SetHash,
        p.uploads AS Uploads, p.first_us AS Start, p.last_us AS "End"
        """;

    /// <inheritdoc/>
    public Task<ProfileSelection> SelectAsync(string service, TimeSpanFilter span, CancellationToken stop) => database.ReadAsync(connection =>
    {
        long id = connection.ExecuteScalar<long?>("SELECT id FROM service WHERE name = @service", new { service }) ?? -1;
        object bounds = new
        {
            id,
            since = span.Since is { } since ? UnixMicros.Of(since) : long.MinValue,
            until = span.Until is { } until ? UnixMicros.Of(until) : long.MaxValue,
        };
        // A block is cut when the span has some, but perhaps not all of it. Its uploads are read instead, as long as there are any.
        const string Touched = "last_end_us >= @since AND first_start_us < @until";
        const string Cut = "(first_end_us < @since OR last_start_us >= @until) AND uploads_kept = 1";
        List<UploadRow> uploads = [.. connection.Query<UploadRow>(
            $"""
            SELECT {UploadColumns} FROM upload WHERE service = @id AND block IS NULL AND end_us >= @since AND start_us < @until
            UNION ALL
            SELECT {UploadColumns} FROM upload WHERE end_us >= @since AND start_us < @until
                AND block IN (SELECT id FROM block WHERE service = @id AND {Touched} AND {Cut})
            """, bounds)];
        List<PartRow> parts = [.. connection.Query<PartRow>(
            $"SELECT {PartColumns} FROM block b JOIN block_part p ON p.block = b.id WHERE b.service = @id AND {Touched} AND NOT ({Cut})", bounds)];
        return ToSelection(connection, uploads, parts);
    }, stop);

    private ProfileSelection ToSelection(DbConnection connection, List<UploadRow> uploads, List<PartRow> parts)
    {
        Func<long, IReadOnlyDictionary<string, string>> labels = LabelSets(
            connection, uploads.Select(static row => row.Labels).Concat(parts.Select(static row => row.Labels)));
        // In the order of their places; those that have objects of their own, whose keys are of their hashes, last.
        uploads.Sort(static (a, b) =>
            (a.Object is null).CompareTo(b.Object is null) is not 0 and int kind ? kind
            : string.CompareOrdinal(a.Object, b.Object) is not 0 and int order ? order
            : a.StartAt.CompareTo(b.StartAt) is not 0 and int at ? at
            : string.CompareOrdinal(a.Hash, b.Hash));
        parts.Sort(static (a, b) => string.CompareOrdinal(a.Object, b.Object) is not 0 and int order ? order : a.Offset.CompareTo(b.Offset));
        return new ProfileSelection(
            [.. uploads.Select(row => new SelectedUpload(
                row.Hash, labels(row.Labels), UnixMicros.ToTime(row.Start), UnixMicros.ToTime(row.End), row.State == Damaged,
                PlaceOf(row.Hash, row.Object, row.StartAt, row.Bytes)))],
            [.. parts.Select(row => new SelectedPart(
                row.Object, row.Offset, (int)row.Length, labels(row.Labels), SetOf(row.SetHash, row.Uploads), UnixMicros.ToTime(row.Start),
                UnixMicros.ToTime(row.End)))]);
    }

    /// <summary>Label sets by their id, those of <paramref name="ids"/> at least.</summary>
    private Func<long, IReadOnlyDictionary<string, string>> LabelSets(DbConnection connection, IEnumerable<long> ids)
    {
        long[] wanted = [.. ids.Distinct()];
        if (labelSets.Count > MaxLabelSets)
            labelSets.Clear();
        Dictionary<long, IReadOnlyDictionary<string, string>> sets = [];
        List<long> missing = [];
        foreach (long id in wanted)
            if (labelSets.TryGetValue(id, out IReadOnlyDictionary<string, string>? labels))
                sets.Add(id, labels);
            else
                missing.Add(id);
        foreach (long[] some in missing.Chunk(Batch))
            foreach ((long id, string json) in connection.Query<(long, string)>($"SELECT id, json FROM label_set WHERE id {database.In("@some")}", new { some }))
                labelSets[id] = sets[id] = JsonSerializer.Deserialize<SortedDictionary<string, string>>(json)!;
        return id => sets[id];
    }

    /// <summary>The one form in which a set of labels is kept.</summary>
    private static string Json(IReadOnlyDictionary<string, string> labels) =>
        JsonSerializer.Serialize(new SortedDictionary<string, string>(labels.ToDictionary(), StringComparer.Ordinal));

    private static string HashOf(string labels) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(labels)));

    private static UploadSetHash SetOf(byte[] bytes, long count)
    {
        UploadSetHash set = new();
        set.Add(bytes, count);
        return set;
    }

    private static int Day(long micros) => UnixMicros.ToDay(micros).DayNumber;

    private static long Integer(ulong value) => (long)Math.Min(value, long.MaxValue);

    /// <summary>A sum that saturates: counters of strangers may overflow, which is an error in one database and a fraction in the other.</summary>
    private static string Sum(string a, string b) => $"CASE WHEN {a} > {long.MaxValue} - {b} THEN {long.MaxValue} ELSE {a} + {b} END";

    private static string Least(string a, string b) => $"CASE WHEN {a} < {b} THEN {a} ELSE {b} END";

    private static string Greatest(string a, string b) => $"CASE WHEN {a} > {b} THEN {a} ELSE {b} END";
}
