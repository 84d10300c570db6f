using Perforator.Api;
using Perforator.Api.Uploading;
using Perforator.Branches;
using Perforator.Recording;
using Perforator.Recording.Processes;

namespace Perforator.Cli.Agent;

/// <summary>Sends recorded profiles to a server, and the binaries it asks for in return.</summary>
/// <param name="plan">Told what the server wants recorded from now on; null where nothing is recorded any more.</param>
internal sealed class ProfileUpload(ServerClient client, LiveModules modules, RecordingPlan? plan = null) : IProfileUpload
{
    /// <summary>
    /// How often a day a binary is sent: a server that was restored from a backup asks again, one that cannot keep it does so for ever.
    /// </summary>
    private const int MaxAttempts = 3;

    private readonly Dictionary<BuildId, (DateTimeOffset Day, int Count)> attempts = [];

    /// <summary>
    /// What profiles and plans call this host: what the variable PERFORATOR_HOST says, as a container has a name of its own, else the
    /// machine's name.
    /// </summary>
    public static string HostName =>
        Environment.GetEnvironmentVariable("PERFORATOR_HOST") is { Length: > 0 } host ? host : Environment.MachineName;

    /// <summary>How many binaries were sent.</summary>
    public int Binaries { get; private set; }

    /// <summary>
    /// A set of what was counted, binaries without a branch left out, with the labels every profile of this host carries.
    /// </summary>
    /// <param name="service">The service's name; null when it belongs to none.</param>
    /// <param name="source">The recorder's source label.</param>
    public static BranchProfileSet NewSet(
        string? service, string source, BranchAggregator counted, DateTimeOffset start, DateTimeOffset end)
    {
        BranchProfileSet set = new()
        {
            Labels =
            {
                [ProfileLabels.Host] = HostName,
                [ProfileLabels.Cpu] = ProfileLabels.Printable(Machine.CpuModel),
                [ProfileLabels.Source] = source,
            },
            Start = start,
            End = end,
            TotalSamples = counted.Samples,
        };
        if (service is not null)
            set.Labels[ProfileLabels.Service] = service;
        set.Losses.Merge(counted.Losses);
        foreach (BranchProfile profile in counted.Profiles.Values)
            if (profile.Samples != 0 || profile.BranchEntries != 0)
                set.Add(profile);
        return set;
    }

    /// <inheritdoc/>
    public async Task<UploadReceipt> SendProfileAsync(byte[] encoded, CancellationToken stop)
    {
        UploadReceipt receipt = await client.UploadProfileAsync(encoded, stop);
        if (receipt.Plan is { } wanted)
            plan?.Take(wanted);
        return receipt;
    }

    /// <summary>
    /// Sends those binaries the server wants that are of use to it: executables, and libraries with debug info. The files of those that it
    /// has are let go of.
    /// </summary>
    public async Task SendBinariesAsync(IReadOnlyList<BuildId> builds, UploadReceipt receipt, CancellationToken stop)
    {
        foreach (BuildId buildId in builds)
        {
            if (receipt.WantedBinaries.Contains(buildId.ToString()) && modules.IsUseful(buildId) && MaySend(buildId)
                && modules.TryReopen(buildId) && modules.TryGetFile(buildId, out string? path))
            {
                try
                {
                    await client.UploadBinaryAsync(buildId, path, stop);
                    Binaries++;
                }
                catch (ServerException e) when (e.IsWorthRepeating)
                {
                    // A server that is away, or whose disk is full, is not one that does not want it.
                    attempts.Remove(buildId);
                    throw;
                }
            }
            modules.Release(buildId);
        }
    }

    private bool MaySend(BuildId buildId)
    {
        (DateTimeOffset day, int count) = attempts.GetValueOrDefault(buildId);
        if (DateTimeOffset.UtcNow - day >= TimeSpan.FromDays(1))
            (day, count) = (DateTimeOffset.UtcNow, 0);
        attempts[buildId] = (day, count + 1);
        return count < MaxAttempts;
    }
}
