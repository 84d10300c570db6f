using System.Diagnostics;
using Perforator.Api;

namespace Perforator.Benchmarks;

/// <summary>A real <c>perforator serve</c> on a free loopback port, ended with the measurement.</summary>
internal sealed class LoopbackServer : IDisposable
{
    private LoopbackServer(Process process, Uri address)
    {
        (Process, Address) = (process, address);
        Http = new HttpClient(new SocketsHttpHandler { UseProxy = false }) { BaseAddress = address, Timeout = TimeSpan.FromMinutes(10) };
        Api = new ServerClient(address);
    }

    /// <summary>The server.</summary>
    public Process Process { get; }

    /// <summary>Where it listens.</summary>
    public Uri Address { get; }

    /// <summary>A client of it, for what is timed.</summary>
    public HttpClient Http { get; }

    /// <summary>A client of it, for what is not.</summary>
    public ServerClient Api { get; }

    /// <summary>Starts one, and returns once it takes requests. Its errors go to stderr.</summary>
    public static async Task<LoopbackServer> StartAsync(string cli, params string[] options)
    {
        ProcessStartInfo start =
            new(cli, ["serve", "--port", "0", .. options]) { RedirectStandardOutput = true, RedirectStandardError = true };
        Process process = Process.Start(start)!;
        process.ErrorDataReceived += static (_, e) =>
        {
            if (e.Data?.Contains("error", StringComparison.OrdinalIgnoreCase) == true)
                Console.Error.WriteLine(e.Data);
        };
        process.BeginErrorReadLine();
        string? address = await process.StandardOutput.ReadLineAsync();
        return new LoopbackServer(process, new Uri(address ?? throw new InvalidOperationException("perforator serve did not start")));
    }

    /// <summary>Ends it as an administrator would.</summary>
    public async Task StopAsync()
    {
        using Process kill = Process.Start("/bin/kill", ["-TERM", $"{Process.Id}"]);
        await Process.WaitForExitAsync();
    }

    public void Dispose()
    {
        if (!Process.HasExited)
            Process.Kill();
        Process.Dispose();
        Http.Dispose();
        Api.Dispose();
    }
}
