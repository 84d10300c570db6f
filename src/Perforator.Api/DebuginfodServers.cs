namespace Perforator.Api;

/// <summary>The debuginfod servers that the environment names, as elfutils' client takes them: debuginfod-find(1).</summary>
/// <param name="Urls">DEBUGINFOD_URLS: their addresses, which end with a slash; often none.</param>
/// <param name="Timeout">DEBUGINFOD_TIMEOUT: a server that does not answer is not waited for longer.</param>
public sealed record DebuginfodServers(IReadOnlyList<Uri> Urls, TimeSpan Timeout)
{
    private static readonly TimeSpan DefaultTimeout = TimeSpan.FromSeconds(90);

    /// <summary>Those of this process's environment.</summary>
    public static DebuginfodServers OfEnvironment()
    {
        Uri[] urls =
        [
            .. (Environment.GetEnvironmentVariable("DEBUGINFOD_URLS") ?? "").Split(' ', StringSplitOptions.RemoveEmptyEntries)
                .Where(static url => url.StartsWith("http", StringComparison.Ordinal) && Uri.IsWellFormedUriString(url, UriKind.Absolute))
                .Select(static url => new Uri(url.EndsWith('/') ? url : url + "/")),
        ];
        bool isGiven = int.TryParse(Environment.GetEnvironmentVariable("DEBUGINFOD_TIMEOUT"), out int seconds) && seconds > 0;
        return new DebuginfodServers(urls, isGiven ? TimeSpan.FromSeconds(seconds) : DefaultTimeout);
    }

    /// <summary>Where a server has the debug info of a build: debuginfod(8), GET /buildid/BUILDID/debuginfo.</summary>
    public static Uri DebugInfo(Uri server, BuildId build) => new(server, $"buildid/{build}/debuginfo");
}
