using Perforator.Api;
using Perforator.Branches;
using Perforator.Bytes;

namespace Perforator.Cli;

/// <summary>
/// Profiles on their way to the server. What the server has not acknowledged is kept and tried again; what comes in meanwhile adds up
/// to one waiting profile per service, so that memory is bounded by distinct branches, not by how long the server is away.
/// </summary>
internal sealed class ProfileOutbox
{
    /// <summary>The most counters that may wait, over all services: some 40 bytes each.</summary>
    public const long DefaultMaxCounters = 4_000_000;

    /// <summary>
    /// Sets that were offered to the server are kept as they are until it has acknowledged them: it tells a repeated upload by its content.
    /// </summary>
    private readonly LinkedList<BranchProfileSet> offered = new();
    private readonly SortedDictionary<string, BranchProfileSet> waiting = new(StringComparer.Ordinal);
    private readonly long maxCounters;

    public ProfileOutbox(long maxCounters = DefaultMaxCounters) => this.maxCounters = maxCounters;

    /// <summary>Profiles the server has acknowledged.</summary>
    public int Sent { get; private set; }

    /// <summary>Samples dropped, because too much waited or the server refused them.</summary>
    public ulong DroppedSamples { get; private set; }

    /// <summary>Samples that wait.</summary>
    public ulong WaitingSamples => Unsent.Aggregate(0UL, (sum, set) => sum + set.TotalSamples);

    /// <summary>Everything not acknowledged, oldest first.</summary>
    public IEnumerable<BranchProfileSet> Unsent => offered.Concat(waiting.Values);

    /// <summary>Takes over a set of one service; it adds up with what waits of that service.</summary>
    public void Add(BranchProfileSet set)
    {
        if (Unsent.Sum(Counters) + Counters(set) > maxCounters)
        {
            DroppedSamples += set.TotalSamples;
            return;
        }
        if (!waiting.TryGetValue(set.Service ?? "", out BranchProfileSet? waits))
        {
            waiting.Add(set.Service ?? "", set);
            return;
        }
        waits.End = set.End;
        waits.TotalSamples += set.TotalSamples;
        waits.Losses.Merge(set.Losses);
        foreach (BranchProfile profile in set.Profiles.Values)
            waits.Add(profile);
    }

    /// <summary>Sends all there is, oldest first, until something fails.</summary>
    /// <returns>Null when all was sent; else why not.</returns>
    public async Task<string?> SendAsync(ProfileUpload upload, CancellationToken stop)
    {
        foreach (BranchProfileSet set in waiting.Values)
            offered.AddLast(set);
        waiting.Clear();
        string? refused = null;
        while (offered.First is { } first)
        {
            try
            {
                UploadReceipt receipt = await upload.SendProfileAsync(first.Value, stop);
                offered.RemoveFirst();
                Sent++;
                await upload.SendBinariesAsync(first.Value, receipt, stop);
            }
            catch (ServerException e) when (e.IsWorthRepeating)
            {
                return e.Message;
            }
            catch (UserErrorException e)
            {
                refused = e.Message;
                if (offered.First == first)
                {
                    offered.RemoveFirst();
                    DroppedSamples += first.Value.TotalSamples;
                }
            }
            catch (OperationCanceledException)
            {
                return "out of time";
            }
        }
        return refused;
    }

    /// <summary>Writes everything unsent into a folder, for the next agent to send.</summary>
    public void SaveTo(string folder)
    {
        foreach (BranchProfileSet set in Unsent)
        {
            byte[] encoded = BranchProfileCodec.Encode(set);
            WholeFile.Write(Path.Combine(folder, BranchProfileCodec.ContentHash(encoded) + BranchProfileCodec.FileExtension), encoded);
        }
    }

    /// <summary>Takes over what another agent has left in a folder, and deletes it there.</summary>
    /// <param name="report">Told of each file that cannot be read; it stays.</param>
    public void LoadFrom(string folder, Action<string> report)
    {
        Directory.CreateDirectory(folder);
        foreach (string file in Directory.GetFiles(folder, "*" + BranchProfileCodec.FileExtension).Order(StringComparer.Ordinal))
        {
            try
            {
                offered.AddLast(BranchProfileCodec.Load(file));
                File.Delete(file);
            }
            catch (Exception e) when (e is UserErrorException or MalformedInputException or IOException or UnauthorizedAccessException)
            {
                report(e.Message);
            }
        }
    }

    private static long Counters(BranchProfileSet set) =>
        set.Profiles.Values.Sum(p => (long)p.TraceCounters + p.Addresses.Count);
}
