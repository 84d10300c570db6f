using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Perforator.Api;
using Perforator.Branches;
using Perforator.Tests.Infrastructure;
using Perforator.Tests.Recording;

namespace Perforator.Tests.EndToEnd;

/// <summary>An agent's spool with real servers, real kills and a real full disk.</summary>
public class AgentSpoolTests(TargetProgram program) : IClassFixture<TargetProgram>
{
    /// <summary>Passes on what clients send, and nothing of what the server answers.</summary>
    private sealed class SilentProxy : IDisposable
    {
        private readonly TcpListener listener = new(IPAddress.Loopback, 0);
        private readonly Uri server;
        private long bytes;

        public SilentProxy(Uri server)
        {
            this.server = server;
            listener.Start();
            _ = AcceptAsync();
        }

        public string Address => $"http://{listener.LocalEndpoint}";

        /// <summary>Bytes that the server has answered.</summary>
        public long Answered => Volatile.Read(ref bytes);

        public void Dispose() => listener.Dispose();

        private async Task AcceptAsync()
        {
            try
            {
                while (true)
                    _ = PassOnAsync(await listener.AcceptTcpClientAsync());
            }
            catch (Exception e) when (e is ObjectDisposedException or SocketException)
            {
            }
        }

        private async Task PassOnAsync(TcpClient client)
        {
            using TcpClient inner = new(server.Host, server.Port);
            Task reading = SwallowAsync(inner.GetStream());
            await client.GetStream().CopyToAsync(inner.GetStream());
            await reading;
        }

        private async Task SwallowAsync(NetworkStream answers)
        {
            byte[] buffer = new byte[4096];
            while (await answers.ReadAsync(buffer) is var read and > 0)
                Interlocked.Add(ref bytes, read);
        }
    }

    private static string[] Waiting(string spool) => Directory.Exists(spool) ? Directory.GetFiles(spool, "*.branches") : [];

    [Fact]
    public void An_agent_killed_between_writing_and_the_answer_loses_nothing_and_nothing_counts_twice()
    {
        using TemporaryFolder folder = new();
        using ServerProcess server = ServerProcess.Start(folder["server"], 0, ServerProcess.WantsAll(folder));
        using SilentProxy proxy = new(server.Address);
        using RunningTarget target = program.Start();
        string[] spool = ["--spool", folder["spool"]];
        using (AgentProcess agent = new(["--server", proxy.Address, "--service", $"target={program.Path}", .. spool]))
        {
            AgentProcess.WaitFor(() => proxy.Answered > 0 && Waiting(folder["spool"]).Length >= 3, () => agent.Error);
            agent.Kill();
        }
        target.EndAndCheck();
        ulong samples = Waiting(folder["spool"]).Aggregate(0UL, static (sum, file) => sum + BranchProfileCodec.Load(file).TotalSamples);
        int profiles = Waiting(folder["spool"]).Length;

        using AgentProcess next = new(["--server", server.Address.ToString(), "--service", "nothing", .. spool]);
        AgentProcess.WaitFor(() => Waiting(folder["spool"]).Length == 0, () => next.Error);
        next.End();
        ServiceSummary counted =
            Assert.Single(
                JsonSerializer.Deserialize(server.Cli("services", "--json").Output, ApiJson.Default.IReadOnlyListServiceSummary)!);
        Assert.Equal((samples, profiles), (counted.Samples, (int)counted.Profiles));
    }

    [Fact]
    public void While_the_server_is_away_profiles_wait_and_one_that_comes_back_without_binaries_gets_them_again()
    {
        using TemporaryFolder folder = new();
        using RunningTarget target = program.Start();
        ServerProcess first = ServerProcess.Start(folder["server"], 0, ServerProcess.WantsAll(folder));
        Uri address = first.Address;
        using AgentProcess agent = new("--server", address.ToString(), "--service", $"target={program.Path}");
        AgentProcess.WaitFor(() => AgentProcess.MainBuild(first, "target") is { HasBinary: true, Branches: > 0 }, () => agent.Error);
        first.Dispose();
        agent.WaitFor("cannot reach the server");
        using ServerProcess restored = ServerProcess.Start(folder["restored"], address.Port, ServerProcess.WantsAll(folder));
        AgentProcess.WaitFor(() => AgentProcess.MainBuild(restored, "target") is { HasBinary: true, Branches: > 0 }, () => agent.Error);
        agent.WaitFor("the server takes profiles again");
        agent.End();
        target.EndAndCheck();
        Assert.DoesNotContain("dropped", agent.Error, StringComparison.Ordinal);
    }

    [SkippableFact]
    public void A_full_disk_is_said_once_and_the_agent_goes_on_sending()
    {
        Tool.Require("unshare");
        Skip.If(Tool.Run("unshare", ["-m", "true"]).ExitCode != 0, "a small file system of its own takes CAP_SYS_ADMIN");
        using TemporaryFolder folder = new();
        Uri address;
        using (ServerProcess before = ServerProcess.Start(folder["server"], 0, ServerProcess.WantsAll(folder)))
            address = before.Address;
        string spool = Directory.CreateDirectory(folder["spool"]).FullName;
        using RunningTarget target = program.Start();
        // Room for the trial at the start and for little more.
        string command = $"mount -t tmpfs -o size=12k tmpfs {spool} && exec \"$@\"";
        using AgentProcess agent = new(new ProcessStartInfo("unshare",
            ["-m", "sh", "-c", command, "sh", Tool.Perforator, .. AgentProcess.Arguments(
                "--server", address.ToString(), "--service", $"target={program.Path}", "--spool", spool)]));
        agent.WaitFor($"the spool {spool} cannot be used: ");
        using ServerProcess server = ServerProcess.Start(folder["server"], address.Port, ServerProcess.WantsAll(folder));
        AgentProcess.WaitFor(() => AgentProcess.MainBuild(server, "target") is { Profiles: > 1 }, () => agent.Error);
        agent.End();
        target.EndAndCheck();
        Assert.DoesNotContain("dropped", agent.Error, StringComparison.Ordinal);
    }
}
