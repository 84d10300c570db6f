using System.Net;
using Perforator.Tests.Infrastructure;
using Perforator.Tests.Server;

namespace Perforator.Tests.EndToEnd;

/// <summary>Several server processes on one database and one bucket.</summary>
public sealed class FleetServerTests(LoopProgram program) : IClassFixture<LoopProgram>
{
    [Fact]
    public async Task Replicas_and_a_worker_give_the_answers_of_one_process()
    {
        using TemporaryFolder folder = new();
        string[] fleet = ["--database", Engines.NewDatabase(), "--objects", Engines.NewObjects()];
        using ServerProcess alone = ServerProcess.Start(folder["alone"]);
        using ServerProcess one = ServerProcess.Start(folder["one"], 0, [.. fleet, "--role", "api"]);
        using ServerProcess two = ServerProcess.Start(folder["two"], 0, [.. fleet, "--role", "api"]);
        byte[] binary = await File.ReadAllBytesAsync(program.Binary);
        foreach (ServerProcess server in new[] { alone, one })
            using (HttpResponseMessage response = await server.PutBinaryAsync(program.BuildId.ToString(), binary))
                Assert.Equal(HttpStatusCode.Created, response.StatusCode);
        for (int minute = 0; minute < 6; minute++)
        {
            await alone.UploadAsync(program.Recorded(rounds: 1000, minute));
            await (minute % 2 == 0 ? one : two).UploadAsync(program.Recorded(rounds: 1000, minute));
            // The same again, to the other replica, counts once.
            Assert.True((await two.UploadAsync(program.Recorded(rounds: 1000, minute))).Duplicate || minute % 2 != 0);
        }

        // A worker that dies with the task leaves it to the next one.
        Task<ToolResult> asked = Task.Run(() => Pgo(two, folder));
        using (ServerProcess dies = ServerProcess.Start(folder["dies"], 0, [.. fleet, "--role", "worker"]))
            dies.Kill();
        using ServerProcess worker = ServerProcess.Start(folder["worker"], 0, [.. fleet, "--role", "worker"]);
        string profile = (await asked).Succeeded().Output.Trim();
        Assert.Equal(await File.ReadAllBytesAsync(Pgo(alone, folder).Succeeded().Output.Trim()), await File.ReadAllBytesAsync(profile));
        Assert.Equal(profile, Pgo(one, folder).Succeeded().Output.Trim());
        using (HttpResponseMessage response = await worker.Http.GetAsync("api/v1/services"))
            Assert.Equal(HttpStatusCode.NotFound, response.StatusCode);
        Assert.Equal(0, one.Terminate());
        Assert.Equal(0, worker.Terminate());
    }

    private static ToolResult Pgo(ServerProcess server, TemporaryFolder folder) => Tool.Run(
        Tool.Perforator, ["pgo", "loop", "--server", server.Address.ToString()],
        environment: new Dictionary<string, string> { ["XDG_CACHE_HOME"] = folder["cache"] });

    [Theory]
    [InlineData("--role worker", "give both")]
    [InlineData("--database postgres://h/d", "belong together")]
    [InlineData("--objects s3://b", "belong together")]
    public void What_does_not_go_together_is_said_in_one_line(string options, string reason)
    {
        using TemporaryFolder folder = new();
        ToolResult result = Tool.Cli(["serve", "--data", folder["data"], "--port", "0", .. options.Split(' ')]);
        Assert.Equal((1, ""), (result.ExitCode, result.Output));
        Assert.Contains(reason, result.Error, StringComparison.Ordinal);
        Assert.Single(result.Error.Trim().Split('\n'));
    }
}
