using System.Globalization;
using System.Text.Json;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.EndToEnd;

/// <summary>Containers of a real Podman whose storage, locks and control groups are the test's own, and which ends with the test.</summary>
public sealed class RealContainerTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    /// <summary>All control groups of the containers are below it.</summary>
    private readonly string group = $"/perforator-test-{Environment.ProcessId}";

    /// <summary>What Podman keeps while containers run: it takes no more than 50 characters, and a clone's folder may be longer.</summary>
    private readonly string running = $"/tmp/perforator-test-{Environment.ProcessId}";

    private readonly Dictionary<string, string> environment = [];

    /// <summary>Whether Podman runs here at all, so that removing its containers must succeed.</summary>
    private bool started;

    private ToolResult Podman(params string[] arguments) => Tool.Run("podman",
        ["--root", folder["root"], "--runroot", running, "--storage-driver", "vfs", .. arguments], environment: environment);

    private ToolResult Start(string name, string cgroups, params string[] rest) =>
        Podman(["run", "-d", "--name", name, "--cgroup-parent", group, "--network=none", $"--cgroupns={cgroups}", .. rest]);

    private int MainProcess(string name) =>
        int.Parse(Podman("inspect", "-f", "{{.State.Pid}}", name).Succeeded().Output, CultureInfo.InvariantCulture);

    private static string? NameOf(JsonElement programs, int process) => programs.GetProperty("programs").EnumerateArray()
        .Single(one => one.GetProperty("processes").EnumerateArray().Any(id => id.GetInt32() == process)).GetProperty("service")
        .GetString();

    [SkippableFact]
    public void Containers_of_Podman_go_by_their_names_seen_from_the_host_and_from_a_container_with_control_groups_of_its_own()
    {
        Tool.Require("podman");
        Tool.Require("runc");
        Skip.If(Environment.UserName != "root", "containers that see the host's processes take root");
        // Limits are those that a container of few rights may set, too.
        environment["CONTAINERS_CONF"] = folder.Write("containers.conf", $"""
            [containers]
            default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
            [engine]
            cgroup_manager = "cgroupfs"
            events_logger = "none"
            lock_type = "file"
            runtime = "runc"
            tmp_dir = "{folder["tmp"]}"
            """);
        string source =
            folder.Write("waits.c", "#include <unistd.h>\nint main(void) { if (!fork()) for (;;) pause(); for (;;) pause(); }\n");
        Directory.CreateDirectory(folder["files/proc"]);
        Tool.Run("clang-19", ["-static", "-o", folder["files/waits"], source]).Succeeded();
        string[] program = ["--rootfs", folder["files"], "/waits"];
        ToolResult first = Start("checkout", "host", program);
        Skip.If(first.ExitCode != 0, $"no containers here: {first.Error}");
        started = true;
        Start("search", "private", program).Succeeded();
        int[] processes = [MainProcess("checkout"), MainProcess("search")];

        JsonElement fromHost = JsonDocument.Parse(Tool.Cli("agent", "--dry-run", "--json").Succeeded().Output).RootElement;
        Assert.Equal(["checkout", "search"], processes.Select(id => NameOf(fromHost, id)));
        // Those that it has forked are the container's too.
        Assert.Equal(
            2, fromHost.GetProperty("programs").EnumerateArray().Single(static one => one.GetProperty("service").GetString() == "search")
            .GetProperty("processes").GetArrayLength());

        // A base for what is published, which needs the system's libraries.
        Directory.CreateDirectory(folder["base"]);
        string[] libraries =
            [.. ((string[])["/usr", "/lib", "/lib64", "/etc/ssl"]).Where(Directory.Exists).Select(static path => $"-v={path}:{path}:ro")];
        ToolResult Inside(params string[] arguments) => Podman(["run", "--rm", "--name", "agent", "--cgroup-parent", group,
            "--network=none", "--privileged", "--pid=host", "--cgroupns=private", "--tmpfs=/tmp", .. libraries,
            $"-v={Path.GetDirectoryName(Tool.Perforator)}:/perforator:ro", "--rootfs", folder["base"],
            "/perforator/perforator", .. arguments]);

        ToolResult inside = Inside("agent", "--dry-run", "--json").Succeeded();
        JsonElement fromContainer = JsonDocument.Parse(inside.Output).RootElement;
        Assert.Equal(["checkout", "search"], processes.Select(id => NameOf(fromContainer, id)));

        // There is no shell in it: what that keeps from being tried is said, and what can be recorded without is recorded.
        Assert.Contains("ptrace: not tried: there is no /bin/sh here", Inside("doctor").Succeeded().Output, StringComparison.Ordinal);
        ToolResult held = Inside("record", "--source", "software", "-o", "/tmp/held", "--", "/perforator/perforator", "--version");
        Assert.NotEqual(0, held.ExitCode);
        Assert.Contains("there is no /bin/sh here", held.Error, StringComparison.Ordinal);
        Tool.Run("clang-19", ["-static", "-O1", "-g", "-o", folder["files/works"],
            folder.Write("works.c", "int main(void) { for (volatile unsigned i = 0;; i++) if (i % 3) i++; }\n")]).Succeeded();
        Start("index", "host", "--rootfs", folder["files"], "/works").Succeeded();
        JsonElement once = JsonDocument.Parse(Inside("agent", "--once", "--interval", "3s", "--json").Succeeded().Output).RootElement;
        Assert.Contains("\"index\"", once.ToString(), StringComparison.Ordinal);
    }

    public void Dispose()
    {
        if (environment.Count != 0)
        {
            ToolResult removed = Podman("rm", "-f", "-t", "0", "--all");
            if (started)
                removed.Succeeded();
            foreach (string top in (string[])["/sys/fs/cgroup", .. Directory.GetDirectories("/sys/fs/cgroup")])
                foreach (string left in (string[])[$"{top}{group}/conmon", $"{top}{group}"])
                    // The watcher of the last container ends a moment after it.
                    if (Directory.Exists(left))
                        Assert.True(
                            SpinWait.SpinUntil(() => Tool.Run("rmdir", [left]).ExitCode == 0, TimeSpan.FromSeconds(20)), $"{left} stays");
        }
        if (Directory.Exists(running))
            Directory.Delete(running, recursive: true);
        folder.Dispose();
    }
}
