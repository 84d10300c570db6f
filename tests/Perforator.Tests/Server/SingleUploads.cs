using Perforator.Server.Storage;

namespace Perforator.Tests.Server;

/// <summary>One upload at a time, where the server has groups of them.</summary>
internal static class SingleUploads
{
    public static async Task<(UploadState State, ObjectSlice Place)> FindAsync(
        this IProfileIndex index, string hash, CancellationToken stop) => (await index.FindAsync([hash], stop))[0];

    public static async Task<UploadOutcome> AddAsync(this IProfileIndex index, NewUpload upload, CancellationToken stop) =>
        (await index.AddAsync([upload], stop))[0];
}
