using Perforator.Api;
using Perforator.Branches;
using Perforator.Recording;
using Perforator.Recording.Processes;

namespace Perforator.Cli;

/// <summary>Sends recorded profiles to a server, and the binaries it asks for in return.</summary>
internal sealed class ProfileUpload(ServerClient client, LiveModules modules)
{
    /// <summary>How often a binary is sent that the server does not take.</summary>
    private const int MaxAttempts = 3;

    private readonly HashSet<BuildId> settled = [];
    private readonly Dictionary<BuildId, int> attempts = [];

    /// <summary>How many binaries were sent.</summary>
    public int Binaries { get; private set; }

    /// <summary>A set of what was counted, binaries without a branch left out, with the labels every profile of this host carries.</summary>
    /// <param name="service">The service's name; null when it belongs to none.</param>
    /// <param name="source">The recorder's source label.</param>
    public static BranchProfileSet NewSet(string? service, string source, BranchAggregator counted, DateTimeOffset start, DateTimeOffset end)
    {
        BranchProfileSet set = new()
        {
            Labels =
            {
                [ProfileLabels.Host] = Environment.MachineName,
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

    /// <summary>Sends a profile; when this returns, the server has it on its disk. Sending it again does no harm.</summary>
    /// <exception cref="UserErrorException">The server cannot be reached or refuses it.</exception>
    public Task<UploadReceipt> SendProfileAsync(BranchProfileSet set, CancellationToken stop) => client.UploadProfileAsync(set, stop);

    /// <summary>
    /// Sends those binaries the server wants that are of use to it: executables, and libraries with debug info. Each is sent once, and its
    /// file is let go of then.
    /// </summary>
    /// <exception cref="UserErrorException">The server cannot be reached or refuses one.</exception>
    public async Task SendBinariesAsync(BranchProfileSet set, UploadReceipt receipt, CancellationToken stop)
    {
        foreach (BuildId buildId in set.Profiles.Keys)
        {
            if (settled.Contains(buildId) || !modules.TryGetFile(buildId, out string? path))
                continue;
            int attempt = attempts[buildId] = attempts.GetValueOrDefault(buildId) + 1;
            if (attempt <= MaxAttempts && receipt.WantedBinaries.Contains(buildId.ToString()) && modules.IsUseful(buildId))
            {
                await client.UploadBinaryAsync(buildId, path, stop);
                Binaries++;
            }
            settled.Add(buildId);
            modules.Release(buildId);
        }
    }
}
