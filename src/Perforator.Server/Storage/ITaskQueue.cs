namespace Perforator.Server.Storage;

/// <summary>A task that workers do.</summary>
/// <param name="Id">Its id, which a stranger cannot guess.</param>
/// <param name="Kind">What is to be done.</param>
/// <param name="Key">What it is about: of one kind and key there is at most one task that is not done.</param>
/// <param name="Payload">All that whoever does it has to know.</param>
/// <param name="State">How far it is.</param>
/// <param name="Outcome">What came of it; null until it is done.</param>
public sealed record ServerTask(string Id, string Kind, string Key, string Payload, TaskState State, string? Outcome);

/// <summary>How far a task is.</summary>
public enum TaskState
{
    /// <summary>Nobody does it yet, or whoever did has vanished.</summary>
    Waiting,

    /// <summary>Somebody does it.</summary>
    Running,

    /// <summary>It was done.</summary>
    Done,

    /// <summary>It was tried and cannot be done.</summary>
    Failed,
}

/// <summary>
/// Tasks that outlive who asked for them. A worker leases a task and has to renew the lease while it works: when it dies, another takes the
/// task over. Every implementation passes <c>TaskQueueContract</c>. Promises about crashes, threads and servers are those of
/// <see cref="IProfileIndex"/>; times are the database's own where it has a clock.
/// </summary>
public interface ITaskQueue
{
    /// <summary>Asks for a task. Where one of this kind and key waits or runs, that one is given.</summary>
    Task<ServerTask> EnqueueAsync(string kind, string key, string payload, CancellationToken stop);

    /// <summary>A task by its id; null when there is none, or it was done long ago.</summary>
    Task<ServerTask?> FindAsync(string id, CancellationToken stop);

    /// <summary>The oldest task that waits, or whose lease has run out, for this worker alone; null when there is none.</summary>
    /// <param name="worker">The worker; another one each time a server starts.</param>
    /// <param name="lease">How long it may take until the next <see cref="RenewAsync"/>.</param>
    Task<ServerTask?> LeaseAsync(string worker, TimeSpan lease, CancellationToken stop);

    /// <summary>Renews a lease. False when the task is no longer this worker's, who then gives it up.</summary>
    Task<bool> RenewAsync(string id, string worker, TimeSpan lease, CancellationToken stop);

    /// <summary>Says what came of a task. False, and nothing happens, when it is no longer this worker's.</summary>
    Task<bool> EndAsync(string id, string worker, bool failed, string outcome, CancellationToken stop);

    /// <summary>Gives a task back undone, as the worker is told to stop.</summary>
    Task ReturnAsync(string id, string worker, CancellationToken stop);

    /// <summary>How many tasks wait, and how many are done just now.</summary>
    Task<(long Waiting, long Running)> CountAsync(CancellationToken stop);

    /// <summary>Forgets tasks that ended before a time.</summary>
    Task<long> RemoveEndedAsync(DateTimeOffset before, CancellationToken stop);
}
