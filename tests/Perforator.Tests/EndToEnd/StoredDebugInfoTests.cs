using System.Net;
using System.Text.Json;
using Perforator.Api;
using Perforator.Elf;
using Perforator.Tests.Infrastructure;
using Perforator.Tests.Server;

namespace Perforator.Tests.EndToEnd;

/// <summary>
/// Debug info that lies beside a binary reaches the server by <c>binaries put</c>, and gives the profile that a whole binary gives.
/// </summary>
public sealed class StoredDebugInfoTests(LoopProgram program) : IClassFixture<LoopProgram>, IDisposable
{
    private readonly TemporaryFolder folder = new();

    private static BuildId IdOf(string binary)
    {
        using ElfFile elf = ElfFile.Load(binary);
        return elf.BuildId;
    }

    private static async Task<PgoAnswer?> PgoAsync(ServerProcess server, string service)
    {
        using HttpResponseMessage response = await server.Http.GetAsync($"api/v1/services/{service}/pgo?format=text");
        string body = await response.Content.ReadAsStringAsync();
        return response.StatusCode == HttpStatusCode.OK ? JsonSerializer.Deserialize(body, ApiJson.Default.PgoAnswer)! : null;
    }

    [SkippableFact]
    public async Task What_dwz_shared_and_packages_of_split_units_are_used_once_they_are_put()
    {
        Tool.Require("dwz");
        Tool.Require("llvm-dwp-19");
        using ServerProcess server = ServerProcess.Start(folder["data"]);
        server.Cli("binaries", "put", program.Binary).Succeeded();
        await server.UploadAsync(program.Recorded(rounds: 1000, service: "whole"));
        string whole = (await PgoAsync(server, "whole"))!.Profile;

        string first = folder["first"], second = folder["second"], shared = folder["shared"];
        File.Copy(program.Compile("dwarf4", "-g", "-gdwarf-4"), first);
        File.Copy(first, second);
        Tool.Run("dwz", ["-m", shared, "-M", "shared", first, second]).Succeeded();
        server.Cli("binaries", "put", first).Succeeded();
        await server.UploadAsync(program.Recorded(rounds: 1000, service: "dwz", other: (IdOf(first), "/opt/loop")));
        const string Missing = "debug info that dwz moved to another file";
        if (await PgoAsync(server, "dwz") is { } without)
            Assert.Contains(Missing, without.Report.ToString(), StringComparison.Ordinal);
        server.Cli("binaries", "put", shared).Succeeded();
        PgoAnswer with = (await PgoAsync(server, "dwz"))!;
        Assert.DoesNotContain(Missing, with.Report.ToString(), StringComparison.Ordinal);
        Assert.Equal(whole, with.Profile);

        string split = program.Compile("split", "-g", "-gsplit-dwarf"), package = folder["split.dwp"];
        Tool.Run("llvm-dwp-19", ["-e", split, "-o", package]).Succeeded();
        string id = IdOf(split).ToString();
        server.Cli("binaries", "put", split).Succeeded();
        server.Cli("binaries", "put", package, "--build-id", id).Succeeded();
        await server.UploadAsync(program.Recorded(rounds: 1000, service: "split", other: (IdOf(split), "/opt/loop")));
        Assert.Equal(whole, (await PgoAsync(server, "split"))?.Profile);
    }

    public void Dispose() => folder.Dispose();
}
