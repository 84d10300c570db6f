using System.Diagnostics;
using System.Text.Json;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.EndToEnd;

/// <summary>The whole loop that eng/demo shows, smaller: a service under load, an agent, a server, a profile that clang takes.</summary>
public sealed class ServiceLoopTests : IDisposable
{
    private const string Flags = "-O2 -g -fdebug-info-for-profiling";

    /// <summary>Enough for every hot function of the sample to be seen.</summary>
    private const long EnoughBranches = 5_000;

    private readonly TemporaryFolder folder = new();

    [Fact]
    public void A_running_service_becomes_a_profile_that_clang_takes_without_a_warning()
    {
        string sources = Path.Combine(Tool.RepositoryRoot(), "samples", "logquery");
        Tool.Run("make", ["-s", "-j2", "-C", sources, "CXX=clang++-19", $"CXXFLAGS={Flags}", $"OUT={folder["build"]}"]).Succeeded();
        string binary = Path.Combine(folder["build"], "logquery");

        using ServerProcess server = ServerProcess.Start(folder["data"]);
        using BackgroundProgram service = BackgroundProgram.Start(binary, "--serve");
        using BackgroundProgram agent = BackgroundProgram.Start(
            Tool.Perforator, "agent", "--server", server.Address.ToString(), "--service", "logquery", "--interval", "1s", "--max-overhead",
            "100%");
        WaitForBranches(server, agent);
        Assert.Equal(0, agent.Terminate());
        Assert.Contains("source: ", agent.Output);
        int linesBefore = service.Output.Length;
        Assert.True(
            SpinWait.SpinUntil(() => service.Output.Length > linesBefore, TimeSpan.FromSeconds(20)), "the service no longer answers");
        Assert.False(service.HasExited, service.Output);

        EqualsPeer(binary, service);

        ToolResult pgo = server.Cli("pgo", "logquery", "--report", "-o", folder.Path).Succeeded();
        string profile = Assert.Single(pgo.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.Matches(@"/logquery\.[0-9a-f]+\.afdo$", profile);
        foreach (string field in new[] { "Service", "TotalProfiles", "TotalSamples", "TotalBranches", "BogusLbrEntries",
            "BranchCountMapSize", "RangeCountMapSize", "AddressCountMapSize", "TakenBranchesToExecutableBytesRatio" })
            Assert.Contains(field, pgo.Error);
        Assert.Equal(profile, server.Cli("pgo", "logquery", "-o", folder.Path).Succeeded().Output.TrimEnd());

        Assert.Contains("_ZNK8logquery7Program3run", Tool.Run("llvm-profdata-19", ["show", "--sample", profile]).Succeeded().Output);
        ToolResult compiled = Tool.Run("clang++-19", [.. Flags.Split(' '), "-std=c++20", "-Wall", "-Wextra", "-Werror",
            $"-fprofile-sample-use={profile}", "-S", "-emit-llvm", "-o", "-", Path.Combine(sources, "machine.cpp")]).Succeeded();
        Assert.Empty(compiled.Error);
        Assert.Contains("!\"SampleProfile\"", compiled.Output);
        Assert.Contains("!\"function_entry_count\"", compiled.Output);
        LeavesCalleesToTheOrdinaryInliner(server, profile);
    }

    public void Dispose() => folder.Dispose();

    private void LeavesCalleesToTheOrdinaryInliner(ServerProcess server, string profile)
    {
        ToolResult pgo = server.Cli("pgo", "logquery", "--late-inlining", "--report", "-o", folder.Path).Succeeded();
        string late = pgo.Output.TrimEnd();
        Assert.Matches(@"/logquery\.[0-9a-f]+\.afdo$", late);
        Assert.NotEqual(profile, late);
        Assert.Matches("[1-9][0-9,]* inlined copies are left to clang's ordinary inliner", pgo.Error);
        Tool.Cli("profile", "convert", profile, "--late-inlining", "-o", folder["converted"]).Succeeded();
        Assert.Equal(File.ReadAllBytes(folder["converted"]), File.ReadAllBytes(late));
        Tool.Run("llvm-profdata-19", ["show", "--sample", late]).Succeeded();
    }

    /// <summary>From the branch stacks really recorded of the service, llvm-profgen makes the same profile.</summary>
    private void EqualsPeer(string binary, BackgroundProgram service)
    {
        string data = folder["logquery.perf.data"], ours = folder["ours.txt"], peer = folder["peer.txt"];
        Tool.Cli("record", "--source", "software", "--max-overhead", "100%", "--duration", "3s", "-p", $"{service.Id}", "-o", data)
            .Succeeded();
        Tool.Cli("generate", "--binary", binary, "--perf-data", data, "--format", "text", "-o", ours).Succeeded();
        Tool.Run("llvm-profgen-19", ["--perfdata", data, "--binary", binary, "--format", "text", "-o", peer]).Succeeded();
        Assert.Equal(File.ReadAllText(peer), File.ReadAllText(ours));
    }

    private static void WaitForBranches(ServerProcess server, BackgroundProgram agent)
    {
        Stopwatch waited = Stopwatch.StartNew();
        while (true)
        {
            ToolResult services = server.Cli("services", "logquery", "--json");
            if (services.ExitCode == 0)
            {
                using JsonDocument answer = JsonDocument.Parse(services.Output);
                if (answer.RootElement.GetProperty("builds").EnumerateArray()
                    .Any(static build => build.GetProperty("branches").GetInt64() >= EnoughBranches))
                    return;
            }
            Assert.False(agent.HasExited, agent.Output);
            Assert.True(waited.Elapsed < TimeSpan.FromSeconds(90), $"too few branches after 90 s: {services.Output}{services.Error}\n{agent.Output}");
            Thread.Sleep(500);
        }
    }
}
