using System.Collections.Concurrent;
using System.Net;
using Microsoft.Extensions.Logging;
using Perforator.Api;
using Perforator.Server.Http;
using Perforator.Server.Storage;

namespace Perforator.Server.Ingest;

/// <summary>
/// Debug files of stripped binaries from debuginfod servers, where the operator names some. The server's own store is the cache: what is
/// fetched is taken as if it had been uploaded, checked and limited the same, and found there by all replicas. That a server has nothing,
/// or does not answer, is remembered for a while.
/// </summary>
internal sealed class DebuginfodSource(DebuginfodServers servers, BinaryIngest binaries, TimeProvider time, ILogger<DebuginfodSource> log)
    : IDisposable
{
    /// <summary>As elfutils' client has it (cache_miss_s): nobody waits for a server that is away with each profile.</summary>
    private static readonly TimeSpan AskAgainAfter = TimeSpan.FromMinutes(10);

    private const int MaxMisses = 10_000;

    private readonly ConcurrentDictionary<(Uri Server, BuildId Build), long> misses = [];
    private readonly HttpClient client = new() { Timeout = Timeout.InfiniteTimeSpan };

    /// <summary>Fetches what builds lack, of those whose executable is there. That a server has nothing is not an error.</summary>
    /// <param name="files">The files of the builds.</param>
    /// <returns>Whether a file was added.</returns>
    public async Task<bool> FillAsync(ILookup<BuildId, BinaryFile> files, CancellationToken stop)
    {
        bool isNew = false;
        foreach (IGrouping<BuildId, BinaryFile> build in files)
            if (servers.Urls.Count != 0 && build.Any(static file => file is { Kind: BinaryKind.Executable, HasDebugInfo: false })
                && build.All(static file => file.Kind != BinaryKind.Debug))
                isNew |= await FetchAsync(build.Key, stop);
        return isNew;
    }

    private async Task<bool> FetchAsync(BuildId build, CancellationToken stop)
    {
        foreach (Uri server in servers.Urls)
        {
            if (misses.TryGetValue((server, build), out long at) && time.GetElapsedTime(at) < AskAgainAfter)
                continue;
            using CancellationTokenSource patience = CancellationTokenSource.CreateLinkedTokenSource(stop);
            patience.CancelAfter(servers.Timeout);
            try
            {
                using HttpResponseMessage answer =
                    await client.GetAsync(
                        DebuginfodServers.DebugInfo(server, build), HttpCompletionOption.ResponseHeadersRead, patience.Token);
                if (answer.StatusCode != HttpStatusCode.NotFound)
                {
                    answer.EnsureSuccessStatusCode();
                    await using Stream content = await answer.Content.ReadAsStreamAsync(patience.Token);
                    if (await binaries.AcceptAsync(build, content, patience.Token))
                        return true;
                }
            }
            catch (Exception e)
                when (e is HttpRequestException or ApiException or IOException
                    || (e is OperationCanceledException && !stop.IsCancellationRequested))
            {
                log.LogWarning(
                    "debuginfod server {Server} did not give the debug info of build {Build}: {Reason}", server.Host, build,
                    e is OperationCanceledException ? "it took too long" : e.Message);
            }
            if (misses.Count >= MaxMisses)
                misses.Clear();
            misses[(server, build)] = time.GetTimestamp();
        }
        return false;
    }

    public void Dispose() => client.Dispose();
}
