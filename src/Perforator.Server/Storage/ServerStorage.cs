namespace Perforator.Server.Storage;

/// <summary>All that a server keeps, wherever it keeps it.</summary>
/// <param name="Objects">Bytes.</param>
/// <param name="Profiles">Which uploads and sums there are.</param>
/// <param name="Binaries">Which binaries there are.</param>
/// <param name="Results">Which profiles were generated.</param>
/// <param name="Tasks">What is to be done.</param>
/// <param name="Collection">What may be deleted.</param>
/// <param name="Scratch">Files that are not whole yet.</param>
public sealed record ServerStorage(
    IObjectStore Objects, IProfileIndex Profiles, IBinaryCatalog Binaries, IResultIndex Results, ITaskQueue Tasks, IObjectCollection Collection,
    ScratchFolder Scratch) : IAsyncDisposable
{
    /// <summary>What can fail by itself.</summary>
    public IReadOnlyList<StoragePart> Parts { get; init; } = [];

    /// <summary>What is known for telling agents how much to record.</summary>
    public required IDemandStore Demand { get; init; }

    /// <summary>Closes what has to be closed; null for nothing.</summary>
    public Func<ValueTask>? Close { get; init; }

    /// <summary>Closes it.</summary>
    public ValueTask DisposeAsync() => Close?.Invoke() ?? ValueTask.CompletedTask;
}
