using System.Net;
using System.Text.Json;
using Perforator.Api;
using Perforator.Branches;
using Perforator.Tests.Infrastructure;
using Perforator.Tests.Server;

namespace Perforator.Tests.EndToEnd;

/// <summary>
/// A disk changes bytes of what a server keeps: it is found when it is read, named, moved aside, and healed by what is sent or made again.
/// </summary>
public sealed class ServerDamageTests(LoopProgram program) : IClassFixture<LoopProgram>, IDisposable
{
    private readonly TemporaryFolder folder = new();

    /// <summary>Changes one byte in the middle of the only file in a folder; gives its name.</summary>
    private string Damage(string of)
    {
        string path = Assert.Single(Directory.GetFiles(folder[$"data/blobs/{of}"]));
        byte[] bytes = File.ReadAllBytes(path);
        bytes[bytes.Length / 2] ^= 1;
        File.WriteAllBytes(path, bytes);
        return Path.GetFileName(path);
    }

    private bool IsAside(string of, string name) => File.Exists(folder[$"data/blobs/quarantine/{of}/{name}"]);

    private static async Task<PgoAnswer> PgoAsync(ServerProcess server)
    {
        using HttpResponseMessage response = await server.Http.GetAsync("api/v1/services/loop/pgo?format=text");
        string body = await response.Content.ReadAsStringAsync();
        Assert.True(response.StatusCode == HttpStatusCode.OK, body);
        return JsonSerializer.Deserialize(body, ApiJson.Default.PgoAnswer)!;
    }

    [Fact]
    public async Task What_a_disk_damaged_is_named_moved_aside_and_healed()
    {
        using ServerProcess server = ServerProcess.Start(folder["data"]);
        string buildId = program.BuildId.ToString();
        byte[] binary = await File.ReadAllBytesAsync(program.Binary);
        (await server.PutBinaryAsync(buildId, binary)).Dispose();
        await server.UploadAsync(program.Recorded(rounds: 1000));
        string hash = (await PgoAsync(server)).Profile;

        // A result is made again.
        string damaged = Damage("results");
        Assert.Equal(HttpStatusCode.NotFound, (await server.Http.GetAsync($"api/v1/results/{hash}")).StatusCode);
        Assert.True(IsAside("results", damaged));
        Assert.Equal(hash, (await PgoAsync(server)).Profile);
        Damage("results");
        Assert.Equal(hash, (await PgoAsync(server)).Profile);
        Assert.Equal(HttpStatusCode.OK, (await server.Http.GetAsync($"api/v1/results/{hash}")).StatusCode);

        // A profile that is sent again heals though nobody has read it in between, and one that was read.
        Damage("packs");
        Assert.False((await server.UploadAsync(program.Recorded(rounds: 1000))).Duplicate);
        Assert.True((await server.UploadAsync(program.Recorded(rounds: 1000))).Duplicate);
        string pack = Assert.Single(Directory.GetFiles(folder["data/blobs/packs"]));
        await server.UploadAsync(program.Recorded(rounds: 7, minute: 1));
        File.WriteAllText(pack, "nothing of the kind");
        PgoAnswer less = await PgoAsync(server);
        Assert.True(Tells(less, "stored profile that can no longer be read"));
        Assert.True(
            IsAside("profiles", $"{BranchProfileCodec.ContentHash(BranchProfileCodec.Encode(program.Recorded(rounds: 1000)))}.branches"));
        Assert.False((await server.UploadAsync(program.Recorded(rounds: 1000))).Duplicate);
        PgoAnswer all = await PgoAsync(server);
        Assert.False(Tells(all, "stored profile that can no longer be read"));
        Assert.NotEqual(less.Profile, all.Profile);

        // A binary is asked for again, the service is shown meanwhile, and the same bytes give the same profile.
        damaged = Damage("binaries");
        using (HttpResponseMessage response = await server.Http.GetAsync("api/v1/services/loop/pgo?format=text&halfLife=3"))
        {
            Assert.Equal(HttpStatusCode.Conflict, response.StatusCode);
            Assert.Contains("upload it", await response.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        }
        Assert.True(IsAside("binaries", damaged));
        Assert.Contains(buildId, await server.Http.GetStringAsync("api/v1/services/loop"), StringComparison.Ordinal);
        Assert.Equal([buildId], (await server.UploadAsync(program.Recorded(rounds: 1, minute: 2))).WantedBinaries);
        using (HttpResponseMessage response = await server.PutBinaryAsync(buildId, binary))
            Assert.Equal(HttpStatusCode.Created, response.StatusCode);
        Assert.Empty((await server.UploadAsync(program.Recorded(rounds: 1, minute: 2))).WantedBinaries);
        await PgoAsync(server);
        Assert.Equal(0, server.Terminate());
        Assert.Contains($"results/{hash}.profile is damaged", server.Error, StringComparison.Ordinal);
        Assert.Contains($"binaries/{damaged} is damaged", server.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_service_whose_every_profile_is_damaged_says_so_and_heals()
    {
        using ServerProcess server = ServerProcess.Start(folder["data"]);
        (await server.PutBinaryAsync(program.BuildId.ToString(), await File.ReadAllBytesAsync(program.Binary))).Dispose();
        await server.UploadAsync(program.Recorded(rounds: 1000));
        Damage("packs");
        for (int time = 0; time < 2; time++)
            using (HttpResponseMessage response = await server.Http.GetAsync("api/v1/services/loop/pgo?format=text"))
            {
                Assert.Equal(HttpStatusCode.Conflict, response.StatusCode);
                Assert.Contains("loop", await response.Content.ReadAsStringAsync(), StringComparison.Ordinal);
            }
        Assert.False((await server.UploadAsync(program.Recorded(rounds: 1000))).Duplicate);
        await PgoAsync(server);
    }

    private static bool Tells(PgoAnswer answer, string loss) => answer.Report.ToString().Contains(loss, StringComparison.Ordinal);

    public void Dispose() => folder.Dispose();
}
