using System.Text.Json;
using Perforator.Api;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Deploy;

[Collection(DebianPackageTests.Name)]
public sealed class SystemdTests(DebianPackage package)
{
    private static string SourceFile(string name) => Path.Combine(Tool.RepositoryRoot(), "tests", "Perforator.Tests", "Deploy", name);

    /// <summary>Exposure in tenths, as systemd-analyze rates it: 0 is none, 100 a service without any bounds.</summary>
    [SkippableTheory]
    [InlineData("perforator-server", 14)]
    [InlineData("perforator-agent", 28)]
    [InlineData("perforator-agent-hardware", 25)]
    public void A_unit_is_hardened(string unit, int threshold)
    {
        Tool.Require("systemd-analyze");
        string file = Path.Combine(Tool.RepositoryRoot(), "deploy", "systemd", $"{unit}.service");
        ToolResult result = Tool.Run("systemd-analyze", ["security", "--offline=true", $"--threshold={threshold}", "--no-pager", file]);
        Assert.True(result.ExitCode == 0, $"{result.Output[Math.Max(0, result.Output.LastIndexOf('→'))..]}{result.Error}");
    }

    [SkippableFact]
    public void On_a_booted_host_the_units_record_another_user_s_program_and_the_server_has_its_profile()
    {
        Tool.Require("systemd-nspawn");
        Tool.Require("clang-19");
        Skip.If(Environment.UserName != "root", "booting a container takes root");
        ToolResult mounts = Tool.Run("unshare", ["--mount", "true"]);
        Skip.If(mounts.ExitCode != 0, $"no mount namespaces here: {mounts.Error}");
        using TemporaryFolder results = new();
        string Result(string name) => File.Exists(results[name]) ? File.ReadAllText(results[name]) : "";
        string source =
            results.Write(
                "busy.c", "int main(int n, char **v) { volatile unsigned x = 1; for (;;) x = x & 1 ? x * 3 + 1 : x / 2 ? x / 2 : n + 97; }");
        Tool.Run("clang-19", ["-g", "-O1", "-fuse-ld=lld", "-Wl,--build-id", "-o", results["busy"], source]).Succeeded();
        Tool.Run("bash", [SourceFile("boot-host.sh"), package.File, SourceFile("trial.sh"), results.Path], timeoutSeconds: 300).Succeeded();

        // What systemd has to say of the units as they are installed, with their executable and their manual pages: nothing.
        Assert.Equal("", Result("verify"));
        Skip.If(!File.Exists(results["enabled"]), $"systemd did not boot here: {Result("console")}");

        Assert.Equal("disabled\ndisabled\ndisabled\n", Result("enabled"));
        Assert.Equal("inactive\ninactive\ninactive\n", Result("active"));
        string journal = Result("journal") + Result("error");
        Assert.True(Result("health").Contains("\"ok\"", StringComparison.Ordinal), journal);
        Assert.Equal("perforator-server 700\n", Result("data"));
        Assert.True(File.Exists(results["service"]), journal);
        BuildSummary build = Assert.Single(JsonSerializer.Deserialize(Result("service"), ApiJson.Default.ServiceDetail)!.Builds);
        Assert.Equal(("/usr/local/bin/busy", true), (build.Path, build.Branches > 0));

        // CAP_DAC_READ_SEARCH (bit 2), CAP_SYS_PTRACE (19), CAP_PERFMON (38).
        Assert.Equal($"CapPrm:\t{(1L << 2) | (1L << 19) | (1L << 38):x16}\n", Result("capabilities"));
        Assert.Equal("success\nsuccess\n", Result("ends"));

        // Upgraded, removed and purged.
        Assert.True(Result("active-upgraded") == "active\nactive\ninactive\n", Result("upgrade") + journal);
        Assert.Equal("PERFORATOR_AGENT_OPTIONS=--interval 5s\n", Result("settings"));
        Assert.True(Result("removed").StartsWith("inactive\n", StringComparison.Ordinal)
            && Result("removed").EndsWith("agent.env\nserver.env\n", StringComparison.Ordinal),
            Result("removed") + Result("removal"));
        Assert.DoesNotContain("enabled", Result("removed"), StringComparison.Ordinal);
        Assert.Contains("the server's data stay in /var/lib/private/perforator", Result("purge"), StringComparison.Ordinal);
        Assert.Equal("/var/lib/private/perforator\n", Result("left"));
        Assert.Equal("", Result("error"));
    }
}
