using Perforator.Branches;
using Perforator.Bytes;

namespace Perforator.Server.Storage;

/// <summary>Uploads as blobs, and sums of many of them, which are kept so that a service's history is not read again for each request.</summary>
internal sealed class UploadSums
{
    private readonly IBlobStore blobs;

    public UploadSums(IBlobStore blobs) => this.blobs = blobs;

    /// <summary>Stores one upload, durably.</summary>
    public Task PutAsync(string contentHash, ReadOnlyMemory<byte> encoded, CancellationToken stop) => blobs.PutAsync(UploadKey(contentHash), encoded, stop);

    /// <summary>Adds up one build's profiles in some uploads.</summary>
    public async Task<BranchProfileSet> AddUpAsync(BuildId buildId, IEnumerable<string> contentHashes, CancellationToken stop)
    {
        BranchProfileSet sum = new();
        foreach (string hash in contentHashes)
        {
            stop.ThrowIfCancellationRequested();
            if (await LoadAsync(UploadKey(hash), stop) is { } set && set.Profiles.TryGetValue(buildId, out BranchProfile? profile))
            {
                sum.Add(profile);
                sum.Losses.Merge(set.Losses);
            }
            else
            {
                sum.Losses.Add("stored profile that can no longer be read");
            }
        }
        return sum;
    }

    /// <summary>As <see cref="AddUpAsync"/>, for uploads to which none will be added under this name: the sum is kept.</summary>
    public async Task<BranchProfileSet> AddUpOnceAsync(string name, BuildId buildId, IEnumerable<string> contentHashes, CancellationToken stop)
    {
        string key = $"sums/{name}{BranchProfileCodec.FileExtension}";
        if (await LoadAsync(key, stop) is { } known)
            return known;
        BranchProfileSet sum = await AddUpAsync(buildId, contentHashes, stop);
        await blobs.PutAsync(key, BranchProfileCodec.Encode(sum), stop);
        return sum;
    }

    private async Task<BranchProfileSet?> LoadAsync(string key, CancellationToken stop)
    {
        try
        {
            return await blobs.FindAsync(key, stop) is { } path ? BranchProfileCodec.Decode(await File.ReadAllBytesAsync(path, stop)) : null;
        }
        catch (MalformedInputException)
        {
            return null;
        }
    }

    private static string UploadKey(string contentHash) => $"profiles/{contentHash}{BranchProfileCodec.FileExtension}";
}
