using System.Security.Cryptography;
using System.Text;
using Dapper;

namespace Perforator.Server.Storage.Sql;

/// <summary>
/// A database and its objects carry the same id, so that a database that was emptied, or is another server's, is found out at the start. It
/// would otherwise seem that there is nothing, or something else, and what is not listed would be collected.
/// </summary>
internal static class StoreIdentity
{
    private const string Key = "store/id";

    /// <summary>Gives both the id when they are new.</summary>
    /// <param name="databaseName">What messages call the database.</param>
    /// <param name="objectsName">What messages call the objects.</param>
    /// <exception cref="UserErrorException">They do not belong together.</exception>
    public static async Task RequireAsync(
        SqlDatabase database, IObjectStore objects, string databaseName, string objectsName, CancellationToken stop)
    {
        string? known = await database.ReadAsync(static connection => connection.ExecuteScalar<string?>("SELECT id FROM store"), stop);
        string? marked = await objects.ReadAsync(Key, 0, 100, stop) is { } bytes ? Encoding.ASCII.GetString(bytes) : null;
        if (known is null)
        {
            if (await IsNewAsync(database, stop) && (marked is not null || await HasProfilesAsync(objects, stop)))
                throw new UserErrorException(
                    $"{databaseName} is empty, but {objectsName} hold profiles: restore the database from a backup, or begin anew with other objects");
            string id = marked ?? Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(16));
            known = await database.WriteAsync((connection, transaction) =>
            {
                // Another server may start just now.
                connection.Execute("INSERT INTO store(one, id) VALUES (1, @id) ON CONFLICT DO NOTHING", new { id }, transaction);
                return connection.ExecuteScalar<string>("SELECT id FROM store", null, transaction)!;
            }, stop);
        }
        if (marked is null)
            await objects.PutAsync(Key, Encoding.ASCII.GetBytes(known), stop);
        else if (marked != known)
            throw new UserErrorException(
                $"{databaseName} is not the database of {objectsName}, but of others: give the two that belong together, or a backup of that database");
    }

    /// <summary>Whether the database has never known an upload: labels are kept when all of a service is forgotten.</summary>
    private static Task<bool> IsNewAsync(SqlDatabase database, CancellationToken stop) =>
        database.ReadAsync(static connection => connection.ExecuteScalar<long?>("SELECT id FROM label_set LIMIT 1") is null, stop);

    private static async Task<bool> HasProfilesAsync(IObjectStore objects, CancellationToken stop)
    {
        foreach (string prefix in (string[])[ObjectKeys.Packs, ObjectKeys.Profiles])
            await foreach (StoredObject _ in objects.ListAsync(prefix, stop))
                return true;
        return false;
    }
}
