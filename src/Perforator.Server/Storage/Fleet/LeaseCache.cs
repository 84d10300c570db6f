using System.Security.Cryptography;
using System.Text;

namespace Perforator.Server.Storage.Fleet;

/// <summary>
/// Objects that were fetched into files of this machine: each once for any number of callers, kept while somebody has it, and after that
/// for as long as there is room.
/// </summary>
internal sealed class LeaseCache
{
    private sealed class Entry(string path)
    {
        public string Path { get; } = path;

        public required Lazy<Task<bool>> Fetched { get; init; }

        public int Users { get; set; }

        public long LastUse { get; set; }

        public bool IsForgotten { get; set; }
    }

    private readonly string folder;
    private readonly long maxBytes;
    private readonly ScratchFolder scratch;
    private readonly Func<string, string, CancellationToken, Task<bool>> fetch;
    private readonly Dictionary<string, Entry> entries = new(StringComparer.Ordinal);
    private long uses;

    /// <param name="folder">Where the files are; emptied first.</param>
    /// <param name="maxBytes">Bytes of files that nobody uses.</param>
    /// <param name="scratch">Where files are until they are whole.</param>
    /// <param name="fetch">Fetches a key's content into a file; false when there is no such object.</param>
    public LeaseCache(string folder, long maxBytes, ScratchFolder scratch, Func<string, string, CancellationToken, Task<bool>> fetch)
    {
        (this.folder, this.maxBytes, this.scratch, this.fetch) = (folder, maxBytes, scratch, fetch);
        if (Directory.Exists(folder))
            Directory.Delete(folder, recursive: true);
        Directory.CreateDirectory(folder);
    }

    /// <summary>The object as a file; null when there is none.</summary>
    public async Task<LocalObject?> LeaseAsync(string key, CancellationToken stop)
    {
        Entry entry;
        lock (entries)
        {
            if (!entries.TryGetValue(key, out Entry? known))
            {
                string path =
                    Path.Combine(folder, $"{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(key)))[..32]}.{uses}");
                // The fetch outlives a caller that gives up: others may wait for it.
                entries.Add(key, known = new Entry(path) { Fetched = new Lazy<Task<bool>>(() => FetchAsync(key, path)) });
            }
            entry = known;
            entry.Users++;
            entry.LastUse = ++uses;
        }
        bool found = false;
        try
        {
            found = await entry.Fetched.Value.WaitAsync(stop);
        }
        finally
        {
            if (!found)
                Release(key, entry, keep: entry.Fetched.Value is { IsCompletedSuccessfully: false, IsFaulted: false, IsCanceled: false });
        }
        return found ? new Lease(this, key, entry) : null;
    }

    /// <summary>Lets the next caller fetch an object anew.</summary>
    public void Forget(string key)
    {
        lock (entries)
            if (entries.Remove(key, out Entry? entry))
            {
                entry.IsForgotten = true;
                if (entry.Users == 0)
                    File.Delete(entry.Path);
            }
    }

    private async Task<bool> FetchAsync(string key, string path)
    {
        string partial = scratch.CreateFile();
        try
        {
            if (!await fetch(key, partial, CancellationToken.None))
                return false;
            File.Move(partial, path, overwrite: true);
            return true;
        }
        finally
        {
            File.Delete(partial);
        }
    }

    private void Release(string key, Entry entry, bool keep)
    {
        lock (entries)
        {
            entry.Users--;
            if (entry.Users == 0 && (entry.IsForgotten || !keep))
            {
                if (entries.GetValueOrDefault(key) == entry)
                    entries.Remove(key);
                File.Delete(entry.Path);
            }
            else if (!keep && entries.GetValueOrDefault(key) == entry)
            {
                entries.Remove(key);
                entry.IsForgotten = true;
            }
            MakeRoom();
        }
    }

    private void MakeRoom()
    {
        (string Key, Entry Entry, long Bytes)[] unused =
        [
            .. entries.Where(static pair => pair.Value.Users == 0).OrderByDescending(static pair => pair.Value.LastUse)
                .Select(static pair => (pair.Key, pair.Value, new FileInfo(pair.Value.Path) is { Exists: true } file ? file.Length : 0)),
        ];
        long bytes = 0;
        foreach ((string key, Entry entry, long size) in unused)
        {
            bytes += size;
            if (bytes <= maxBytes)
                continue;
            entries.Remove(key);
            File.Delete(entry.Path);
        }
    }

    private sealed class Lease(LeaseCache owner, string key, Entry entry) : LocalObject
    {
        private bool isOver;

        public override string Path => entry.Path;

        public override void Dispose()
        {
            if (isOver)
                return;
            isOver = true;
            owner.Release(key, entry, keep: true);
        }
    }
}
