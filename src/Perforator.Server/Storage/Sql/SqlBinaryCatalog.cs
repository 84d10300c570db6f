using Dapper;

namespace Perforator.Server.Storage.Sql;

/// <summary>The binary catalog in a database.</summary>
public sealed class SqlBinaryCatalog : IBinaryCatalog
{
    private readonly SqlDatabase database;

    public SqlBinaryCatalog(SqlDatabase database) => this.database = database;

    private sealed record Row(string Build, long Kind, string Object, long Bytes, long CodeBytes, long HasDebugInfo, long Added)
    {
        public BinaryFile ToFile() =>
            new(BuildId.Parse(Build), (BinaryKind)Kind, Object, Bytes, (ulong)CodeBytes, HasDebugInfo != 0, UnixMicros.ToTime(Added));
    }

    private const string Columns =
        "build_id AS Build, kind AS Kind, object AS Object, bytes AS Bytes, code_bytes AS CodeBytes, has_debug_info AS HasDebugInfo, added_us AS Added";

    /// <inheritdoc/>
    public Task<IReadOnlyList<BinaryFile>> FindAsync(BuildId buildId, CancellationToken stop) => FindAsync([buildId], stop);

    /// <inheritdoc/>
    public Task<IReadOnlyList<BinaryFile>> FindAsync(IReadOnlyCollection<BuildId> buildIds, CancellationToken stop) =>
        database.ReadAsync<IReadOnlyList<BinaryFile>>(connection =>
        [
            .. buildIds.Distinct().Chunk(500).SelectMany(some => connection.Query<Row>(
                $"SELECT {Columns} FROM binary_file WHERE build_id {database.In("@ids")} ORDER BY build_id, kind",
                new { ids = some.Select(static id => id.ToString()).ToArray() })).Select(static row => row.ToFile()),
        ], stop);

    /// <inheritdoc/>
    public Task<IReadOnlyList<BinaryFile>> ListSharedAsync(CancellationToken stop) => database.ReadAsync<IReadOnlyList<BinaryFile>>(
        static connection =>
        [
            .. connection.Query<Row>(
                $"""
                SELECT {Columns} FROM binary_file WHERE kind = {(long)BinaryKind.Debug}
                    AND NOT EXISTS (SELECT 1 FROM binary_file e WHERE e.build_id = binary_file.build_id AND e.kind = {(long)BinaryKind.Executable})
                """).Select(static row => row.ToFile()),
        ], stop);

    /// <inheritdoc/>
    public Task<bool> AddAsync(BinaryFile file, bool replace, CancellationToken stop) => database.WriteAsync((connection, transaction) =>
        Garbage.Rescue(connection, transaction, file.Object)
        && connection.Execute(
            """
            INSERT INTO binary_file(build_id, kind, object, bytes, code_bytes, has_debug_info, added_us)
            VALUES (@build, @kind, @key, @bytes, @code, @debug, @added)
            ON CONFLICT(build_id, kind) DO UPDATE SET object = excluded.object, bytes = excluded.bytes, code_bytes = excluded.code_bytes,
                has_debug_info = excluded.has_debug_info, added_us = excluded.added_us
            WHERE @replace = 1 OR (excluded.has_debug_info = 1 AND binary_file.has_debug_info = 0)
            """,
            new
            {
                build = file.BuildId.ToString(),
                kind = (long)file.Kind,
                key = file.Object,
                bytes = file.Bytes,
                code = (long)Math.Min(file.ExecutableBytes, long.MaxValue),
                debug = file.HasDebugInfo ? 1L : 0L,
                added = UnixMicros.Of(file.Added),
                replace = replace ? 1L : 0L,
            }, transaction) == 1, stop);

    /// <inheritdoc/>
    public Task RemoveAsync(BinaryFile file, CancellationToken stop) => database.WriteAsync((connection, transaction) => connection.Execute(
        "DELETE FROM binary_file WHERE build_id = @build AND kind = @kind AND object = @key",
        new { build = file.BuildId.ToString(), kind = (long)file.Kind, key = file.Object }, transaction), stop);

    /// <inheritdoc/>
    public Task<long> RemoveUnusedAsync(DateTimeOffset addedBefore, CancellationToken stop) => database.WriteAsync((connection, transaction) =>
        (long)connection.Execute(
            """
            DELETE FROM binary_file WHERE added_us < @before
                AND NOT EXISTS (SELECT 1 FROM service_build WHERE service_build.build_id = binary_file.build_id)
            """, new { before = UnixMicros.Of(addedBefore) }, transaction), stop);
}
