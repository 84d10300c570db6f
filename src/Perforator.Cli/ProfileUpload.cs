using Perforator.Branches;
using Perforator.Recording;
using Perforator.Recording.Processes;
using Perforator.Server.Http;

namespace Perforator.Cli;

/// <summary>Sends recorded profiles to a server, and the binaries it asks for in return.</summary>
internal sealed class ProfileUpload(ServerClient client, LiveModules modules)
{
    private readonly HashSet<BuildId> settled = [];

    /// <summary>How many binaries were sent.</summary>
    public int Binaries { get; private set; }

    /// <summary>A set of one service with the labels every profile of this host carries.</summary>
    /// <param name="source">The recorder's source label.</param>
    public static BranchProfileSet NewSet(string service, string source, DateTimeOffset start, DateTimeOffset end) => new()
    {
        Labels =
        {
            [ProfileLabels.Service] = service,
            [ProfileLabels.Host] = Environment.MachineName,
            [ProfileLabels.Cpu] = ProfileLabels.Printable(Machine.CpuModel),
            [ProfileLabels.Source] = source,
        },
        Start = start,
        End = end,
    };

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
            if (receipt.WantedBinaries.Contains(buildId.ToString()) && modules.IsUseful(buildId))
            {
                await client.UploadBinaryAsync(buildId, path, stop);
                Binaries++;
            }
            settled.Add(buildId);
            modules.Release(buildId);
        }
    }
}
