using System.Net;
using System.Text.Json;
using Perforator.Api;
using Perforator.Branches;
using Perforator.Tests.Infrastructure;
using Perforator.Tests.Server;

namespace Perforator.Tests.EndToEnd;

/// <summary>
/// The disk under a server fills up, or lets nothing be written: what was acknowledged stays, what can be read is, and the reason is told.
/// </summary>
public sealed class ServerDiskTests : IDisposable
{
    private readonly TemporaryFolder folder = new();
    private readonly bool isMounted;

    public ServerDiskTests()
    {
        Directory.CreateDirectory(folder["disk"]);
        isMounted = Environment.UserName == "root"
            && Tool.Run("mount", ["-t", "tmpfs", "-o", "size=8m", "tmpfs", folder["disk"]]).ExitCode == 0;
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
            set.Profiles.Values.Single()
                .AddBranch(new((ulong)random.Next(1 << 28)), new((ulong)random.Next(1 << 28)), (ulong)random.Next(1, 1000));
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
                (HttpStatusCode status, string detail) = await PostAsync(
                    server, i % 2 == 0 ? Large(minute + i) : Uploads.Set(minute: minute + i));
                Assert.Equal(HttpStatusCode.InsufficientStorage, status);
                Assert.Contains(
                    "full", detail.Replace("No space left on device", "full", StringComparison.Ordinal), StringComparison.Ordinal);
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

    /// <summary>
    /// A file system that found itself damaged lets nothing be written any more (ext4, errors=remount-ro), also by what a server had open
    /// for writing, until it is mounted anew. Before that, a folder that another mount makes read-only for a while.
    /// </summary>
    [SkippableFact]
    public async Task A_disk_that_becomes_read_only_under_a_server_is_told_and_what_is_there_goes_on_being_read()
    {
        string image = folder["image"], disk = folder["ext4"], data = folder["ext4/data"], loop = "";
        using (FileStream file = File.Create(image))
            file.SetLength(48 << 20);
        Directory.CreateDirectory(disk);
        Skip.IfNot(
            Environment.UserName == "root" && Tool.Run("mkfs.ext4", ["-q", image]).ExitCode == 0
            && (loop = Tool.Run("losetup", ["--find", "--show", image]).Output.Trim()).Length > 0
            && Tool.Run("mount", ["-o", "errors=remount-ro", loop, disk]).ExitCode == 0,
            "only root may mount a file system in a file for this test");
        try
        {
            using (ServerProcess server = ServerProcess.Start(data))
            {
                for (int i = 0; i < 5; i++)
                    await server.UploadAsync(Large(i));
                Tool.Run("mount", ["--bind", data, data]).Succeeded();
                Tool.Run("mount", ["-o", "remount,bind,ro", data]).Succeeded();
                await CheckReadOnlyAsync(server, 50);
                // What the server reads is open there.
                Tool.Run("umount", ["-l", data]).Succeeded();
                await UntilReadyAsync(server);
                Assert.Equal((HttpStatusCode.OK, ""), await PostAsync(server, Large(5)));

                File.WriteAllText($"/sys/fs/ext4/{Path.GetFileName(loop)}/trigger_fs_error", "1");
                await CheckReadOnlyAsync(server, 60);
                server.Terminate();
            }
            Tool.Run("umount", [disk]).Succeeded();
            Tool.Run("mount", [loop, disk]).Succeeded();
            using ServerProcess again = ServerProcess.Start(data);
            Assert.Equal(60UL, await SamplesAsync(again));
            await UntilReadyAsync(again);
            Assert.Equal((HttpStatusCode.OK, ""), await PostAsync(again, Large(6)));
        }
        finally
        {
            Tool.Run("umount", ["-l", data]);
            Tool.Run("umount", ["-l", disk]);
            Tool.Run("losetup", ["--detach", loop]);
        }
    }

    /// <summary>Somebody changes the mode or owner of what a server writes to; nothing of that kind stops root.</summary>
    [SkippableFact]
    public async Task A_folder_that_a_server_may_no_longer_write_to_is_told_like_a_disk_and_it_goes_on_afterwards()
    {
        string[] nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
        Tool.Run("chmod", ["711", folder.Path]);
        Skip.IfNot(
            Environment.UserName == "root" && Tool.Run(nobody[0], [.. nobody[1..], "test", "-x", Tool.Perforator]).ExitCode == 0
            && Tool.Run("install", ["-d", "-o", "65534", "-g", "65534", "-m", "700", folder["nobody's"]]).ExitCode == 0,
            "only root may start a server as another user for this test");
        using ServerProcess server = ServerProcess.Start(nobody, new Dictionary<string, string>(), folder["nobody's"]);
        await server.UploadAsync(Large(0));
        foreach (string closed in (string[])["tmp", "packs"])
        {
            Tool.Run("chmod", ["500", folder[$"nobody's/blobs/{closed}"]]).Succeeded();
            (HttpStatusCode status, string detail) = await PostAsync(server, Large(1));
            Assert.Equal(HttpStatusCode.InsufficientStorage, status);
            Assert.Contains("denied", detail, StringComparison.Ordinal);
            Assert.Equal(10UL, await SamplesAsync(server));
            if (closed == "tmp")
                Assert.Contains("denied", await UntilReadyAsync(server, HttpStatusCode.ServiceUnavailable), StringComparison.Ordinal);
            Tool.Run("chmod", ["700", folder[$"nobody's/blobs/{closed}"]]).Succeeded();
        }
        await UntilReadyAsync(server);
        Assert.Equal((HttpStatusCode.OK, ""), await PostAsync(server, Large(1)));
        Assert.Equal(20UL, await SamplesAsync(server));
    }

    private static async Task CheckReadOnlyAsync(ServerProcess server, ulong samples)
    {
        for (int i = 0; i < 3; i++)
        {
            (HttpStatusCode status, string detail) = await PostAsync(server, i == 0 ? Large(100 + i) : Uploads.Set(minute: 100 + i));
            Assert.Equal(HttpStatusCode.InsufficientStorage, status);
            Assert.Matches("(?i)read-only", detail);
        }
        using (HttpResponseMessage response = await server.PutBinaryAsync("aa01", new byte[1 << 20]))
            Assert.Equal(HttpStatusCode.InsufficientStorage, response.StatusCode);
        Assert.Matches("(?i)read-only", await UntilReadyAsync(server, HttpStatusCode.ServiceUnavailable));
        using (HttpResponseMessage response = await server.Http.GetAsync("healthz"))
            Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        // As many at once as need connections of their own to the database.
        foreach (Task<ulong> read in (Task<ulong>[])[.. Enumerable.Range(0, 8).Select(_ => SamplesAsync(server))])
            Assert.Equal(samples, await read);
        Assert.Contains("search", await server.Http.GetStringAsync("api/v1/services"), StringComparison.Ordinal);
        Assert.Contains("perforator_storage_errors_total", await server.Http.GetStringAsync("metrics"), StringComparison.Ordinal);
    }

    /// <summary>Waits until /readyz answers with a status, which it does for a second after it has last looked; gives the answer.</summary>
    private static async Task<string> UntilReadyAsync(ServerProcess server, HttpStatusCode status = HttpStatusCode.OK)
    {
        DateTime end = DateTime.UtcNow + TimeSpan.FromSeconds(60);
        while (true)
        {
            using HttpResponseMessage response = await server.Http.GetAsync("readyz");
            string body = await response.Content.ReadAsStringAsync();
            if (response.StatusCode == status)
                return body;
            Assert.True(DateTime.UtcNow < end, body);
            await Task.Delay(100);
        }
    }

    public void Dispose()
    {
        if (isMounted)
            Tool.Run("umount", ["-l", folder["disk"]]);
        folder.Dispose();
    }
}
