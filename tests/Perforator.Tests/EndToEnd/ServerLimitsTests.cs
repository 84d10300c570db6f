using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Perforator.Api;
using Perforator.Branches;
using Perforator.Tests.Branches;
using Perforator.Tests.Infrastructure;
using Perforator.Tests.Server;

namespace Perforator.Tests.EndToEnd;

/// <summary>What one client sends, or does not send, takes neither memory nor time from the others.</summary>
public sealed class ServerLimitsTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    private static long ResidentKib(ServerProcess server)
    {
        using Process process = Process.GetProcessById(server.Id);
        return process.WorkingSet64 >> 10;
    }

    [Fact]
    public async Task Rows_that_take_a_thousand_times_what_is_sent_are_refused_before_they_take_it()
    {
        using ServerProcess server = ServerProcess.Start(folder["data"]);
        byte[] bomb = BranchProfileCodecTests.Bomb(22_000_000);
        Assert.True(bomb.Length < 200_000, $"{bomb.Length} bytes");
        long before = ResidentKib(server);
        await Task.WhenAll(Enumerable.Range(0, 8).Select(async _ =>
        {
            using HttpResponseMessage response = await server.PostAsync(bomb);
            string detail = JsonSerializer.Deserialize(await response.Content.ReadAsStringAsync(), ApiJson.Default.Problem)!.Detail!;
            if (response.StatusCode == HttpStatusCode.ServiceUnavailable)
                return;
            Assert.Equal(HttpStatusCode.RequestEntityTooLarge, response.StatusCode);
            Assert.Contains("at most 1000000 are accepted", detail, StringComparison.Ordinal);
        }));
        long grown = ResidentKib(server) - before;
        Assert.True(grown < 800 << 10, $"{grown >> 10} MiB for eight uploads that were refused");

        // As many rows as are accepted, several at once: each is taken, in what memory there is for all.
        byte[][] large = [.. Enumerable.Range(0, 4).Select(i => BranchProfileCodecTests.Bomb(990_000 + i))];
        foreach (HttpResponseMessage response in await Task.WhenAll(large.Select(server.PostAsync)))
            using (response)
                Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        grown = ResidentKib(server) - before;
        Assert.True(grown < 1200 << 10, $"{grown >> 10} MiB for four large uploads");
    }

    /// <summary>A thousand connections that say nothing, half a request, or a body that never ends.</summary>
    [Fact]
    public async Task Slow_half_open_and_idle_clients_keep_nothing_from_others()
    {
        using ServerProcess server = ServerProcess.Start(folder["data"]);
        byte[] upload = BranchProfileCodec.Encode(Uploads.Set());
        // An envelope that claims what would take all the memory there is, were it given for the asking.
        byte[] claim = upload[..64];
        BitConverter.GetBytes(60UL << 20).CopyTo(claim, 16);
        BitConverter.GetBytes(60UL << 20).CopyTo(claim, 24);
        byte[] half = Encoding.ASCII.GetBytes("POST /api/v1/profiles HTTP/1.1\r\nHost: loc");
        byte[] body =
        [
            .. Encoding.ASCII.GetBytes(
                $"POST /api/v1/profiles HTTP/1.1\r\nHost: localhost\r\nContent-Type: {ApiMediaTypes.Branches}\r\nContent-Length: {64 + (60 << 20)}\r\n\r\n"),
            .. claim, .. new byte[20_000],
        ];
        List<Socket> clients = [];
        try
        {
            for (int i = 0; i < 1000; i++)
            {
                Socket client = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
                clients.Add(client);
                await client.ConnectAsync(server.Address.Host, server.Address.Port);
                if (i % 4 != 0)
                    await client.SendAsync(i % 2 == 0 ? half : body);
            }
            // Who must wait for memory is refused after 20 s; nobody must for what others only claim.
            for (int minute = 0; minute < 50; minute++)
                await server.UploadAsync(Uploads.Set(minute: minute));
            Assert.Contains("search", await server.Http.GetStringAsync("api/v1/services"), StringComparison.Ordinal);
            Assert.True(ResidentKib(server) < 600 << 10, $"{ResidentKib(server) >> 10} MiB resident");
        }
        finally
        {
            foreach (Socket client in clients)
                client.Dispose();
        }
        Assert.Equal(0, server.Terminate());
        Assert.Empty(Directory.GetFiles(folder["data/blobs/tmp"]));
    }

    public void Dispose() => folder.Dispose();
}
