using Perforator.Bytes;

namespace Perforator.Server.Storage.Embedded;

/// <summary>Flushes a folder to the disk for all who wait for it at a time: of uploads that come together each would cost a write of the disk's journal.</summary>
internal sealed class FolderFlushes
{
    private readonly string folder;
    private readonly Lock access = new();
    private Task running = Task.CompletedTask;
    private Task? waiting;

    public FolderFlushes(string folder) => this.folder = folder;

    /// <summary>Completes when a flush has ended that began after this was called.</summary>
    /// <exception cref="IOException">It failed.</exception>
    public Task FlushAsync()
    {
        lock (access)
        {
            Task before = running;
            return waiting ??= Task.Run(() => RunAsync(before));
        }
    }

    private async Task RunAsync(Task before)
    {
        // Whether that one failed is told to those who waited for it.
        await before.ContinueWith(static _ => { }, TaskScheduler.Default);
        lock (access)
            (running, waiting) = (waiting!, null);
        WholeFile.FlushFolder(folder);
    }
}
