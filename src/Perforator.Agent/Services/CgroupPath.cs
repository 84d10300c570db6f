using System.Text.RegularExpressions;

namespace Perforator.Agent.Services;

/// <summary>What the control groups of a process, as /proc/PID/cgroup lists them (cgroups(7)), say of where it runs.</summary>
/// <param name="Path"> Of cgroup v2, or of systemd's own hierarchy under v1; <c>/</c> when it has none. Without the leading <c>/..</c> by
/// which a reader in a cgroup namespace of its own is shown what lies outside of it.
/// </param>
/// <param name="ContainerId">64 hexadecimal digits, as Docker, containerd, CRI-O and Podman give them; null outside of containers.</param>
/// <param name="PodUid">The UID of a Kubernetes pod; null outside of pods.</param>
public sealed partial record CgroupPath(string Path, string? ContainerId, string? PodUid)
{
    /// <summary>
    /// The innermost systemd service, without <c>.service</c>; null outside of services and in containers, whose own systemd may have some.
    /// </summary>
    public string? Unit
    {
        get
        {
            foreach (string component in Path.Split('/').Reverse())
                if (component.EndsWith(".service", StringComparison.Ordinal) && component.Length > ".service".Length
                    && !component.StartsWith("user@", StringComparison.Ordinal))
                    return component[..^".service".Length];
            return null;
        }
    }

    /// <summary>Reads lines of the form <c>hierarchy:controllers:path</c>.</summary>
    public static CgroupPath Parse(IEnumerable<string> lines)
    {
        string path = "/";
        string? container = null, pod = null;
        foreach (string line in lines)
        {
            string[] fields = line.Split(':', 3);
            if (fields.Length != 3)
                continue;
            string one = fields[2];
            while (one.StartsWith("/..", StringComparison.Ordinal))
                one = one[3..];
            if (fields[1] is "" or "name=systemd" && one.Length > path.Length)
                path = one;
            // conmon watches a container from outside of it.
            if (!one.Contains("conmon-", StringComparison.Ordinal) && ContainerIds().Matches(one) is [.., var id])
                container ??= id.Value;
            if (PodUids().Match(one) is { Success: true } uid)
                pod ??= uid.Groups[1].Value.Replace('_', '-');
        }
        return new(path, container, pod);
    }

    /// <summary>
    /// <c>docker-ID.scope</c>, <c>cri-containerd-ID.scope</c>, <c>crio-ID.scope</c>, <c>libpod-ID.scope</c>, <c>/docker/ID</c>,
    /// <c>/kubepods/pod…/ID</c>, <c>kubepods-pod….slice:cri-containerd:ID</c>.
    /// </summary>
    [GeneratedRegex("(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")]
    private static partial Regex ContainerIds();

    /// <summary>systemd's names take no '-' within a component; pods of a manifest file have a hash for a UID.</summary>
    [GeneratedRegex("pod([0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12}|[0-9a-f]{32})(?![0-9a-f])")]
    private static partial Regex PodUids();
}
