using Perforator.Server.Storage;
using Perforator.Server.Telemetry;

namespace Perforator.Server.Retention;

/// <summary>
/// Forgets what is older than is kept, and deletes the objects that nothing names any more, a while after they were found so. Age counts
/// back from a service's newest profile and not from today: a service that is built once a year keeps what it has, and no wrong clock
/// empties a server.
/// </summary>
internal sealed class Collector
{
    private const int Batch = 1000;

    private readonly ServerStorage storage;
    private readonly ServerSettings settings;
    private readonly TimeProvider time;

    public Collector(ServerStorage storage, ServerSettings settings, TimeProvider time)
    {
        this.storage = storage;
        this.settings = settings;
        this.time = time;
    }

    /// <summary>Does all of it once.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        DateTimeOffset now = time.GetUtcNow();
        foreach (ServiceTotals service in await storage.Profiles.ListServicesAsync(stop))
        {
            DateTimeOffset today = BlockPeriod.DayOf(service.LastSeen).Start;
            long forgotten;
            do
            {
                forgotten = await storage.Profiles.ForgetUploadsAsync(service.Service, today - settings.KeepUploads, Batch, stop);
                ServerMetrics.Forgot(forgotten);
            }
            while (forgotten == Batch);
            await storage.Profiles.ForgetPeriodsAsync(service.Service, today - settings.KeepSums, stop);
        }
        await storage.Binaries.RemoveUnusedAsync(now - settings.KeepUnused, stop);
        await storage.Results.RemoveOldAsync(now - settings.KeepSums, stop);
        await storage.Tasks.RemoveEndedAsync(now - TimeSpan.FromDays(1), stop);
        await NoteUnlistedAsync(now, stop);
        await CollectAsync(now, stop);
    }

    private async Task NoteUnlistedAsync(DateTimeOffset now, CancellationToken stop)
    {
        List<string> keys = [];
        foreach (string prefix in ObjectKeys.Prefixes)
            await foreach (StoredObject found in storage.Objects.ListAsync(prefix, stop))
            {
                keys.Add(found.Key);
                if (keys.Count == Batch)
                    await NoteAsync();
            }
        await NoteAsync();

        async Task NoteAsync()
        {
            IReadOnlyList<string> unlisted = await storage.Collection.UnlistedAsync(keys, stop);
            if (unlisted.Count != 0)
                await storage.Collection.NoteAsync(unlisted, now, stop);
            keys.Clear();
        }
    }

    private async Task CollectAsync(DateTimeOffset now, CancellationToken stop)
    {
        while (await storage.Collection.BeginAsync(now - settings.Grace, Batch, stop) is { Count: > 0 } keys)
        {
            foreach (string key in keys)
            {
                long bytes = (await storage.Objects.StatAsync(key, stop))?.Bytes ?? 0;
                await storage.Objects.DeleteAsync(key, stop);
                ServerMetrics.Collected(bytes);
            }
            await storage.Collection.EndAsync(keys, stop);
        }
    }
}
