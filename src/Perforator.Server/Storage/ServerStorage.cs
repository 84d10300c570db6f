using System.Security.Cryptography;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

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
    IObjectStore Objects, IProfileIndex Profiles, IBinaryCatalog Binaries, IResultIndex Results, ITaskQueue Tasks,
    IObjectCollection Collection,
    ScratchFolder Scratch) : IAsyncDisposable
{
    /// <summary>Closes what has to be closed; null for nothing.</summary>
    public Func<ValueTask>? Close { get; init; }

    /// <summary>What can fail by itself.</summary>
    public IReadOnlyList<StoragePart> Parts { get; init; } = [];

    /// <summary>What is known for telling agents how much to record.</summary>
    public required IDemandStore Demand { get; init; }

    /// <summary>How agents do.</summary>
    public required IAgentStore Agents { get; init; }

    /// <summary>Figures of all services at once.</summary>
    public required IFleetIndex Fleet { get; init; }

    /// <summary>Where damage is named.</summary>
    public ILogger Log { get; set; } = NullLogger.Instance;

    /// <summary>Moves a damaged object aside and names it in the log. A disk that lets nothing be moved is no reason to fail.</summary>
    /// <param name="key">The object.</param>
    /// <param name="remedy">What brings it back, as the end of a sentence.</param>
    public async Task SetAsideAsync(string key, string remedy)
    {
        string where = ObjectKeys.Quarantined(key);
        try
        {
            await Objects.QuarantineAsync(key, CancellationToken.None);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            where = $"nowhere: {e.Message}";
        }
        Log.LogError("{Object} is damaged, and was moved to {Where}; {Remedy}", key, where, remedy);
    }

    /// <summary>
    /// Names a damaged upload in the log, and sets it aside: moves its object, or, where others lie in the same, copies what of it is its
    /// own. A disk that takes no copy is no reason to fail.
    /// </summary>
    /// <param name="hash">The upload.</param>
    /// <param name="place">Where it lies.</param>
    /// <param name="bytes">What is there.</param>
    public async Task SetAsideAsync(string hash, ObjectSlice place, ReadOnlyMemory<byte> bytes)
    {
        const string Remedy = "its profile counts again once it is sent again";
        string own = ObjectKeys.Upload(hash), where = ObjectKeys.Quarantined(own);
        if (place.Object == own)
        {
            await SetAsideAsync(own, Remedy);
            return;
        }
        try
        {
            await Objects.PutAsync(where, bytes, CancellationToken.None);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            where = $"nowhere: {e.Message}";
        }
        Log.LogError("profile {Hash} in {Object} is damaged, and was copied to {Where}; {Remedy}", hash, place.Object, where, Remedy);
    }

    /// <summary>A generated profile's bytes; null when there are none, or not those that its hash tells.</summary>
    public async Task<byte[]?> ReadResultAsync(string hash, CancellationToken stop)
    {
        string key = ObjectKeys.Result(hash);
        byte[]? bytes = await Objects.ReadAsync(key, 0, int.MaxValue, stop);
        if (bytes is null || Convert.ToHexStringLower(SHA256.HashData(bytes)) == hash)
            return bytes;
        await SetAsideAsync(key, "it is generated again when somebody asks for it");
        return null;
    }

    /// <summary>A binary or debug file; null, and it is no longer listed, when its object has gone or is not what its key tells.</summary>
    public async Task<LocalObject?> LeaseAsync(BinaryFile file, CancellationToken stop)
    {
        if (await Objects.LeaseAsync(file.Object, stop) is { } leased)
        {
            string hash = file.Object[(file.Object.LastIndexOf('/') + 1)..];
            // Folders of the first schema have binaries under their build ids.
            if (hash == file.BuildId.ToString() || hash == await HashAsync(leased.Path, stop))
                return leased;
            leased.Dispose();
            await SetAsideAsync(file.Object, $"an agent that sees build {file.BuildId}, or 'perforator binaries put', sends it again");
        }
        await Binaries.RemoveAsync(file, stop);
        return null;
    }

    private static async Task<string> HashAsync(string path, CancellationToken stop)
    {
        await using FileStream stream =
            new(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, 1 << 20, FileOptions.SequentialScan);
        return Convert.ToHexStringLower(await SHA256.HashDataAsync(stream, stop));
    }

    /// <summary>Closes it.</summary>
    public ValueTask DisposeAsync() => Close?.Invoke() ?? ValueTask.CompletedTask;
}
