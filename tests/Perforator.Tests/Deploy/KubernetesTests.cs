using System.Net;
using System.Net.Http.Headers;
using k8s;
using k8s.Models;
using Perforator.Branches;
using Perforator.Tests.Infrastructure;
using Perforator.Tests.Server;

namespace Perforator.Tests.Deploy;

public sealed class KubernetesTests
{
    private static string Chart { get; } = Path.Combine(Tool.RepositoryRoot(), "deploy", "helm", "perforator");

    private static string Tools { get; } = Path.Combine(Tool.RepositoryRoot(), "artifacts", "kubernetes");

    private static string Values(string name) => Path.Combine(Chart, "ci", $"{name}-values.yaml");

    private static ToolResult Helm(params string[] arguments)
    {
        string helm = Path.Combine(Tools, "helm");
        Skip.If(!File.Exists(helm), $"{helm} is not there; eng/kubernetes-tools gets it");
        using TemporaryFolder home = new();
        return Tool.Run(helm, arguments, environment: new Dictionary<string, string> { ["HOME"] = home.Path });
    }

    /// <summary>The manifests; what they say that Kubernetes does not know makes it throw.</summary>
    private static List<object> Manifests(string values, params string[] more) =>
        KubernetesYaml.LoadAllFromString(
            Helm(["template", "pf", Chart, "--namespace", "prod", "--values", Values(values), .. more]).Succeeded().Output, strict: true);

    [SkippableTheory]
    [InlineData("full", 16)]
    [InlineData("least", 14)]
    public void The_chart_makes_manifests_that_helm_kubectl_and_the_schemas_take(string values, int count)
    {
        Helm("lint", "--strict", Chart, "--values", Values(values)).Succeeded();
        Assert.Equal(count, Manifests(values).Count);

        string yaml = Helm("template", "pf", Chart, "--values", Values(values)).Succeeded().Output;
        ToolResult json =
            Tool.Run(Path.Combine(Tools, "kubectl"), ["label", "--local", "--filename", "-", "--output", "json", "tested=yes"], yaml)
                .Succeeded();
        Tool.Require("node");
        ToolResult checks =
            Tool.Run("node", [Path.Combine(
                Tool.RepositoryRoot(), "tests", "Perforator.Tests", "Deploy", "validate-manifests.mjs"), Tools], json.Output);
        Assert.Equal((0, $"{count} manifests\n"), (checks.ExitCode, checks.Output));
    }

    [SkippableFact]
    public void Values_are_checked()
    {
        Assert.Contains("/image/repository", Helm("template", "pf", Chart).Error, StringComparison.Ordinal);
        Assert.Contains(
            "additional properties 'nonsense' not allowed",
            Helm("template", "pf", Chart, "--values", Values("least"), "--set", "api.nonsense=1").Error, StringComparison.Ordinal);
    }

    [SkippableFact]
    public void Containers_have_the_powers_they_need_and_no_more()
    {
        List<object> manifests = Manifests("full");
        V1PodSpec agent = Assert.Single(manifests.OfType<V1DaemonSet>()).Spec.Template.Spec;
        V1PodSpec[] servers = [.. manifests.OfType<V1Deployment>().Select(static deployment => deployment.Spec.Template.Spec)];
        Assert.Equal(2, servers.Length);
        Assert.True(agent.HostPID);
        Assert.Equal(["PERFMON", "SYS_PTRACE", "DAC_READ_SEARCH"], agent.Containers[0].SecurityContext.Capabilities.Add);
        foreach (V1PodSpec pod in servers)
            Assert.Equal((true, null), (pod.SecurityContext.RunAsNonRoot, pod.Containers[0].SecurityContext.Capabilities.Add));
        foreach (V1PodSpec pod in servers.Append(agent))
        {
            Assert.Equal((false, true), (pod.AutomountServiceAccountToken, pod.Containers[0].SecurityContext.ReadOnlyRootFilesystem));
            Assert.Equal(["ALL"], pod.Containers[0].SecurityContext.Capabilities.Drop);
        }

        // Every option that a container is started with is one.
        foreach (V1Container container in servers.Append(agent).Select(static pod => pod.Containers[0]))
        {
            string help = Tool.Cli(container.Args[0], "--help").Succeeded().Output;
            Assert.All(container.Args.Skip(1).Where(static argument => argument.StartsWith("--", StringComparison.Ordinal)),
                argument => Assert.Contains($"{argument.Split('=')[0]} ", help, StringComparison.Ordinal));
        }
    }

    /// <summary>What the values say of services and plans is read by a real agent and a real server.</summary>
    [SkippableFact]
    public async Task Rules_and_pinned_rates_of_the_values_are_the_agent_s_and_the_server_s()
    {
        using TemporaryFolder folder = new();
        List<object> manifests = Manifests("full");
        string Content(string key) => Assert.Single(manifests.OfType<V1ConfigMap>(), map => map.Data.ContainsKey(key)).Data[key];
        V1PodSpec agent = Assert.Single(manifests.OfType<V1DaemonSet>()).Spec.Template.Spec;
        Assert.Contains("--services=/etc/perforator/services/services.yaml", agent.Containers[0].Args);
        ToolResult dry =
            Tool.Cli("agent", "--services", folder.Write("services.yaml", Content("services.yaml")), "--dry-run", "--json").Succeeded();
        Assert.Contains("\"tier\": \"front\"", dry.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("left out", dry.Error, StringComparison.Ordinal);
        Assert.Contains("\"service\": null", dry.Output, StringComparison.Ordinal);

        Assert.Single(
            manifests.OfType<V1Deployment>(),
            static server => server.Spec.Template.Spec.Containers[0].Args.Contains("--enrol=/etc/perforator/enrol/enrol.yaml"));
        using ServerProcess server = ServerProcess.Start(folder["data"], 0, "--enrol", folder.Write("enrol.yaml", Content("enrol.yaml")));
        string plan = await server.Http.GetStringAsync("api/v1/plan?host=node-1&service=batch&service=search-web");
        Assert.Contains("\"holdSeconds\":7200", plan, StringComparison.Ordinal);
        Assert.Contains("\"rate\":0.25", plan, StringComparison.Ordinal);
        Assert.Contains("\"team\":\"search\"", plan, StringComparison.Ordinal);
        Assert.DoesNotContain("enrol", server.Error, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task A_server_with_the_chart_s_access_file_takes_profiles_from_the_agent_s_service_account_alone()
    {
        using TemporaryFolder folder = new();
        using TestAuthority cluster = new("cluster");
        string keys = folder.Write("keys.json", cluster.KeySet);
        List<object> manifests = Manifests("full", "--set-file", $"auth.keys={keys}");
        V1Secret access = Assert.Single(manifests.OfType<V1Secret>());
        Assert.Equal(cluster.KeySet, access.StringData["keys.json"]);
        string file =
            folder.Write(
                "access.yaml",
                access.StringData["access.yaml"].Replace("/etc/perforator/access/keys.json", keys, StringComparison.Ordinal));

        V1PodSpec agent = Assert.Single(manifests.OfType<V1DaemonSet>()).Spec.Template.Spec;
        string audience =
            Assert.Single(
                agent.Volumes.Single(static volume => volume.Projected is not null).Projected.Sources).ServiceAccountToken.Audience;
        using ServerProcess server = ServerProcess.Start(folder["data"], 0, "--auth", file, "--insecure");
        foreach ((string account, HttpStatusCode answer) in new[] { (agent.ServiceAccountName, HttpStatusCode.OK), ("default", HttpStatusCode.Unauthorized) })
        {
            server.Http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer",
                cluster.Token(
                    "https://kubernetes.default.svc.cluster.local", audience, $"system:serviceaccount:prod:{account}",
                    TimeSpan.FromMinutes(10)));
            using HttpResponseMessage response = await server.PostAsync(BranchProfileCodec.Encode(Uploads.Set()));
            Assert.Equal(answer, response.StatusCode);
        }
    }
}
