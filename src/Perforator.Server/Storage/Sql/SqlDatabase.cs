using System.Data.Common;
using Dapper;

namespace Perforator.Server.Storage.Sql;

/// <summary>
/// A database that takes the SQL that SQLite and PostgreSQL have in common: bigint, text and blob columns, <c>ON CONFLICT</c>,
/// <c>RETURNING</c>. The few differences are members here.
/// </summary>
public abstract class SqlDatabase : IAsyncDisposable
{
    /// <summary>What stands behind a <c>SELECT</c> that picks rows for itself, past those that others have picked.</summary>
    public abstract string ForUpdateSkipLocked { get; }

    /// <summary>What stands behind a <c>SELECT</c> whose rows nobody else is to change until the transaction ends.</summary>
    public abstract string ForUpdate { get; }

    /// <summary>Expression of an array parameter's membership: SQLite knows <c>IN @list</c>, PostgreSQL <c>= ANY(@list)</c>.</summary>
    /// <param name="parameter">The parameter with its @.</param>
    public abstract string In(string parameter);

    /// <summary>A table, called r, of the objects in a JSON array: many rows in one parameter.</summary>
    /// <param name="parameter">The parameter with its @.</param>
    /// <param name="columns">Names of members and their types, bigint or text, as in a table's definition.</param>
    public abstract string Rows(string parameter, string columns);

    /// <summary>Expression of a text member of a JSON object in a text column; null when there is none.</summary>
    /// <param name="column">The column.</param>
    /// <param name="member">The member: a name of ours, never a stranger's.</param>
    public abstract string JsonText(string column, string member);

    /// <summary>Reads, from one consistent state.</summary>
    /// <exception cref="IOException">The database does not answer, or is damaged.</exception>
    public abstract Task<T> ReadAsync<T>(Func<DbConnection, T> read, CancellationToken stop);

    /// <summary>
    /// Writes, in one transaction, which is durable when the task completes. It may be tried again as a whole after a conflict.
    /// </summary>
    /// <exception cref="IOException">The database does not answer, is full or damaged; nothing was written.</exception>
    public abstract Task<T> WriteAsync<T>(Func<DbConnection, DbTransaction, T> write, CancellationToken stop);

    /// <summary>Finds out whether it takes writes, by one that leaves nothing.</summary>
    /// <exception cref="IOException">It does not.</exception>
    public Task CheckAsync(CancellationToken stop) => WriteAsync(static (connection, transaction) =>
    {
        const string Key = "probe/write";
        connection.Execute(
            "INSERT INTO garbage(object, since_us, collecting) VALUES (@Key, 0, 0) ON CONFLICT(object) DO NOTHING", new { Key },
            transaction);
        return connection.Execute("DELETE FROM garbage WHERE object = @Key", new { Key }, transaction);
    }, stop);

    /// <inheritdoc/>
    public abstract ValueTask DisposeAsync();
}
