using System.Data.Common;
using System.Threading.Channels;
using Microsoft.Data.Sqlite;
using Perforator.Server.Storage.Sql;

namespace Perforator.Server.Storage.Embedded;

/// <summary>
/// SQLite. Readers have connections of their own and never wait (WAL). Writes go through one connection: those that wait meanwhile are
/// carried through together, each in a savepoint, and made durable by one commit (synchronous=FULL).
/// </summary>
public sealed class SqliteDatabase : SqlDatabase
{
    /// <summary>How many writes share a commit at most.</summary>
    private const int MaxGroup = 128;

    private readonly string file;
    private readonly string readers;
    private readonly SqliteConnection writer;
    private readonly Channel<Write> writes = Channel.CreateBounded<Write>(1024);
    private readonly Task writing;

    /// <summary>A write that waits for its turn.</summary>
    private abstract class Write
    {
        public abstract void Run(SqliteConnection connection, SqliteTransaction transaction);

        /// <summary>Tells whoever waits; with an error when the commit failed.</summary>
        /// <param name="describe">Says what an error of SQLite means.</param>
        public abstract void End(Exception? failure, Func<Exception, Exception> describe);
    }

    private sealed class Write<T>(Func<DbConnection, DbTransaction, T> write) : Write
    {
        private readonly TaskCompletionSource<T> done = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private T? result;
        private Exception? own;

        public Task<T> Done => done.Task;

        public override void Run(SqliteConnection connection, SqliteTransaction transaction)
        {
            transaction.Save("one");
            try
            {
                result = write(connection, transaction);
                transaction.Release("one");
            }
            catch (Exception e)
            {
                own = e;
                transaction.Rollback("one");
            }
        }

        public override void End(Exception? failure, Func<Exception, Exception> describe)
        {
            if ((own ?? failure) is { } e)
                done.SetException(describe(e));
            else
                done.SetResult(result!);
        }
    }

    /// <summary>Opens a database whose schema is up to date.</summary>
    public SqliteDatabase(string file)
    {
        this.file = file;
        readers = new SqliteConnectionStringBuilder { DataSource = file, Mode = SqliteOpenMode.ReadOnly, Pooling = true }.ToString();
        writer = new SqliteConnection(new SqliteConnectionStringBuilder { DataSource = file, Pooling = false }.ToString());
        writer.Open();
        using (SqliteCommand command = writer.CreateCommand())
        {
            command.CommandText = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA busy_timeout=30000;";
            command.ExecuteNonQuery();
        }
        writing = Task.Factory.StartNew(Run, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
    }

    /// <inheritdoc/>
    public override string ForUpdateSkipLocked => "";

    /// <inheritdoc/>
    public override string ForUpdate => "";

    /// <inheritdoc/>
    public override string In(string parameter) => $"IN {parameter}";

    /// <inheritdoc/>
    public override string Rows(string parameter, string columns)
    {
        IEnumerable<string> values = columns.Split(", ").Select(static column => column.Split(' ')[0])
            .Select(static name => $"value ->> '{name}' AS {name}");
        return $"(SELECT {string.Join(", ", values)} FROM json_each({parameter})) r";
    }

    /// <inheritdoc/>
    public override string JsonText(string column, string member) => $"json_extract({column}, '$.{member}')";

    /// <inheritdoc/>
    public override Task<T> ReadAsync<T>(Func<DbConnection, T> read, CancellationToken stop) => Task.Run(() =>
    {
        try
        {
            using SqliteConnection connection = new(readers);
            connection.Open();
            // Several statements see one state.
            using SqliteTransaction transaction = connection.BeginTransaction(deferred: true);
            return read(connection);
        }
        catch (SqliteException e)
        {
            throw Describe(e);
        }
    }, stop);

    /// <inheritdoc/>
    public override async Task<T> WriteAsync<T>(Func<DbConnection, DbTransaction, T> write, CancellationToken stop)
    {
        Write<T> queued = new(write);
        await writes.Writer.WriteAsync(queued, stop);
        return await queued.Done;
    }

    private void Run()
    {
        List<Write> group = [];
        while (writes.Reader.WaitToReadAsync().AsTask().GetAwaiter().GetResult())
        {
            while (group.Count < MaxGroup && writes.Reader.TryRead(out Write? write))
                group.Add(write);
            Exception? failure = null;
            try
            {
                using SqliteTransaction transaction = writer.BeginTransaction();
                foreach (Write write in group)
                    write.Run(writer, transaction);
                transaction.Commit();
            }
            catch (Exception e)
            {
                // Whatever it is, those behind have their turn.
                failure = Describe(e);
            }
            foreach (Write write in group)
                write.End(failure, Describe);
            group.Clear();
        }
    }

    private Exception Describe(Exception e)
    {
        if (e is not SqliteException sqlite)
            return e;
        StorageMetrics.Failed(StorageMetrics.Database);
        return Explain(sqlite);
    }

    private IOException Explain(SqliteException e) => e.SqliteErrorCode switch
    {
        13 => new IOException($"the disk of {file} is full", e),
        11 or 26 => new IOException($"{file} is damaged ({e.Message}); stop the server and restore it from a backup", e),
        _ => new IOException($"{file} cannot be used: {e.Message}", e),
    };

    /// <inheritdoc/>
    public override async ValueTask DisposeAsync()
    {
        writes.Writer.TryComplete();
        await writing;
        // The last to be closed moves all that is in the -wal file into the database's own, which readers cannot.
        using (SqliteConnection pooled = new(readers))
            SqliteConnection.ClearPool(pooled);
        await writer.DisposeAsync();
    }
}
