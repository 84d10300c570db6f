using System.Net;
using System.Text.Json;
using Perforator.Api;
using Perforator.Branches;
using Perforator.Tests.Infrastructure;
using Perforator.Tests.Server;

namespace Perforator.Tests.EndToEnd;

/// <summary>The disk under a server fills up, or lets nothing be written: what was acknowledged stays, what can be read is, and the reason is told.</summary>
public sealed class ServerDiskTests : IDisposable
{
    private readonly TemporaryFolder folder = new();
    private readonly bool isMounted;

    public ServerDiskTests()
    {
        Directory.CreateDirectory(folder["disk"]);
        isMounted = Environment.UserName == "root" && Tool.Run("mount", ["-t", "tmpfs", "-o", "size=8m", "tmpfs", folder["disk"]]).ExitCode == 0;
    }

    private string Data => folder["disk/data"];

    private void Fill()
    {
        using FileStream filler = new(folder["disk/filler"], FileMode.Append, FileAccess.Write, FileShare.None, 0);
        try
        {
            while (true)
                filler.Write(new byte[4096]);
        }
        catch (IOException)
        {
            // It is full.
        }
    }

    private static async Task<(HttpStatusCode Status, string Detail)> PostAsync(ServerProcess server, BranchProfileSet set)
    {
        using HttpResponseMessage response = await server.PostAsync(BranchProfileCodec.Encode(set));
        string body = await response.Content.ReadAsStringAsync();
        if (response.IsSuccessStatusCode)
            return (response.StatusCode, "");
        Assert.True(response.Headers.RetryAfter is not null, $"{response.StatusCode} without Retry-After: {body}");
        return (response.StatusCode, JsonSerializer.Deserialize(body, ApiJson.Default.Problem)!.Detail!);
    }

    private static async Task<ulong> SamplesAsync(ServerProcess server) =>
        BranchProfileCodec.Decode(await server.Http.GetByteArrayAsync("api/v1/services/search/branches")).Profiles.Values.Single().Samples;

    /// <summary>A set with something in it, so that files take more than a page.</summary>
    private static BranchProfileSet Large(int minute)
    {
        BranchProfileSet set = Uploads.Set(minute: minute);
        Random random = new(minute);
        for (int i = 0; i < 4000; i++)
            set.Profiles.Values.Single().AddBranch(new((ulong)random.Next(1 << 28)), new((ulong)random.Next(1 << 28)), (ulong)random.Next(1, 1000));
        return set;
    }

    [SkippableFact]
    public async Task On_a_full_disk_uploads_are_refused_with_the_reason_and_all_else_goes_on()
    {
        Skip.IfNot(isMounted, "only root may mount a small disk for this test");
        ulong acknowledged = 0;
        int minute = 0;
        using (ServerProcess server = ServerProcess.Start(Data))
        {
            // Filled by the uploads themselves, then to the last byte by others.
            File.WriteAllBytes(folder["disk/ballast"], new byte[2 << 20]);
            while (await PostAsync(server, Large(minute)) is { Status: HttpStatusCode.OK })
            {
                acknowledged += 10;
                Assert.True(minute++ < 1000, "the disk never filled");
            }
            Assert.True(acknowledged > 0);
            Fill();
            for (int i = 0; i < 5; i++)
            {
                (HttpStatusCode status, string detail) = await PostAsync(server, i % 2 == 0 ? Large(minute + i) : Uploads.Set(minute: minute + i));
                Assert.Equal(HttpStatusCode.InsufficientStorage, status);
                Assert.Contains("full", detail.Replace("No space left on device", "full", StringComparison.Ordinal), StringComparison.Ordinal);
            }
            using (HttpResponseMessage response = await server.PutBinaryAsync("aa01", new byte[1 << 20]))
                Assert.Equal(HttpStatusCode.InsufficientStorage, response.StatusCode);
            Assert.Equal(acknowledged, await SamplesAsync(server));
            Assert.Contains("search", await server.Http.GetStringAsync("api/v1/services"), StringComparison.Ordinal);
            // Room, and it goes on by itself.
            File.Delete(folder["disk/ballast"]);
            Assert.Equal((HttpStatusCode.OK, ""), await PostAsync(server, Uploads.Set(minute: 2000)));
            acknowledged += 10;
            Fill();
            server.Kill();
        }

        ToolResult start = Tool.Cli("serve", "--data", folder["disk/new"], "--port", "0");
        Assert.Equal((1, ""), (start.ExitCode, start.Output));
        Assert.Contains("full", start.Error.Replace("No space left on device", "full", StringComparison.Ordinal), StringComparison.Ordinal);
        Assert.Single(start.Error.Trim().Split('\n'));
        File.Delete(folder["disk/filler"]);
        using ServerProcess again = ServerProcess.Start(Data);
        Assert.Equal(acknowledged, await SamplesAsync(again));
    }

    [SkippableFact]
    public async Task A_start_on_a_read_only_disk_is_refused_with_the_reason_and_leaves_what_is_there()
    {
        Skip.IfNot(isMounted, "only root may mount a small disk for this test");
        using (ServerProcess server = ServerProcess.Start(Data))
            await server.UploadAsync(Uploads.Set());
        Tool.Run("mount", ["-o", "remount,ro", folder["disk"]]).Succeeded();
        foreach (string data in (string[])["disk/data", "disk/new"])
        {
            ToolResult start = Tool.Cli("serve", "--data", folder[data], "--port", "0");
            Assert.Equal((1, ""), (start.ExitCode, start.Output));
            Assert.Matches("(?i)read-only", start.Error);
            Assert.Contains(folder[data], start.Error, StringComparison.Ordinal);
            Assert.Single(start.Error.Trim().Split('\n'));
        }
        Tool.Run("mount", ["-o", "remount,rw", folder["disk"]]).Succeeded();
        using ServerProcess again = ServerProcess.Start(Data);
        Assert.Equal(10UL, await SamplesAsync(again));
    }

    public void Dispose()
    {
        if (isMounted)
            Tool.Run("umount", ["-l", folder["disk"]]);
        folder.Dispose();
    }
}
