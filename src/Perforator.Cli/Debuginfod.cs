using Perforator.Api;
using Perforator.Elf;
using Perforator.Symbolize;

namespace Perforator.Cli;

/// <summary>
/// Debug files from the servers that DEBUGINFOD_URLS names, after those that are here. They are kept where elfutils' client keeps them, so
/// that each is fetched once for all tools.
/// </summary>
internal sealed class Debuginfod : IDebugFiles
{
    private readonly IDebugFiles local;
    private readonly DebuginfodServers servers;
    private readonly string cache;

    private Debuginfod(IDebugFiles local, DebuginfodServers servers, string cache) =>
        (this.local, this.servers, this.cache) = (local, servers, cache);

    /// <summary>Asks the servers where others have nothing; where the environment names no server, just the others.</summary>
    public static IDebugFiles Behind(IDebugFiles local)
    {
        DebuginfodServers servers = DebuginfodServers.OfEnvironment();
        if (servers.Urls.Count == 0)
            return local;
        string cache = Environment.GetEnvironmentVariable("DEBUGINFOD_CACHE_PATH") ?? Path.Combine(
            Environment.GetEnvironmentVariable("XDG_CACHE_HOME")
                ?? Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".cache"), "debuginfod_client");
        return new Debuginfod(local, servers, cache);
    }

    /// <inheritdoc/>
    public ElfFile? FindDebugFile(ElfFile binary, LossCounts losses)
    {
        LossCounts here = new();
        if (local.FindDebugFile(binary, here) is { } found)
            return found;
        if (!binary.HasSection(".debug_info") && binary.HasBuildIdNote(out BuildId id) && Fetch(id, losses) is { } fetched)
            return fetched;
        losses.Merge(here);
        return null;
    }

    /// <inheritdoc/>
    public ElfFile? FindSupplement(ElfFile file, LossCounts losses)
    {
        LossCounts here = new();
        if (local.FindSupplement(file, here) is { } found)
            return found;
        // That a link is damaged, the local search has told.
        if (DebugLink.FindSupplement(file, new LossCounts()) is { } link && Fetch(link.Id, losses) is { } fetched)
            return fetched;
        losses.Merge(here);
        return null;
    }

    /// <inheritdoc/>
    public ElfFile? FindPackage(ElfFile linked, LossCounts losses) => local.FindPackage(linked, losses);

    /// <inheritdoc/>
    public IEnumerable<ElfFile> FindSplitUnits(ElfFile linked, string compilationFolder, string name, LossCounts losses) =>
        local.FindSplitUnits(linked, compilationFolder, name, losses);

    private ElfFile? Fetch(BuildId id, LossCounts losses)
    {
        string path = Path.Combine(cache, id.ToString(), "debuginfo");
        if (Open(path, id) is { } known)
            return known;
        using HttpClient client = new() { Timeout = servers.Timeout };
        foreach (Uri server in servers.Urls)
        {
            try
            {
                using HttpRequestMessage request = new(HttpMethod.Get, DebuginfodServers.DebugInfo(server, id));
                using HttpResponseMessage answer = client.Send(request, HttpCompletionOption.ResponseHeadersRead);
                if (answer.StatusCode == System.Net.HttpStatusCode.NotFound)
                    continue;
                answer.EnsureSuccessStatusCode();
                Directory.CreateDirectory(Path.GetDirectoryName(path)!);
                string partial = $"{path}.{Path.GetRandomFileName()}";
                try
                {
                    using (FileStream file = File.Create(partial))
                        answer.Content.ReadAsStream().CopyTo(file);
                    File.Move(partial, path, overwrite: true);
                }
                finally
                {
                    File.Delete(partial);
                }
                if (Open(path, id) is { } fetched)
                    return fetched;
                losses.Add($"debuginfod server {server.Host} gave a file that is not the debug info of build {id}");
            }
            catch (Exception e) when (e is HttpRequestException or IOException or UnauthorizedAccessException or OperationCanceledException)
            {
                losses.Add($"debuginfod server {server.Host} did not give the debug info of build {id}: {e.Message}");
            }
        }
        return null;
    }

    private static ElfFile? Open(string path, BuildId id)
    {
        if (!File.Exists(path))
            return null;
        ElfFile? file = null;
        try
        {
            file = ElfFile.Load(path);
            if (file.HasSection(".debug_info") && file.HasBuildIdNote(out BuildId own) && own == id)
                return file;
        }
        catch (UserErrorException)
        {
            // Not an ELF file; the caller says so, or fetches it anew.
        }
        file?.Dispose();
        return null;
    }
}
