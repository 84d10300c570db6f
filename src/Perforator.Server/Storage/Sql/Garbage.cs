using System.Data.Common;
using Dapper;

namespace Perforator.Server.Storage.Sql;

/// <summary>Objects that nothing names any more, in a database.</summary>
public sealed class Garbage : IObjectCollection
{
    private readonly SqlDatabase database;

    public Garbage(SqlDatabase database) => this.database = database;

    /// <summary>
    /// Takes an object's key off the list, as it is about to be named again. False when it is being collected: its bytes may vanish any
    /// moment, and have to be put again once they have.
    /// </summary>
    internal static bool Rescue(DbConnection connection, DbTransaction transaction, string key) =>
        connection.ExecuteScalar<long?>("SELECT collecting FROM garbage WHERE object = @key", new { key }, transaction) is null
        || connection.Execute("DELETE FROM garbage WHERE object = @key AND collecting = 0", new { key }, transaction) == 1
        || connection.ExecuteScalar<long?>("SELECT collecting FROM garbage WHERE object = @key", new { key }, transaction) is null;

    /// <inheritdoc/>
    public Task<IReadOnlyList<string>> UnlistedAsync(IReadOnlyList<string> keys, CancellationToken stop) => database.ReadAsync<IReadOnlyList<string>>(
        connection => [.. keys.Chunk(500).SelectMany(some => Unlisted(connection, null, some))], stop);

    private IEnumerable<string> Unlisted(DbConnection connection, DbTransaction? transaction, IReadOnlyCollection<string> keys)
    {
        HashSet<string> listed = [];
        // What was forgotten names no pack any more.
        Find(ObjectKeys.Packs, $"SELECT DISTINCT object FROM upload WHERE object {database.In("@names")}", static key =>
            key, static key => key);
        Find(ObjectKeys.Profiles, $"SELECT hash FROM upload WHERE hash {database.In("@names")} AND object IS NULL AND state <> {(long)UploadState.Forgotten}",
            static key => Path.GetFileNameWithoutExtension(key), ObjectKeys.Upload);
        Find("sums/", $"SELECT object FROM block WHERE object {database.In("@names")}", static key => key, static key => key);
        Find("binaries/", $"SELECT object FROM binary_file WHERE object {database.In("@names")}", static key => key, static key => key);
        Find("results/", $"SELECT profile FROM result WHERE profile {database.In("@names")}",
            static key => Path.GetFileNameWithoutExtension(key), ObjectKeys.Result);
        return keys.Where(key => !listed.Contains(key));

        void Find(string prefix, string sql, Func<string, string> nameOf, Func<string, string> keyOf)
        {
            string[] names = [.. keys.Where(key => key.StartsWith(prefix, StringComparison.Ordinal)).Select(nameOf)];
            if (names.Length != 0)
                listed.UnionWith(connection.Query<string>(sql, new { names }, transaction).Select(keyOf));
        }
    }

    /// <inheritdoc/>
    public Task NoteAsync(IReadOnlyList<string> keys, DateTimeOffset since, CancellationToken stop) => database.WriteAsync((connection, transaction) =>
    {
        foreach (string key in keys)
            connection.Execute(
                "INSERT INTO garbage(object, since_us, collecting) VALUES (@key, @since, 0) ON CONFLICT(object) DO NOTHING",
                new { key, since = UnixMicros.Of(since) }, transaction);
        return 0;
    }, stop);

    /// <inheritdoc/>
    public Task<IReadOnlyList<string>> BeginAsync(DateTimeOffset notedBefore, int limit, CancellationToken stop) => database.WriteAsync<IReadOnlyList<string>>(
        (connection, transaction) =>
        {
            string[] noted = [.. connection.Query<string>(
                $"SELECT object FROM garbage WHERE since_us < @before OR collecting = 1 ORDER BY since_us LIMIT @limit {database.ForUpdateSkipLocked}",
                new { before = UnixMicros.Of(notedBefore), limit }, transaction)];
            string[] unlisted = [.. noted.Chunk(500).SelectMany(some => Unlisted(connection, transaction, some))];
            foreach (string key in noted.Except(unlisted))
                connection.Execute("DELETE FROM garbage WHERE object = @key", new { key }, transaction);
            foreach (string key in unlisted)
                connection.Execute("UPDATE garbage SET collecting = 1 WHERE object = @key", new { key }, transaction);
            return unlisted;
        }, stop);

    /// <inheritdoc/>
    public Task EndAsync(IReadOnlyList<string> keys, CancellationToken stop) => database.WriteAsync((connection, transaction) =>
    {
        foreach (string key in keys)
            connection.Execute("DELETE FROM garbage WHERE object = @key", new { key }, transaction);
        return 0;
    }, stop);
}
