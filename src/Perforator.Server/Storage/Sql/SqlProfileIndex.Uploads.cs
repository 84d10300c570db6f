using System.Data.Common;
using System.Text.Json;
using Dapper;

namespace Perforator.Server.Storage.Sql;

/// <summary>Single uploads: how they are found and counted.</summary>
public sealed partial class SqlProfileIndex
{
    private sealed record PlaceRow(string Hash, long State, string? Object, long StartAt, long Bytes);

    /// <inheritdoc/>
    public Task<IReadOnlyList<(UploadState State, ObjectSlice Place)>> FindAsync(IReadOnlyList<string> hashes, CancellationToken stop) =>
        database.ReadAsync<IReadOnlyList<(UploadState, ObjectSlice)>>(connection =>
        {
            Dictionary<string, PlaceRow> known = connection.Query<PlaceRow>(
                $"""
                SELECT hash AS Hash, state AS State, object AS Object, start_at AS StartAt, bytes AS Bytes FROM upload
                WHERE hash {database.In("@hashes")}
                """,
                new { hashes = hashes.ToArray() }).ToDictionary(static row => row.Hash, StringComparer.Ordinal);
            return
            [
                .. hashes.Select(hash => known.TryGetValue(hash, out PlaceRow? row)
                    ? ((UploadState)row.State, PlaceOf(hash, row.Object, row.StartAt, row.Bytes))
                    : (UploadState.Unknown, default)),
            ];
        }, stop);

    /// <inheritdoc/>
    public Task<IReadOnlyList<UploadOutcome>> AddAsync(IReadOnlyList<NewUpload> uploads, CancellationToken stop)
    {
        string[] labels = [.. uploads.Select(static upload => Json(upload.Labels))];
        return database.WriteAsync<IReadOnlyList<UploadOutcome>>(
            (connection, transaction) => Add(connection, transaction, uploads, labels), stop);
    }

    /// <summary>A new upload with the ids of its service and its labels.</summary>
    /// <param name="Index">Which of those that are added.</param>
    private sealed record Filed(int Index, NewUpload Upload, long Service, long Labels)
    {
        public long Start { get; } = UnixMicros.Of(Upload.Start);

        public long End { get; } = UnixMicros.Of(Upload.End);
    }

    private UploadOutcome[] Add(DbConnection connection, DbTransaction transaction, IReadOnlyList<NewUpload> uploads, string[] labels)
    {
        UploadOutcome[] outcomes = new UploadOutcome[uploads.Count];
        HashSet<string> collecting =
            [.. uploads.Select(static upload => ObjectOf(upload)).Distinct().Where(key => !Garbage.Rescue(connection, transaction, key))];
        // Services in one order, so that two groups of uploads do not wait for each other.
        int[] order =
            [.. Enumerable.Range(0, uploads.Count).Where(i => !collecting.Contains(ObjectOf(uploads[i])))
                .OrderBy(i => uploads[i].Service, StringComparer.Ordinal)];
        Array.Fill(outcomes, UploadOutcome.Collecting);
        Dictionary<string, long> services = LockServices(connection, transaction, [.. order.Select(i => uploads[i].Service).Distinct()]);
        Dictionary<string, long> sets = LabelSetIds(connection, transaction, [.. order.Select(i => labels[i]).Distinct()]);
        Filed[] all = [.. order.Select(i => new Filed(i, uploads[i], services[uploads[i].Service], sets[labels[i]]))];
        HashSet<string> unknown = Insert(connection, transaction, all);
        List<Filed> added = [];
        foreach (Filed one in all)
            if (unknown.Remove(one.Upload.Hash))
                added.Add(one);
            else
                outcomes[one.Index] = Move(connection, transaction, one.Upload);
        foreach (Filed one in added)
            outcomes[one.Index] = UploadOutcome.Added;
        if (added.Count != 0)
            Count(connection, transaction, added);
        return outcomes;
    }

    private static string ObjectOf(NewUpload upload) => upload.Object ?? ObjectKeys.Upload(upload.Hash);

    /// <summary>Ids of services, which are made where they are missing; nobody else changes them until the transaction ends.</summary>
    /// <param name="names">Their names, in order.</param>
    private Dictionary<string, long> LockServices(DbConnection connection, DbTransaction transaction, string[] names)
    {
        Dictionary<string, long> services = connection.Query<(string Name, long Id)>(
            $"SELECT name, id FROM service WHERE name {database.In("@names")} ORDER BY name {database.ForUpdate}", new { names },
            transaction)
            .ToDictionary(static row => row.Name, static row => row.Id, StringComparer.Ordinal);
        foreach (string name in names)
            if (!services.ContainsKey(name))
                services.Add(name, connection.ExecuteScalar<long>(
                    "INSERT INTO service(name) VALUES (@name) ON CONFLICT(name) DO UPDATE SET name = excluded.name RETURNING id",
                    new { name }, transaction));
        return services;
    }

    /// <summary>Ids of label sets, which are made where they are missing.</summary>
    private Dictionary<string, long> LabelSetIds(DbConnection connection, DbTransaction transaction, string[] labels)
    {
        Dictionary<string, string> hashes = labels.ToDictionary(static json => json, HashOf, StringComparer.Ordinal);
        Dictionary<string, long> known = connection.Query<(string Hash, long Id)>(
            $"SELECT hash, id FROM label_set WHERE hash {database.In("@some")}", new { some = hashes.Values.ToArray() }, transaction)
            .ToDictionary(static row => row.Hash, static row => row.Id, StringComparer.Ordinal);
        return labels.ToDictionary(static json => json, json => known.TryGetValue(hashes[json], out long id)
            ? id
            : connection.ExecuteScalar<long>(
                "INSERT INTO label_set(hash, json) VALUES (@hash, @json) ON CONFLICT(hash) DO UPDATE SET hash = excluded.hash RETURNING id",
                new { hash = hashes[json], json }, transaction), StringComparer.Ordinal);
    }

    /// <summary>Adds the uploads that are not known yet.</summary>
    /// <returns>Their hashes.</returns>
    private HashSet<string> Insert(DbConnection connection, DbTransaction transaction, Filed[] uploads)
    {
        const string Columns = "hash, service, labels, start_us, end_us, received_us, samples, bytes, object, start_at";
        const string Types = "hash text, service bigint, labels bigint, start_us bigint, end_us bigint, received_us bigint, "
            + "samples bigint, bytes bigint, object text, start_at bigint";
        var rows = uploads.Select(static one => new
        {
            one.Upload.Hash,
            one.Service,
            one.Labels,
            StartUs = one.Start,
            EndUs = one.End,
            ReceivedUs = UnixMicros.Of(one.Upload.Received),
            Samples = Integer(one.Upload.Samples),
            one.Upload.Bytes,
            one.Upload.Object,
            one.Upload.StartAt,
        });
        return
        [
            .. connection.Query<string>(
                $"""
                INSERT INTO upload({Columns}) SELECT {Columns} FROM {database.Rows("@rows", Types)} WHERE true
                ON CONFLICT(hash) DO NOTHING RETURNING hash
                """, Parameter(rows), transaction),
        ];
    }

    /// <summary>Has an upload that is known read where it was put last.</summary>
    private static UploadOutcome Move(DbConnection connection, DbTransaction transaction, NewUpload upload)
    {
        if (IsMoved(Damaged))
            return UploadOutcome.Healed;
        IsMoved(Kept);
        return UploadOutcome.Duplicate;

        bool IsMoved(long state) => connection.Execute(
            $"UPDATE upload SET state = {Kept}, object = @pack, start_at = @at, bytes = @bytes WHERE hash = @hash AND state = {state}",
            new { hash = upload.Hash, pack = upload.Object, at = upload.StartAt, bytes = upload.Bytes }, transaction) == 1;
    }

    /// <summary>Counts new uploads for their services, and for these's builds and days.</summary>
    private void Count(DbConnection connection, DbTransaction transaction, List<Filed> uploads)
    {
        const string Columns = "service, build_id, labels, day, path, uploads, samples, branches, first_us, last_us";
        const string Types = "service bigint, build_id text, labels bigint, day bigint, path text, uploads bigint, samples bigint, "
            + "branches bigint, first_us bigint, last_us bigint";
        var days = uploads.SelectMany(static one => one.Upload.Builds.Select(build => (Of: one, Build: build)))
            .GroupBy(static one => (one.Of.Service, one.Build.BuildId, one.Of.Labels, Day: Day(one.Of.End)))
            .Select(static same => new
            {
                same.Key.Service,
                BuildId = same.Key.BuildId.ToString(),
                same.Key.Labels,
                same.Key.Day,
                same.MaxBy(static one => one.Of.End).Build.Path,
                Uploads = same.Count(),
                Samples = Total(same.Select(static one => one.Build.Samples)),
                Branches = Total(same.Select(static one => one.Build.Branches)),
                FirstUs = same.Min(static one => one.Of.Start),
                LastUs = same.Max(static one => one.Of.End),
            });
        connection.Execute(
            $"""
            INSERT INTO build_day({Columns}) SELECT {Columns} FROM {database.Rows("@rows", Types)} WHERE true
            ON CONFLICT(service, build_id, labels, day) DO UPDATE SET
                path = CASE WHEN excluded.last_us >= build_day.last_us THEN excluded.path ELSE build_day.path END,
                uploads = build_day.uploads + excluded.uploads,
                samples = {Sum("build_day.samples", "excluded.samples")},
                branches = {Sum("build_day.branches", "excluded.branches")},
                first_us = {Least("build_day.first_us", "excluded.first_us")},
                last_us = {Greatest("build_day.last_us", "excluded.last_us")}
            """, Parameter(days), transaction);
        var builds = uploads.SelectMany(
            static one => one.Upload.Builds.Select(build => new { one.Service, BuildId = build.BuildId.ToString() }));
        connection.Execute(
            $"""
            INSERT INTO service_build(service, build_id)
            SELECT DISTINCT service, build_id FROM {database.Rows("@rows", "service bigint, build_id text")} WHERE true
            ON CONFLICT DO NOTHING
            """, Parameter(builds), transaction);
        var services = uploads.GroupBy(static one => one.Service).Select(static same => new
        {
            Service = same.Key,
            Uploads = same.Count(),
            Samples = Total(same.Select(static one => one.Upload.Samples)),
            LastUs = same.Max(static one => one.End),
        });
        connection.Execute(
            $"""
            UPDATE service SET uploads = service.uploads + r.uploads, samples = {Sum("service.samples", "r.samples")},
                last_us = {Greatest("service.last_us", "r.last_us")}
            FROM {database.Rows("@rows", "service bigint, uploads bigint, samples bigint, last_us bigint")} WHERE service.id = r.service
            """, Parameter(services), transaction);
    }

    private static long Total(IEnumerable<ulong> counts) =>
        counts.Aggregate(0L, static (sum, count) => Integer((ulong)sum + (ulong)Integer(count)));

    private static readonly JsonSerializerOptions AsColumns = new() { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    /// <summary>Rows as one parameter, @rows, so that a statement on all of them is one round trip.</summary>
    private static object Parameter<T>(IEnumerable<T> rows) => new { rows = JsonSerializer.Serialize(rows, AsColumns) };
}
