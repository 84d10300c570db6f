namespace Perforator.Server.Storage;

/// <summary>A part of what keeps the data, and how to find out whether it can be written to.</summary>
/// <param name="Name">What messages call it.</param>
/// <param name="CheckAsync">Writes a little and takes it away again; an <see cref="IOException"/> says why it cannot.</param>
public sealed record StoragePart(string Name, Func<CancellationToken, Task> CheckAsync);

/// <summary>
/// Finds out whether what keeps the data can be written to, by doing so. However many ask at once, it is done once, and its outcome holds
/// for a second: who may ask without a credential is not to make work.
/// </summary>
internal sealed class StorageReadiness
{
    private static readonly TimeSpan MaxAge = TimeSpan.FromSeconds(1), Patience = TimeSpan.FromSeconds(5);

    private readonly Lock access = new();
    private readonly ServerStorage storage;
    private readonly TimeProvider time;
    private Task<IReadOnlyDictionary<string, string>>? latest;
    private long begun;

    public StorageReadiness(ServerStorage storage, TimeProvider time)
    {
        this.storage = storage;
        this.time = time;
    }

    /// <summary>The parts that cannot be written to, each with the reason; none when all is well.</summary>
    public Task<IReadOnlyDictionary<string, string>> FailuresAsync(CancellationToken stop)
    {
        lock (access)
        {
            if (latest is null || (latest.IsCompleted && time.GetElapsedTime(begun) > MaxAge))
            {
                begun = time.GetTimestamp();
                latest = CheckAsync();
            }
            return latest.WaitAsync(stop);
        }
    }

    private async Task<IReadOnlyDictionary<string, string>> CheckAsync()
    {
        SortedDictionary<string, string> failures = new(StringComparer.Ordinal);
        (string Name, string? Failure)[] parts = await Task.WhenAll(storage.Parts.Select(CheckAsync));
        foreach ((string name, string? failure) in parts)
            if (failure is not null)
                failures.Add(name, failure);
        return failures;
    }

    private static async Task<(string Name, string? Failure)> CheckAsync(StoragePart part)
    {
        using CancellationTokenSource patience = new(Patience);
        try
        {
            // What does not heed the token is left to itself.
            await Task.Run(() => part.CheckAsync(patience.Token), patience.Token).WaitAsync(patience.Token);
            return (part.Name, null);
        }
        catch (OperationCanceledException)
        {
            return (part.Name, $"no answer for {Patience.TotalSeconds:0} s");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return (part.Name, e.Message);
        }
    }
}
