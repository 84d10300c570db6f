using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using Perforator.Api;
using Perforator.Tests.Infrastructure;
using Perforator.Tests.Server;

namespace Perforator.Tests.EndToEnd;

/// <summary>
/// Large binaries come in parts: what arrived before an upload was cut, whoever sent it to whichever server, does not come twice.
/// </summary>
public sealed class BinaryUploadTests : IClassFixture<LoopProgram>, IDisposable
{
    private const int Part = ApiRoutes.BinaryPartBytes;

    private readonly LoopProgram program;
    private readonly TemporaryFolder folder = new();
    private readonly byte[] large;

    public BinaryUploadTests(LoopProgram program)
    {
        this.program = program;
        byte[] padding = new byte[(2 * Part) + (Part / 2)];
        new Random(7).NextBytes(padding);
        File.WriteAllBytes(folder["padding"], padding);
        Tool.Run("llvm-objcopy-19", ["--add-section", $".padding={folder["padding"]}", program.Binary, folder["large"]]).Succeeded();
        large = File.ReadAllBytes(folder["large"]);
        Assert.InRange(large.Length, (2 * Part) + 1, (3 * Part) - 1);
    }

    private ToolResult Put(string server) => Tool.Cli("binaries", "put", folder["large"], "--server", server);

    /// <summary>Sends a part as a client does; gives the status and how many bytes the server says it has.</summary>
    private async Task<(HttpStatusCode Status, long Received)> PutAsync(
        ServerProcess server, int first, byte[]? of = null, byte[]? digestOf = null)
    {
        byte[] whole = of ?? large;
        int length = Math.Min(Part, whole.Length - first);
        using HttpRequestMessage put =
            new(HttpMethod.Put, $"api/v1/binaries/{program.BuildId}") { Content = new ByteArrayContent(whole, first, length) };
        put.Content.Headers.ContentType = new MediaTypeHeaderValue(ApiMediaTypes.Bytes);
        put.Content.Headers.ContentRange = new ContentRangeHeaderValue(first, first + length - 1, whole.Length);
        put.Headers.Add(ApiHeaders.ReprDigest, $"sha-256=:{Convert.ToBase64String(SHA256.HashData(digestOf ?? whole))}:");
        using HttpResponseMessage response = await server.Http.SendAsync(put);
        return (response.StatusCode, response.Headers.TryGetValues(ApiHeaders.UploadOffset, out IEnumerable<string>? offset)
            ? long.Parse(offset.Single()) : 0);
    }

    /// <summary>What the server keeps is the file itself, and nothing of its parts.</summary>
    private void CheckStored(string data)
    {
        Assert.Equal(large, File.ReadAllBytes(Assert.Single(Directory.GetFiles(Path.Combine(data, "blobs/binaries")))));
        Assert.Empty(Directory.GetFiles(Path.Combine(data, "blobs/parts"), "*", SearchOption.AllDirectories));
        Assert.Empty(Directory.GetFiles(Path.Combine(data, "blobs/tmp")));
    }

    [Fact]
    public void Over_connections_that_are_cut_each_time_an_upload_comes_through()
    {
        using ServerProcess server = ServerProcess.Start(folder["data"]);
        using SwitchedProxy proxy = new(server.Address) { CutAfter = Part + (Part / 2) };
        Assert.Equal($"{program.BuildId} {folder["large"]}\n", Put(proxy.Address).Succeeded().Output);
        Assert.InRange(proxy.Sent, large.Length, large.Length + (2 * Part));
        CheckStored(folder["data"]);
        // What is there is not sent again.
        long sent = proxy.Sent;
        Put(proxy.Address).Succeeded();
        Assert.InRange(proxy.Sent - sent, 0, 10_000);
    }

    [Fact]
    public async Task What_arrived_before_kill_9_is_not_sent_again()
    {
        using (ServerProcess server = ServerProcess.Start(folder["data"]))
        {
            Assert.Equal((HttpStatusCode.Accepted, (long)Part), await PutAsync(server, 0));
            Assert.Equal((HttpStatusCode.Accepted, (long)Part), await PutAsync(server, 2 * Part));
            server.Kill();
        }
        using ServerProcess again = ServerProcess.Start(folder["data"]);
        using SwitchedProxy proxy = new(again.Address);
        Put(proxy.Address).Succeeded();
        Assert.InRange(proxy.Sent, Part, Part + 10_000);
        CheckStored(folder["data"]);
    }

    [Fact]
    public async Task Any_replica_goes_on_with_what_another_took()
    {
        string[] fleet = ["--database", Engines.NewDatabase(), "--objects", Engines.NewObjects(), "--role", "api"];
        using ServerProcess one = ServerProcess.Start(folder["one"], 0, fleet), two = ServerProcess.Start(folder["two"], 0, fleet);
        Assert.Equal((HttpStatusCode.Accepted, (long)Part), await PutAsync(one, 0));
        using SwitchedProxy proxy = new(two.Address);
        Put(proxy.Address).Succeeded();
        Assert.InRange(proxy.Sent, large.Length - Part, large.Length - Part + 10_000);
        using HttpRequestMessage head = new(HttpMethod.Head, $"api/v1/binaries/{program.BuildId}");
        using HttpResponseMessage response = await one.Http.SendAsync(head);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
    }

    [Fact]
    public async Task Parts_that_do_not_fit_or_do_not_add_up_are_refused_and_none_is_in_the_way_of_the_right_ones()
    {
        using ServerProcess server = ServerProcess.Start(folder["data"]);
        byte[] other = [.. large];
        other[Part + 5] ^= 1;
        Assert.Equal((HttpStatusCode.Accepted, (long)Part), await PutAsync(server, 0));
        Assert.Equal((HttpStatusCode.Accepted, 2L * Part), await PutAsync(server, Part, other, digestOf: large));
        Assert.Equal((HttpStatusCode.BadRequest, 0L), await PutAsync(server, 2 * Part));
        Assert.Equal((HttpStatusCode.BadRequest, 0L), await PutAsync(server, Part / 2));
        using (HttpRequestMessage huge =
            new(HttpMethod.Put, $"api/v1/binaries/{program.BuildId}") { Content = new ByteArrayContent(large, 0, Part) })
        {
            huge.Content.Headers.ContentType = new MediaTypeHeaderValue(ApiMediaTypes.Bytes);
            huge.Content.Headers.ContentRange = new ContentRangeHeaderValue(0, Part - 1, 9L << 30);
            huge.Headers.Add(ApiHeaders.ReprDigest, $"sha-256=:{Convert.ToBase64String(SHA256.HashData(large))}:");
            using HttpResponseMessage response = await server.Http.SendAsync(huge);
            Assert.Equal(HttpStatusCode.RequestEntityTooLarge, response.StatusCode);
        }
        Put(server.Address.ToString()).Succeeded();
        CheckStored(folder["data"]);
    }

    [Fact]
    public void When_nothing_comes_through_the_client_says_that_it_goes_on_next_time()
    {
        using ServerProcess server = ServerProcess.Start(folder["data"]);
        using SwitchedProxy proxy = new(server.Address) { CutAfter = Part / 2 };
        ToolResult result = Put(proxy.Address);
        Assert.Equal((1, ""), (result.ExitCode, result.Output));
        Assert.Matches(
            $"^perforator: {folder["large"]} is not with the server: .* run this again: what has arrived is not sent twice\n$",
            result.Error);
    }

    public void Dispose() => folder.Dispose();
}
