using System.Diagnostics;
using System.Net.Http.Headers;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json;
using Perforator.Api;
using Perforator.Branches;

namespace Perforator.Tests.Infrastructure;

/// <summary>A real <c>perforator serve</c> on a free loopback port, ended with the test.</summary>
internal sealed class ServerProcess : IDisposable
{
    private readonly Process process;
    private readonly StringBuilder error = new();

    private ServerProcess(Process process, Uri address)
    {
        this.process = process;
        Address = address;
        Http = Client();
    }

    /// <summary>Another client.</summary>
    /// <param name="certificate">What it shows the server.</param>
    /// <param name="trusted">The authority of the server's certificate.</param>
    public HttpClient Client(X509Certificate2? certificate = null, X509Certificate2? trusted = null)
    {
        SocketsHttpHandler handler = new() { UseProxy = false };
        if (trusted is not null)
        {
            handler.SslOptions.CertificateChainPolicy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
            handler.SslOptions.CertificateChainPolicy.CustomTrustStore.Add(trusted);
        }
        if (certificate is not null)
            handler.SslOptions.ClientCertificates = [certificate];
        return new HttpClient(handler) { BaseAddress = Address };
    }

    /// <summary>Where it listens.</summary>
    public Uri Address { get; }

    /// <summary>A client of it.</summary>
    public HttpClient Http { get; }

    /// <summary>The process id.</summary>
    public int Id => process.Id;

    /// <summary>What it wrote on stderr so far.</summary>
    public string Error
    {
        get
        {
            lock (error)
                return error.ToString();
        }
    }

    /// <summary>Starts a server and returns once it has printed its address.</summary>
    /// <param name="dataFolder">Its --data folder.</param>
    /// <param name="port">Its port; 0 takes a free one.</param>
    /// <param name="options">More options of serve.</param>
    public static ServerProcess Start(string dataFolder, int port = 0, params string[] options) =>
        Start([], new Dictionary<string, string>(), dataFolder, port, options);

    /// <summary>The same with more variables, or by another program.</summary>
    /// <param name="launcher">A program that becomes the server, with its first arguments; empty for none.</param>
    /// <param name="environment">Variables that it gets.</param>
    public static ServerProcess Start(
        string[] launcher, IReadOnlyDictionary<string, string> environment, string dataFolder, int port = 0, params string[] options) =>
        Run([.. launcher, Tool.Perforator, "serve", "--data", dataFolder, "--port", $"{port}", .. options], environment);

    /// <summary>A server with the demo's store.</summary>
    public static ServerProcess StartDemo(params string[] options) =>
        Run([Tool.Perforator, "serve", "--demo", "--port", "0", .. options], new Dictionary<string, string>());

    private static ServerProcess Run(string[] command, IReadOnlyDictionary<string, string> environment)
    {
        ProcessStartInfo start = new(command[0], command[1..])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach ((string name, string value) in environment)
            start.Environment[name] = value;
        Process process = Process.Start(start)!;
        Task<string?> line = process.StandardOutput.ReadLineAsync();
        if (!line.Wait(TimeSpan.FromSeconds(60)) || !Uri.TryCreate(line.Result, UriKind.Absolute, out Uri? address))
        {
            process.Kill();
            Assert.Fail($"perforator serve printed no address: {(line.IsCompleted ? line.Result : "")}{process.StandardError.ReadToEnd()}");
            throw new UnreachableException();
        }
        ServerProcess server = new(process, address);
        process.ErrorDataReceived += (_, e) =>
        {
            lock (server.error)
                server.error.AppendLine(e.Data);
        };
        process.BeginErrorReadLine();
        return server;
    }

    /// <summary>Options by which a server wants all of every service, for tests that are not of demand.</summary>
    public static string[] WantsAll(TemporaryFolder folder) =>
        ["--enrol", folder.Write("wants-all.yaml", "services: [{match: '*', rate: 1}]")];

    /// <summary>Runs a verb of the CLI against this server.</summary>
    public ToolResult Cli(params string[] arguments) => Tool.Cli([.. arguments, "--server", Address.ToString()]);

    /// <summary>Uploads a profile as the CLI does; fails the test when it is refused.</summary>
    public async Task<UploadReceipt> UploadAsync(BranchProfileSet set)
    {
        using HttpResponseMessage response = await PostAsync(BranchProfileCodec.Encode(set));
        string body = await response.Content.ReadAsStringAsync();
        Assert.True(response.IsSuccessStatusCode, body);
        return JsonSerializer.Deserialize(body, ApiJson.Default.UploadReceipt)!;
    }

    /// <summary>Sends bytes as if they were a profile.</summary>
    public Task<HttpResponseMessage> PostAsync(byte[] profile)
    {
        ByteArrayContent content = new(profile);
        content.Headers.ContentType = new MediaTypeHeaderValue(ApiMediaTypes.Branches);
        return Http.PostAsync("api/v1/profiles", content);
    }

    /// <summary>Sends a file as the binary of a build id.</summary>
    public Task<HttpResponseMessage> PutBinaryAsync(string buildId, byte[] file)
    {
        ByteArrayContent content = new(file);
        content.Headers.ContentType = new MediaTypeHeaderValue(ApiMediaTypes.Bytes);
        return Http.PutAsync($"api/v1/binaries/{buildId}", content);
    }

    /// <summary>SIGKILL: it gets no chance to finish anything.</summary>
    public void Kill()
    {
        process.Kill();
        process.WaitForExit();
    }

    /// <summary>SIGTERM; returns the exit code.</summary>
    public int Terminate()
    {
        Tool.Run("/bin/kill", ["-TERM", $"{process.Id}"]).Succeeded();
        Assert.True(process.WaitForExit(TimeSpan.FromSeconds(30)), "perforator serve did not end within 30 s of SIGTERM");
        return process.ExitCode;
    }

    public void Dispose()
    {
        if (!process.HasExited)
            Kill();
        process.Dispose();
        Http.Dispose();
    }
}
