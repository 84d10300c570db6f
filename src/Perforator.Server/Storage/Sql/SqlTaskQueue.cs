using System.Data.Common;
using System.Security.Cryptography;
using Dapper;

namespace Perforator.Server.Storage.Sql;

/// <summary>Tasks in a database. A lease is a time in a row; whoever finds it past takes the task over.</summary>
public sealed class SqlTaskQueue : ITaskQueue
{
    private const long Waiting = (long)TaskState.Waiting, Running = (long)TaskState.Running, Done = (long)TaskState.Done, Failed = (long)TaskState.Failed;

    private readonly SqlDatabase database;
    private readonly TimeProvider time;

    public SqlTaskQueue(SqlDatabase database, TimeProvider time)
    {
        this.database = database;
        this.time = time;
    }

    private sealed class Row
    {
        public string Id { get; set; } = "";
        public string Kind { get; set; } = "";
        public string TaskKey { get; set; } = "";
        public string Payload { get; set; } = "";
        public long State { get; set; }
        public string? Outcome { get; set; }

        public ServerTask ToTask() => new(Id, Kind, TaskKey, Payload, (TaskState)State, Outcome);
    }

    private const string Columns = "id AS Id, kind AS Kind, task_key AS TaskKey, payload AS Payload, state AS State, outcome AS Outcome";

    private long Now => UnixMicros.Of(time.GetUtcNow());

    /// <inheritdoc/>
    public Task<ServerTask> EnqueueAsync(string kind, string key, string payload, CancellationToken stop) => database.WriteAsync((connection, transaction) =>
    {
        // A unique index over tasks that are not done makes askers meet.
        string id = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(16));
        connection.Execute(
            $"""
            INSERT INTO task(id, kind, task_key, payload, state, made_us, lease_us) VALUES (@id, @kind, @key, @payload, {Waiting}, @now, 0)
            ON CONFLICT DO NOTHING
            """, new { id, kind, key, payload, now = Now }, transaction);
        return connection.QueryFirst<Row>(
            $"SELECT {Columns} FROM task WHERE kind = @kind AND task_key = @key AND (state < {Done} OR id = @id) ORDER BY state LIMIT 1",
            new { kind, key, id }, transaction).ToTask();
    }, stop);

    /// <inheritdoc/>
    public Task<ServerTask?> FindAsync(string id, CancellationToken stop) => database.ReadAsync(
        connection => connection.QuerySingleOrDefault<Row>($"SELECT {Columns} FROM task WHERE id = @id", new { id })?.ToTask(), stop);

    /// <inheritdoc/>
    public Task<ServerTask?> LeaseAsync(string worker, TimeSpan lease, CancellationToken stop) => database.WriteAsync((connection, transaction) =>
        connection.QueryFirstOrDefault<Row>(
            $"""
            UPDATE task SET state = {Running}, worker = @worker, lease_us = @until WHERE id =
                (SELECT id FROM task WHERE state < {Done} AND (lease_us < @now OR lease_us > @later) ORDER BY made_us LIMIT 1 {database.ForUpdateSkipLocked})
            RETURNING {Columns}
            """,
            // A lease that ends later than any that is given now was given before a clock was set back.
            new { worker, now = Now, until = Now + UnixMicros.Of(lease), later = Now + (2 * UnixMicros.Of(lease)) },
            transaction)?.ToTask(), stop);

    /// <inheritdoc/>
    public Task<bool> RenewAsync(string id, string worker, TimeSpan lease, CancellationToken stop) => database.WriteAsync((connection, transaction) =>
        Change(connection, transaction, "lease_us = @until", new { id, worker, until = Now + UnixMicros.Of(lease) }), stop);

    /// <inheritdoc/>
    public Task<bool> EndAsync(string id, string worker, bool failed, string outcome, CancellationToken stop) => database.WriteAsync(
        (connection, transaction) => Change(
            connection, transaction, $"state = {(failed ? Failed : Done)}, outcome = @outcome, ended_us = @now",
            new { id, worker, outcome, now = Now }), stop);

    /// <inheritdoc/>
    public Task ReturnAsync(string id, string worker, CancellationToken stop) => database.WriteAsync((connection, transaction) =>
        Change(connection, transaction, $"state = {Waiting}, lease_us = 0, worker = NULL", new { id, worker }), stop);

    private static bool Change(DbConnection connection, DbTransaction transaction, string change, object parameters) =>
        connection.Execute(
            $"UPDATE task SET {change} WHERE id = @id AND worker = @worker AND state = {Running}", parameters, transaction) == 1;

    /// <inheritdoc/>
    public Task<(long Waiting, long Running)> CountAsync(CancellationToken stop) => database.ReadAsync(connection =>
    {
        Dictionary<long, long> counts =
            connection.Query<(long State, long Tasks)>($"SELECT state, count(*) FROM task WHERE state < {Done} GROUP BY state")
            .ToDictionary(static row => row.State, static row => row.Tasks);
        return (counts.GetValueOrDefault(Waiting), counts.GetValueOrDefault(Running));
    }, stop);

    /// <inheritdoc/>
    public Task<long> RemoveEndedAsync(DateTimeOffset before, CancellationToken stop) => database.WriteAsync((connection, transaction) =>
        (long)connection.Execute(
            $"DELETE FROM task WHERE state >= {Done} AND ended_us < @before", new { before = UnixMicros.Of(before) }, transaction), stop);
}
