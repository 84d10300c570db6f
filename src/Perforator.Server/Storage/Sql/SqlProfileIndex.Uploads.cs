using System.Data.Common;
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

    private UploadOutcome[] Add(DbConnection connection, DbTransaction transaction, IReadOnlyList<NewUpload> uploads, string[] labels)
    {
        UploadOutcome[] outcomes = new UploadOutcome[uploads.Count];
        HashSet<string> collecting =
            [.. uploads.Select(static upload => ObjectOf(upload)).Distinct().Where(key => !Garbage.Rescue(connection, transaction, key))];
        // Services in one order, each with all that is its own, so that two groups of uploads do not wait for each other.
        int[] order =
            [.. Enumerable.Range(0, uploads.Count).Where(i => !collecting.Contains(ObjectOf(uploads[i])))
                .OrderBy(i => uploads[i].Service, StringComparer.Ordinal)];
        Array.Fill(outcomes, UploadOutcome.Collecting);
        Dictionary<string, long> services = LockServices(connection, transaction, [.. order.Select(i => uploads[i].Service).Distinct()]);
        Dictionary<string, long> sets = LabelSetIds(connection, transaction, [.. order.Select(i => labels[i]).Distinct()]);
        foreach (IGrouping<string, int> some in order.GroupBy(i => uploads[i].Service, StringComparer.Ordinal))
        {
            long service = services[some.Key], samples = 0, added = 0, last = 0;
            foreach (int i in some)
            {
                outcomes[i] = Add(connection, transaction, uploads[i], service, sets[labels[i]]);
                if (outcomes[i] != UploadOutcome.Added)
                    continue;
                added++;
                samples = Integer(uploads[i].Samples) is var more && more > long.MaxValue - samples ? long.MaxValue : samples + more;
                last = Math.Max(last, UnixMicros.Of(uploads[i].End));
            }
            if (added != 0)
                connection.Execute(
                    $"""
                    UPDATE service SET uploads = uploads + @added, samples = {Sum("samples", "@samples")}, last_us = {Greatest("last_us", "@last")}
                    WHERE id = @service
                    """, new { service, added, samples, last }, transaction);
        }
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

    private static UploadOutcome Add(DbConnection connection, DbTransaction transaction, NewUpload upload, long service, long set)
    {
        long start = UnixMicros.Of(upload.Start), end = UnixMicros.Of(upload.End);
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
                samples = Integer(upload.Samples),
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
        foreach (UploadedBuild build in upload.Builds.OrderBy(static build => build.BuildId))
        {
            string buildId = build.BuildId.ToString();
            long uploads = connection.ExecuteScalar<long>(
                $"""
                INSERT INTO build_day(service, build_id, labels, day, path, uploads, samples, branches, first_us, last_us)
                VALUES (@service, @buildId, @set, @day, @path, 1, @samples, @branches, @start, @end)
                ON CONFLICT(service, build_id, labels, day) DO UPDATE SET
                    path = CASE WHEN excluded.last_us >= build_day.last_us THEN excluded.path ELSE build_day.path END,
                    uploads = build_day.uploads + 1,
                    samples = {Sum("build_day.samples", "excluded.samples")},
                    branches = {Sum("build_day.branches", "excluded.branches")},
                    first_us = {Least("build_day.first_us", "excluded.first_us")},
                    last_us = {Greatest("build_day.last_us", "excluded.last_us")}
                RETURNING uploads
                """,
                new
                {
                    service,
                    buildId,
                    set,
                    day = Day(end),
                    path = build.Path,
                    samples = Integer(build.Samples),
                    branches = Integer(build.Branches),
                    start,
                    end,
                }, transaction);
            // A build that has uploads of the day is known.
            if (uploads == 1)
                connection.Execute(
                    "INSERT INTO service_build(service, build_id) VALUES (@service, @buildId) ON CONFLICT DO NOTHING",
                    new { service, buildId }, transaction);
        }
        return UploadOutcome.Added;

        bool Moved(long state) => connection.Execute(
            $"UPDATE upload SET state = {Kept}, object = @pack, start_at = @at, bytes = @bytes WHERE hash = @hash AND state = {state}",
            new { hash = upload.Hash, pack = upload.Object, at = upload.StartAt, bytes = upload.Bytes }, transaction) == 1;
    }
}
