using System.Net;
using System.Text;
using Perforator.Api;
using Perforator.Tests.Infrastructure;
using Perforator.Tests.Recording;

namespace Perforator.Tests.EndToEnd;

/// <summary>An agent before a server of another version or kind: it says once what is wrong, and goes on.</summary>
public sealed class StrangeServerTests(TargetProgram program) : IClassFixture<TargetProgram>
{
    private const string GoodPlan = """{"services":[],"holdSeconds":3600,"fallbackRate":1}""";

    /// <summary>Answers plans and uploads with what a test gives it, and has every binary.</summary>
    private sealed class Stub : IDisposable
    {
        private readonly HttpListener listener = new();
        private int uploads;

        public Stub()
        {
            Address = $"http://127.0.0.1:{Tool.FreePort()}/";
            listener.Prefixes.Add(Address);
            listener.Start();
            _ = AnswerAsync();
        }

        public string Address { get; }

        public volatile string Plan = GoodPlan;

        public volatile int PlanStatus = 200;

        public volatile string Receipt = """{"id":"x","duplicate":false,"wantedBinaries":[]}""";

        public volatile int ReceiptStatus = 200;

        /// <summary>Uploads that it has answered.</summary>
        public int Uploads => Volatile.Read(ref uploads);

        private async Task AnswerAsync()
        {
            try
            {
                while (true)
                {
                    HttpListenerContext context = await listener.GetContextAsync();
                    string path = context.Request.Url!.AbsolutePath.TrimStart('/');
                    (int status, string body) = path == ApiRoutes.Plan
                        ? (PlanStatus, Plan) : path == ApiRoutes.Profiles ? (ReceiptStatus, Receipt) : (404, "");
                    await context.Request.InputStream.CopyToAsync(Stream.Null);
                    (context.Response.StatusCode, context.Response.ContentType) = (status, "application/json");
                    await context.Response.OutputStream.WriteAsync(Encoding.UTF8.GetBytes(body));
                    context.Response.Close();
                    if (path == ApiRoutes.Profiles)
                        Interlocked.Increment(ref uploads);
                }
            }
            catch (Exception e) when (e is HttpListenerException or ObjectDisposedException or InvalidOperationException)
            {
            }
        }

        public void Dispose() => listener.Close();
    }

    [Theory]
    [InlineData(200, "{}", "cannot be read")]
    [InlineData(200, "[]", "cannot be read")]
    [InlineData(200, "<html>", "cannot be read")]
    [InlineData(200, """{"services":[null],"holdSeconds":1,"fallbackRate":1}""", "cannot be read")]
    [InlineData(200, """{"services":[{"service":"target","rate":1,"state":"new"}],"holdSeconds":1,"fallbackRate":1}""", "cannot be read")]
    [InlineData(200, """
        {"services":[{"service":"a","rate":1,"state":"new","labels":{}},{"service":"a","rate":1,"state":"new","labels":{}}],"holdSeconds":1,"fallbackRate":1}
        """, "cannot be read")]
    [InlineData(400, """{"detail":"a plan takes a password now"}""", "a plan takes a password now")]
    [InlineData(405, "", "is it a Perforator server?")]
    public void A_plan_that_is_none_is_told_and_profiles_are_sent_all_the_same(int status, string plan, string told)
    {
        using Stub server = new();
        (server.PlanStatus, server.Plan) = (status, plan);
        using RunningTarget target = program.Start();
        using AgentProcess agent = new("--server", server.Address, "--service", $"target=pid:{target.Id}");
        agent.WaitFor("no plan, so the last one or the fallback rate holds");
        agent.WaitFor(told);
        (server.PlanStatus, server.Plan) = (200, GoodPlan);
        AgentProcess.WaitFor(() => server.Uploads >= 3, () => $"{server.Uploads} uploads\n{agent.Error}");
        agent.End();
        Assert.Equal(1, agent.Error.Split("no plan, so").Length - 1);
    }

    /// <summary>An upgrade of the server, before or after its agents, loses nothing.</summary>
    [Theory]
    [InlineData(415, """{"detail":"version 1 is not known"}""", "version 1 is not known")]
    [InlineData(404, "", "answered 404 Not Found; is it a Perforator server?")]
    [InlineData(410, """{"detail":"profiles go to /api/v2"}""", "profiles go to /api/v2")]
    public void Profiles_that_a_server_of_another_version_does_not_take_wait_for_one_that_does(int status, string answer, string told)
    {
        using Stub server = new() { PlanStatus = 404, ReceiptStatus = status, Receipt = answer };
        using RunningTarget target = program.Start();
        using AgentProcess agent = new("--server", server.Address, "--service", $"target=pid:{target.Id}");
        agent.WaitFor(told);
        AgentProcess.WaitFor(() => server.Uploads >= 3, () => $"{server.Uploads} uploads\n{agent.Error}");
        server.Receipt = """{"id":"x","duplicate":false,"wantedBinaries":[]}""";
        server.ReceiptStatus = 200;
        agent.WaitFor("the server takes profiles again");
        agent.End();
        Assert.Equal((1, 1), (agent.Error.Split(told).Length - 1, agent.Error.Split("makes no plans").Length - 1));
        Assert.DoesNotContain("dropped", agent.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("{}")]
    [InlineData("null")]
    [InlineData("""{"id":"x","duplicate":false,"wantedBinaries":[],"plan":{"service":null}}""")]
    public void An_acknowledgement_that_is_none_is_told_and_the_profile_sent_again(string receipt)
    {
        using Stub server = new() { Receipt = receipt };
        using RunningTarget target = program.Start();
        using AgentProcess agent = new("--server", server.Address, "--service", $"target=pid:{target.Id}");
        agent.WaitFor("cannot be read");
        server.Receipt = """{"id":"x","duplicate":true,"wantedBinaries":[]}""";
        int before = server.Uploads;
        AgentProcess.WaitFor(() => server.Uploads >= before + 3, () => $"{server.Uploads} uploads, {before} before\n{agent.Error}");
        agent.End();
        Assert.DoesNotContain("dropped", agent.Error, StringComparison.Ordinal);
    }
}
