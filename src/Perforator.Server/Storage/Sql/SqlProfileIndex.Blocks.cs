using System.Data.Common;
using Dapper;

namespace Perforator.Server.Storage.Sql;

/// <summary>Blocks and retention: how uploads are added up, and forgotten.</summary>
public sealed partial class SqlProfileIndex
{
    /// <inheritdoc/>
    public Task<IReadOnlyList<OpenPeriod>> ListOpenPeriodsAsync(bool days, DateTimeOffset endedBefore, int limit, CancellationToken stop)
    {
        long length = UnixMicros.Of(days ? TimeSpan.FromDays(1) : TimeSpan.FromHours(1));
        string sql = days
            ? $"""
              SELECT s.name, b.start_us - b.start_us % {length}, count(*), CAST(0 AS bigint) FROM block b JOIN service s ON s.id = b.service
              WHERE b.length_us < {length} AND b.start_us - b.start_us % {length} + {length} <= @before
              GROUP BY s.name, b.start_us - b.start_us % {length} ORDER BY 2, 1 LIMIT @limit
              """
            : $"""
              SELECT s.name, u.end_us - u.end_us % {length}, count(*), max(u.received_us) FROM upload u JOIN service s ON s.id = u.service
              WHERE u.block IS NULL AND u.state = {Kept} AND u.end_us < @before AND u.end_us - u.end_us % {length} + {length} <= @before
              GROUP BY s.name, u.end_us - u.end_us % {length} ORDER BY 2, 1 LIMIT @limit
              """;
        return database.ReadAsync<IReadOnlyList<OpenPeriod>>(connection =>
        [
            .. connection.Query<(string Service, long Start, long Pieces, long Received)>(
                sql, new { before = UnixMicros.Of(endedBefore), limit })
                .Select(row =>
                    new OpenPeriod(
                        row.Service, new BlockPeriod(UnixMicros.ToTime(row.Start), days), row.Pieces, UnixMicros.ToTime(row.Received))),
        ], stop);
    }

    /// <inheritdoc/>
    public Task<ProfileSelection> SelectPeriodAsync(string service, BlockPeriod period, CancellationToken stop) => database.ReadAsync(connection =>
    {
        object bounds = new { service, start = UnixMicros.Of(period.Start), end = UnixMicros.Of(period.End) };
        List<UploadRow> uploads = [.. connection.Query<UploadRow>(
            $"""
            SELECT {UploadColumns} FROM upload WHERE service = (SELECT id FROM service WHERE name = @service)
                AND block IS NULL AND state = {Kept} AND end_us >= @start AND end_us < @end
            """, bounds)];
        List<PartRow> parts = [.. connection.Query<PartRow>(
            $"""
            SELECT {PartColumns} FROM block b JOIN block_part p ON p.block = b.id
            WHERE b.service = (SELECT id FROM service WHERE name = @service) AND b.start_us >= @start AND b.start_us + b.length_us <= @end
            """, bounds)];
        return ToSelection(connection, uploads, parts);
    }, stop);

    /// <inheritdoc/>
    public Task<bool> ReplaceAsync(NewBlock block, CancellationToken stop) => database.WriteAsync(
        (connection, transaction) => Replace(connection, transaction, block), stop);

    private bool Replace(DbConnection connection, DbTransaction transaction, NewBlock block)
    {
        string key = ObjectKeys.Block(block.Hash);
        // Locks the service against other workers: what follows is checked and changed by one at a time.
        if (!Garbage.Rescue(connection, transaction, key) || Lock(connection, transaction, block.Service) is not { } service)
            return false;
        long start = UnixMicros.Of(block.Period.Start), length = UnixMicros.Of(block.Period.End - block.Period.Start);
        List<(long Id, string Object)> before = [.. connection.Query<(long, string)>(
            "SELECT id, object FROM block WHERE service = @service AND start_us >= @start AND start_us + length_us <= @start + @length",
            new { service, start, length }, transaction)];
        if (!before.Select(static old => old.Object).ToHashSet(StringComparer.Ordinal).SetEquals(block.Blocks))
            return false;
        long[] replaced = [.. before.Select(static old => old.Id)];
        long uploads = block.Parts.Sum(static part => part.Set.Count), members = 0;
        foreach (string[] hashes in block.Uploads.Chunk(Batch))
            members += connection.ExecuteScalar<long>(
                $"SELECT count(*) FROM upload WHERE hash {database.In("@hashes")} AND service = @service AND block IS NULL AND state = {Kept}",
                new { hashes, service }, transaction);
        members += connection.ExecuteScalar<long>(
            $"SELECT count(*) FROM upload WHERE block {database.In("@replaced")}", new { replaced }, transaction);
        if (members != uploads)
            return false;

        connection.Execute($"DELETE FROM block_part WHERE block {database.In("@replaced")}", new { replaced }, transaction);
        connection.Execute($"DELETE FROM block WHERE id {database.In("@replaced")}", new { replaced }, transaction);
        long id = connection.ExecuteScalar<long>(
            """
            INSERT INTO block(service, start_us, length_us, object, bytes, uploads) VALUES (@service, @start, @length, @key, @bytes, @uploads)
            RETURNING id
            """, new { service, start, length, key, bytes = block.Bytes, uploads }, transaction);
        foreach (NewPart part in block.Parts)
            Insert(connection, transaction, id, part);
        connection.Execute($"UPDATE upload SET block = @id WHERE block {database.In("@replaced")}", new { id, replaced }, transaction);
        foreach (string[] hashes in block.Uploads.Chunk(Batch))
            connection.Execute(
                $"UPDATE upload SET block = @id WHERE hash {database.In("@hashes")} AND service = @service", new { id, hashes, service },
                transaction);
        connection.Execute(
            $"""
            UPDATE block SET
                first_start_us = (SELECT min(start_us) FROM upload WHERE block = @id), last_start_us = (SELECT max(start_us) FROM upload WHERE block = @id),
                first_end_us = (SELECT min(end_us) FROM upload WHERE block = @id), last_end_us = (SELECT max(end_us) FROM upload WHERE block = @id),
                uploads_kept = CASE WHEN EXISTS (SELECT 1 FROM upload WHERE block = @id AND state <> {Kept}) THEN 0 ELSE 1 END
            WHERE id = @id
            """, new { id }, transaction);
        return true;
    }

    private static void Insert(DbConnection connection, DbTransaction transaction, long block, NewPart part)
    {
        string labels = HashOf(Json(part.Labels));
        connection.Execute(
            """
            INSERT INTO block_part(block, labels, set_hash, uploads, start_at, length, first_us, last_us)
            VALUES (@block, (SELECT id FROM label_set WHERE hash = @labels), @set, @uploads, @offset, @length, @first, @last)
            """,
            new
            {
                block,
                labels,
                set = part.Set.ToBytes(),
                uploads = part.Set.Count,
                offset = part.Offset,
                length = (long)part.Length,
                first = UnixMicros.Of(part.Start),
                last = UnixMicros.Of(part.End),
            }, transaction);
    }

    private static long? Lock(DbConnection connection, DbTransaction transaction, string service) => connection.ExecuteScalar<long?>(
        "UPDATE service SET uploads = uploads WHERE name = @service RETURNING id", new { service }, transaction);

    /// <inheritdoc/>
    public Task<bool> DissolveAsync(string blockObject, CancellationToken stop) => database.WriteAsync((connection, transaction) =>
    {
        long? id = connection.ExecuteScalar<long?>(
            "SELECT id FROM block WHERE object = @blockObject AND uploads_kept = 1", new { blockObject }, transaction);
        if (id is null)
            return false;
        connection.Execute("UPDATE upload SET block = NULL WHERE block = @id", new { id }, transaction);
        connection.Execute("DELETE FROM block_part WHERE block = @id", new { id }, transaction);
        return connection.Execute("DELETE FROM block WHERE id = @id", new { id }, transaction) == 1;
    }, stop);

    /// <inheritdoc/>
    public Task<long> ForgetUploadsAsync(string service, DateTimeOffset endedBefore, int limit, CancellationToken stop) => database.WriteAsync(
        (connection, transaction) =>
        {
            if (Lock(connection, transaction, service) is not { } id)
                return 0L;
            object bounds = new { id, before = UnixMicros.Of(endedBefore), limit };
            const string Blocks = "SELECT id FROM block WHERE service = @id AND start_us + length_us <= @before";
            connection.Execute($"UPDATE block SET uploads_kept = 0 WHERE uploads_kept = 1 AND id IN ({Blocks})", bounds, transaction);
            return connection.Execute(
                $"""
                UPDATE upload SET state = {Forgotten}, object = NULL, start_at = 0 WHERE id IN
                    (SELECT id FROM upload WHERE service = @id AND state = {Kept} AND end_us < @before AND block IN ({Blocks}) LIMIT @limit)
                """, bounds, transaction);
        }, stop);

    /// <inheritdoc/>
    public Task<long> ForgetPeriodsAsync(string service, DateTimeOffset endedBefore, CancellationToken stop) => database.WriteAsync(
        (connection, transaction) =>
        {
            if (Lock(connection, transaction, service) is not { } id)
                return 0L;
            // Whole days, as builds' figures are kept by day.
            DateTimeOffset day = BlockPeriod.DayOf(endedBefore).Start;
            object bounds = new { id, before = UnixMicros.Of(day), day = (long)Day(UnixMicros.Of(day)) };
            const string Blocks = "SELECT id FROM block WHERE service = @id AND start_us + length_us <= @before";
            const string Uploads = "service = @id AND end_us < @before";
            long count = 0, samples = 0;
            foreach (long n in connection.Query<long>($"SELECT samples FROM upload WHERE {Uploads}", bounds, transaction))
            {
                count++;
                samples = n > long.MaxValue - samples ? long.MaxValue : samples + n;
            }
            if (count == 0)
                return 0L;
            connection.Execute($"DELETE FROM block_part WHERE block IN ({Blocks})", bounds, transaction);
            connection.Execute($"DELETE FROM block WHERE id IN ({Blocks})", bounds, transaction);
            connection.Execute($"DELETE FROM upload WHERE {Uploads}", bounds, transaction);
            connection.Execute("DELETE FROM build_day WHERE service = @id AND day < @day", bounds, transaction);
            connection.Execute(
                """
                DELETE FROM service_build WHERE service = @id
                    AND NOT EXISTS (SELECT 1 FROM build_day d WHERE d.service = @id AND d.build_id = service_build.build_id)
                """, bounds, transaction);
            connection.Execute(
                "UPDATE service SET uploads = uploads - @count, samples = CASE WHEN samples > @samples THEN samples - @samples ELSE 0 END WHERE id = @id",
                new { id, count, samples }, transaction);
            return count;
        }, stop);

    /// <inheritdoc/>
    public Task<bool> ForgetServiceAsync(string service, CancellationToken stop) => database.WriteAsync((connection, transaction) =>
    {
        if (Lock(connection, transaction, service) is not { } id)
            return false;
        connection.Execute("DELETE FROM block_part WHERE block IN (SELECT id FROM block WHERE service = @id)", new { id }, transaction);
        foreach (string table in (string[])["block", "upload", "build_day", "service_build"])
            connection.Execute($"DELETE FROM {table} WHERE service = @id", new { id }, transaction);
        connection.Execute("DELETE FROM profile_name WHERE service = @service", new { service }, transaction);
        connection.Execute("DELETE FROM profile_asked WHERE service = @service", new { service }, transaction);
        connection.Execute("DELETE FROM result WHERE service = @service", new { service }, transaction);
        connection.Execute("DELETE FROM demand WHERE service = @service", new { service }, transaction);
        connection.Execute("DELETE FROM service WHERE id = @id", new { id }, transaction);
        return true;
    }, stop);
}
