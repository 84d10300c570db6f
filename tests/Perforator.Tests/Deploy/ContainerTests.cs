using System.Security.Cryptography.X509Certificates;
using System.Text.Json;
using System.Text.RegularExpressions;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Deploy;

/// <summary>One after the other with the tests of the package: both keep a machine busy.</summary>
[Collection(DebianPackageTests.Name)]
public sealed partial class ContainerTests
{
    [SkippableFact]
    public void The_image_s_server_runs_as_a_user_without_a_name_on_a_read_only_root_and_tells_its_health()
    {
        Tool.Require("buildah");
        Skip.If(Environment.UserName != "root", "building without user namespaces takes root");
        ToolResult namespaces = Tool.Run("unshare", ["--mount", "--net", "true"]);
        Skip.If(namespaces.ExitCode != 0, $"no mount and network namespaces here: {namespaces.Error}");
        string root = Tool.RepositoryRoot(), tests = Path.Combine(root, "tests", "Perforator.Tests", "Deploy");
        string containerfile = Path.Combine(root, "deploy", "container", "Containerfile");
        string health = JsonSerializer.Deserialize<string[]>(HealthCheck().Match(File.ReadAllText(containerfile)).Groups[1].Value)![2];

        using TemporaryFolder space = new();
        Directory.CreateDirectory(space["trial"]);
        File.Copy(Path.Combine(tests, "image-trial.sh"), space["trial/run"]);
        space.Write("trial/health", health);
        using TestAuthority authority = new("authority");
        using (X509Certificate2 own = authority.Issue("localhost"))
        {
            space.Write("trial/server.pem", own.ExportCertificatePem());
            space.Write("trial/server.key", own.GetRSAPrivateKey()!.ExportPkcs8PrivateKeyPem());
        }
        ToolResult result =
            Tool.Run("bash", [Path.Combine(tests, "run-image.sh"), containerfile, Path.GetDirectoryName(Tool.Perforator)!, space.Path]);
        Assert.Equal(
            """
            uid 12345, read-only
            unhealthy
            http://127.0.0.1:7733
            healthy
            ended with 0
            https://127.0.0.1:7733
            healthy
            ended with 0

            """, result.Succeeded().Output);

        using JsonDocument image = JsonDocument.Parse(File.ReadAllText(space["config"]));
        JsonElement config = image.RootElement.GetProperty("Docker").GetProperty("config");
        Assert.Equal(
            ("65532:65532", health),
            (config.GetProperty("User").GetString(), config.GetProperty("Healthcheck").GetProperty("Test")[3].GetString()));
    }

    [GeneratedRegex(@"^HEALTHCHECK .*?CMD (\[.*\])$", RegexOptions.Multiline)]
    private static partial Regex HealthCheck();
}
