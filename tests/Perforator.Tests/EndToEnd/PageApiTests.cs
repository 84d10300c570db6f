using System.Net;
using System.Text.Json;
using Perforator.Api;
using Perforator.Branches;
using Perforator.Tests.Infrastructure;
using Perforator.Tests.Server;

namespace Perforator.Tests.EndToEnd;

/// <summary>What the page is made of: its files, and the API that it speaks, on the demo's recorded history.</summary>
public sealed class PageApiTests : IDisposable
{
    private readonly ServerProcess server = ServerProcess.StartDemo("--path-prefix", "/perforator");

    private async Task<T> GetAsync<T>(string path)
    {
        using HttpResponseMessage response = await server.Http.GetAsync("api/v1/" + path);
        string body = await response.Content.ReadAsStringAsync();
        Assert.True(response.IsSuccessStatusCode, body);
        return (T)JsonSerializer.Deserialize(body, ApiJson.Default.GetTypeInfo(typeof(T))!)!;
    }

    [Fact]
    public async Task The_demo_shows_each_state_with_its_reason_and_what_is_in_its_profiles()
    {
        FleetOverview fleet = await GetAsync<FleetOverview>("overview");
        Dictionary<string, string> states = fleet.Services.ToDictionary(static service => service.Service, static service => service.State);
        Assert.Equal(
            (ServiceState.Good, ServiceState.Stale, ServiceState.Biased, ServiceState.Thin, ServiceState.None),
            (states["logquery"], states["logquery-batch"], states["logquery-canary"], states["logquery-edge"], states["logquery-legacy"]));
        Assert.All(fleet.Services, static service => Assert.NotEmpty(service.Reasons[0]));
        Assert.Equal(fleet.Services.Count, fleet.Counts.Values.Sum());

        ServiceTimeline timeline = await GetAsync<ServiceTimeline>("services/logquery/timeline");
        Assert.Equal(90, timeline.Days.Count);
        TimelineBuild[] releases = [.. timeline.Builds.Where(static build => build.File == "logquery")];
        Assert.Equal(3, releases.Length);
        Assert.All(releases, static build => Assert.True(build.HasDebugInfo));
        Assert.NotNull(releases[2].Effect);
        Assert.Equal(["cluster", "cpu", "host", "source"], timeline.Labels.Select(static label => label.Name));
        Assert.Equal(3, (await GetAsync<IReadOnlyList<AgentSummary>>("agents")).Count(static agent => agent.Services.Contains("logquery")));

        string profile = fleet.Services[0].Profile!, at = $"services/logquery/pgo/{profile}";
        FunctionPage page = await GetAsync<FunctionPage>(at + "/functions?limit=10");
        Assert.Equal(10, page.Functions.Count);
        Assert.Equal(page.Functions.OrderByDescending(static function => function.Samples), page.Functions);
        Assert.InRange((await GetAsync<FunctionPage>(at + "/functions?q=Program")).Matched, 1, page.TotalFunctions - 1);
        FunctionDetail function = await GetAsync<FunctionDetail>($"{at}/functions/{page.Functions[0].Id}");
        Assert.Equal(page.Functions[0], function.Function);
        Assert.NotEmpty(function.Lines);

        ProfileTree tree = await GetAsync<ProfileTree>(at + "/tree"), beside = await GetAsync<ProfileTree>(
            $"{at}/tree?from={timeline.Profiles[0].Profile}");
        Assert.Equal(tree.TotalSamples, page.TotalSamples);
        Assert.InRange(
            tree.Nodes.Where(static node => node[0] < 0).Sum(static node => node[3]), 0.5 * tree.TotalSamples, 1.001 * tree.TotalSamples);
        for (int i = 0; i < tree.Nodes.Count; i++)
            Assert.True(tree.Nodes[i][0] < i);
        Assert.Contains(beside.Nodes, static node => node[4] > 0);
        using HttpResponseMessage unknown = await server.Http.GetAsync("api/v1/services/nobody/timeline");
        Assert.Equal(HttpStatusCode.NotFound, unknown.StatusCode);
    }

    [Fact]
    public async Task The_page_lies_at_the_root_and_below_the_prefix_under_a_strict_policy()
    {
        foreach (string path in (string[])["", "perforator/", "perforator/page.js", "vendor/preact.js", "vendor/uplot.css"])
        {
            using HttpResponseMessage response = await server.Http.GetAsync(path);
            Assert.Equal(HttpStatusCode.OK, response.StatusCode);
            string policy = Assert.Single(response.Headers.GetValues("Content-Security-Policy"));
            Assert.Contains("script-src 'self';", policy, StringComparison.Ordinal);
            Assert.DoesNotContain("unsafe", policy, StringComparison.Ordinal);
        }
        string page = await server.Http.GetStringAsync("");
        Assert.DoesNotMatch("(src|href)=\"(/|http)", page);
        Assert.Contains("\"services\"", await server.Http.GetStringAsync("perforator/api/v1/overview"), StringComparison.Ordinal);
        BranchProfileSet hostile = Uploads.Set("hostile", host: "<img src=x onerror=alert(1)>\u202e");
        await server.UploadAsync(hostile);
        Assert.DoesNotContain("<img", await server.Http.GetStringAsync("api/v1/agents"), StringComparison.Ordinal);
    }

    public void Dispose() => server.Dispose();
}
