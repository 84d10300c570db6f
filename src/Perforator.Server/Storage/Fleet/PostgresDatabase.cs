using System.Data;
using System.Data.Common;
using DbUp;
using DbUp.Engine;
using Npgsql;
using Perforator.Server.Storage.Sql;

namespace Perforator.Server.Storage.Fleet;

/// <summary>
/// PostgreSQL, version 15 or later, on one host or on several of which one takes writes: whichever does at the moment is used, so that a
/// standby that was promoted is found.
/// </summary>
public sealed class PostgresDatabase : SqlDatabase
{
    private const string Schema = "postgres-";

    /// <summary>Held while the schema is brought up to date, by one of the servers that start at once.</summary>
    private const long UpgradeLock = 0x7065_7266_7067;

    /// <summary>How often a write is tried that others were in the way of.</summary>
    private const int Tries = 10;

    /// <summary>
    /// How many statements this server has under way at once. Uploads of one service wait for each other in the database anyhow; more of
    /// them there would only hold connections and threads.
    /// </summary>
    private const int MaxAtOnce = 24;

    private readonly SemaphoreSlim turns = new(MaxAtOnce);
    private readonly NpgsqlMultiHostDataSource hosts;
    private readonly NpgsqlDataSource primary;
    private readonly string name;
    private readonly string connectionString;

    private PostgresDatabase(NpgsqlConnectionStringBuilder settings)
    {
        name = $"{settings.Host}/{settings.Database}";
        hosts = new NpgsqlDataSourceBuilder(settings.ToString()).BuildMultiHost();
        NpgsqlConnectionStringBuilder writable = new(settings.ToString());
        // Npgsql knows one that takes writes from others only where there are several.
        if (settings.Host!.Contains(',', StringComparison.Ordinal))
            writable.TargetSessionAttributes = "read-write";
        connectionString = writable.ToString();
        primary = hosts.WithTargetSession(TargetSessionAttributes.ReadWrite);
    }

    /// <summary>Opens a database and brings its schema up to date.</summary>
    /// <param name="url">Its address: <see cref="DatabaseUrl"/>.</param>
    /// <exception cref="UserErrorException">It does not answer, does not let us in, or is of a newer version.</exception>
    public static async Task<PostgresDatabase> OpenAsync(string url, CancellationToken stop)
    {
        NpgsqlConnectionStringBuilder settings = DatabaseUrl.Parse(url);
        PostgresDatabase database = new(settings);
        try
        {
            await database.UpgradeAsync(stop);
            return database;
        }
        catch (Exception e)
        {
            await database.DisposeAsync();
            if (e is NpgsqlException or IOException or System.Net.Sockets.SocketException or ArgumentException)
                throw new UserErrorException($"cannot use the database {database.name}: {Reason(e)}; see --database", e);
            throw;
        }
    }

    /// <summary>What messages call it: hosts and database.</summary>
    public string Name => name;

    /// <inheritdoc/>
    public override string ForUpdateSkipLocked => "FOR UPDATE SKIP LOCKED";

    /// <inheritdoc/>
    public override string ForUpdate => "FOR UPDATE";

    /// <inheritdoc/>
    public override string In(string parameter) => $"= ANY({parameter})";

    /// <inheritdoc/>
    public override string Rows(string parameter, string columns) => $"json_to_recordset({parameter}::json) r({columns})";

    /// <inheritdoc/>
    public override string JsonText(string column, string member) => $"({column}::json ->> '{member}')";

    /// <inheritdoc/>
    public override Task<T> ReadAsync<T>(Func<DbConnection, T> read, CancellationToken stop) => RunAsync(
        IsolationLevel.RepeatableRead, (connection, transaction) => read(connection), stop);

    /// <inheritdoc/>
    public override Task<T> WriteAsync<T>(Func<DbConnection, DbTransaction, T> write, CancellationToken stop) => RunAsync(
        IsolationLevel.ReadCommitted, (connection, transaction) =>
        {
            T result = write(connection, transaction);
            transaction.Commit();
            return result;
        }, stop);

    private async Task<T> RunAsync<T>(IsolationLevel isolation, Func<NpgsqlConnection, NpgsqlTransaction, T> run, CancellationToken stop)
    {
        await turns.WaitAsync(stop);
        try
        {
            return await Task.Run(() => Run(isolation, run, stop), stop);
        }
        finally
        {
            turns.Release();
        }
    }

    private T Run<T>(IsolationLevel isolation, Func<NpgsqlConnection, NpgsqlTransaction, T> run, CancellationToken stop)
    {
        for (int attempt = 1; ; attempt++)
        {
            stop.ThrowIfCancellationRequested();
            try
            {
                using NpgsqlConnection connection = primary.OpenConnection();
                using NpgsqlTransaction transaction = connection.BeginTransaction(isolation);
                return run(connection, transaction);
            }
            catch (PostgresException e)
                when (e.SqlState is PostgresErrorCodes.SerializationFailure or PostgresErrorCodes.DeadlockDetected && attempt < Tries)
            {
                StorageMetrics.Repeated(StorageMetrics.Database);
                Thread.Sleep(Random.Shared.Next(5 * attempt));
            }
            // A connection of the pool whose server has gone tells so when it is used; the next one asks who takes writes now.
            catch (NpgsqlException e)
                when (e.IsTransient && e is not PostgresException && attempt == 1 && isolation == IsolationLevel.RepeatableRead)
            {
                StorageMetrics.Repeated(StorageMetrics.Database);
                hosts.ClearDatabaseStates();
            }
            catch (NpgsqlException e)
            {
                hosts.ClearDatabaseStates();
                throw Describe(e);
            }
            catch (TimeoutException e)
            {
                StorageMetrics.Failed(StorageMetrics.Database);
                throw new StorageAwayException($"the database {name} does not answer in time", e);
            }
        }
    }

    private IOException Describe(NpgsqlException e)
    {
        StorageMetrics.Failed(StorageMetrics.Database);
        return Explain(e);
    }

    private IOException Explain(NpgsqlException e) => e switch
    {
        PostgresException { SqlState: PostgresErrorCodes.DiskFull } => new IOException($"the disk of the database {name} is full", e),
        PostgresException { SqlState: PostgresErrorCodes.DataCorrupted or PostgresErrorCodes.IndexCorrupted } =>
            new IOException($"the database {name} is damaged ({e.Message}); restore it from a backup", e),
        PostgresException { SqlState: PostgresErrorCodes.ReadOnlySqlTransaction } or { IsTransient: true } =>
            new StorageAwayException($"the database {name} cannot be used now: {Reason(e)}", e),
        PostgresException => new IOException($"the database {name} refuses: {e.Message}", e),
        _ => new StorageAwayException($"the database {name} does not answer: {Reason(e)}", e),
    };

    private static string Reason(Exception e) =>
        (e is NpgsqlException and not PostgresException ? e.InnerException ?? e : e).Message.ReplaceLineEndings(" ");

    private async Task UpgradeAsync(CancellationToken stop)
    {
        await using NpgsqlConnection connection = await primary.OpenConnectionAsync(stop);
        if (connection.PostgreSqlVersion.Major < 15)
            throw new UserErrorException(
                $"the database {name} is PostgreSQL {connection.PostgreSqlVersion}; version 15 or later is needed");
        await ExecuteAsync(connection, $"SELECT pg_advisory_lock({UpgradeLock})", stop);
        try
        {
            Upgrade();
        }
        finally
        {
            // The connection goes back to its pool, which keeps what the session holds.
            await ExecuteAsync(connection, $"SELECT pg_advisory_unlock({UpgradeLock})", CancellationToken.None);
        }
    }

    private static async Task ExecuteAsync(NpgsqlConnection connection, string sql, CancellationToken stop)
    {
        await using NpgsqlCommand command = new(sql, connection) { CommandTimeout = 120 };
        await command.ExecuteNonQueryAsync(stop);
    }

    private void Upgrade()
    {
        UpgradeEngine engine = DeployChanges.To.PostgresqlDatabase(connectionString)
            .WithScriptsEmbeddedInAssembly(
                typeof(PostgresDatabase).Assembly, static name => name.Contains(Schema, StringComparison.Ordinal))
            .WithTransactionPerScript()
            .LogToNowhere()
            .Build();
        string[] unknown = [.. engine.GetExecutedScripts().Except(engine.GetDiscoveredScripts().Select(static script => script.Name))];
        if (unknown.Length != 0)
            throw new UserErrorException(
                $"the database {name} was written by a newer perforator ({unknown[0]}); start that version or use another --database");
        DatabaseUpgradeResult result = engine.PerformUpgrade();
        if (!result.Successful)
            throw new UserErrorException(
                $"the schema of the database {name} cannot be brought up to date: {result.Error.Message}", result.Error);
    }

    /// <inheritdoc/>
    public override ValueTask DisposeAsync()
    {
        turns.Dispose();
        return hosts.DisposeAsync();
    }
}
