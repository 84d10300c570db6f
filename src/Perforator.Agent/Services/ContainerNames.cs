using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Perforator.Recording.Processes;

namespace Perforator.Agent.Services;

/// <summary>A container by the names people gave it.</summary>
/// <param name="Name">Docker's Swarm service, Compose project and service, or the container's name; null when nothing tells.</param>
/// <param name="Image">Its image's name without registry and tag; null when nothing tells.</param>
/// <param name="Namespace">Of its Kubernetes pod; null outside of pods.</param>
/// <param name="Pod">Its Kubernetes pod's name.</param>
/// <param name="PodContainer">Its name within the pod.</param>
public sealed record ContainerDescription(string? Name, string? Image, string? Namespace, string? Pod, string? PodContainer);

/// <summary>
/// Finds the names of containers in what a node shows without asking anybody: the kubelet's folder of logs, the state that the runtimes
/// keep in files, what their watchers were started with, and what a process of the container sees itself. What was found is remembered by
/// the container's id.
/// </summary>
public sealed partial class ContainerNames(HostRoots host)
{
    /// <summary>More containers than a host runs at a time.</summary>
    private const int MaxRemembered = 4096;

    private const long LargestFile = 4 << 20;

    /// <summary>More processes than stand one below the other in any container.</summary>
    private const int MaxAncestors = 100;

    private readonly Dictionary<string, ContainerDescription> known = new(StringComparer.Ordinal);

    /// <summary>Describes the container of a process; null outside of containers.</summary>
    public ContainerDescription? Find(int processId, CgroupPath cgroup)
    {
        if (cgroup.ContainerId is not { } id)
            return cgroup.PodUid is null ? null : FromProcess(processId, new(null, null, null, null, null));
        if (known.TryGetValue(id, out ContainerDescription? found))
            return found;
        string? name = null, bundle = null;
        found = FromDocker(id);
        if (found is null)
            (name, bundle) = FromWatcher(processId, id);
        found ??= FromBundle(id, bundle) ?? new(null, null, null, null, null);
        found = FromLogs(id, found);
        if (found.Pod is null && (cgroup.PodUid is not null || found.Name is null))
            found = FromProcess(processId, found);
        // CRI-O's names are made up of a pod's; that its pod is not known of yet makes none of them a container's own.
        if (found.Name is null && found.PodContainer is null && cgroup.PodUid is null)
            found = found with { Name = name };
        if (known.Count == MaxRemembered)
            known.Clear();
        // What nothing is known of yet may be about to be written.
        if (found.Name is not null || found.PodContainer is not null)
            known.Add(id, found);
        return found;
    }

    /// <summary>The kubelet links every container's log: /var/log/containers/POD_NAMESPACE_CONTAINER-ID.log.</summary>
    private ContainerDescription FromLogs(string id, ContainerDescription found)
    {
        if (found.Pod is not null)
            return found;
        try
        {
            foreach (string file in Directory.EnumerateFiles(host.File("/var/log/containers"), $"*-{id}.log"))
                if (Path.GetFileName(file)[..^(id.Length + 5)].Split('_') is [var pod, var space, var container])
                    return found with { Pod = pod, Namespace = space, PodContainer = container };
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
        }
        return found;
    }

    private ContainerDescription? FromDocker(string id)
    {
        if (ReadJson($"/var/lib/docker/containers/{id}/config.v2.json") is not { } config)
            return null;
        using (config)
        {
            JsonElement settings = Property(config.RootElement, "Config") ?? default;
            JsonElement labels = Property(settings, "Labels") ?? default;
            string? project = Text(labels, "com.docker.compose.project"), service = Text(labels, "com.docker.compose.service");
            return new(
                Text(labels, "com.docker.swarm.service.name")
                    ?? (service is null
                        ? Text(config.RootElement, "Name")?.TrimStart('/') : project is null ? service : $"{project}-{service}"),
                ImageName(Text(settings, "Image")), Text(labels, "io.kubernetes.pod.namespace"), Text(labels, "io.kubernetes.pod.name"),
                Text(labels, "io.kubernetes.container.name"));
        }
    }

    /// <summary>
    /// The bundle that runc or crun was started with (config.json of the OCI runtime specification), by containerd or by CRI-O and Podman.
    /// </summary>
    private ContainerDescription? FromBundle(string id, string? watched)
    {
        const string Containerd = "/run/containerd/io.containerd.runtime.v2.task";
        List<string> bundles =
        [
            .. watched is null ? (string[])[] : [$"{watched}/config.json"],
            $"/run/containers/storage/overlay-containers/{id}/userdata/config.json",
            $"/var/lib/containers/storage/overlay-containers/{id}/userdata/config.json",
        ];
        try
        {
            bundles.AddRange(
                Directory.GetDirectories(host.File(Containerd))
                    .Select(space => $"{Containerd}/{Path.GetFileName(space)}/{id}/config.json"));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
        }
        foreach (string bundle in bundles)
        {
            if (ReadJson(bundle) is not { } config)
                continue;
            using (config)
            {
                JsonElement notes = Property(config.RootElement, "annotations") ?? default;
                return new(
                    Text(notes, "nerdctl/name"),
                    ImageName(Text(notes, "io.kubernetes.cri.image-name") ?? Text(notes, "io.kubernetes.cri-o.ImageName")),
                    Text(notes, "io.kubernetes.cri.sandbox-namespace") ?? Text(notes, "io.kubernetes.pod.namespace"),
                    Text(notes, "io.kubernetes.cri.sandbox-name") ?? Text(notes, "io.kubernetes.pod.name"),
                    Text(notes, "io.kubernetes.cri.container-name") ?? Text(notes, "io.kubernetes.container.name"));
            }
        }
        return null;
    }

    /// <summary>
    /// What conmon was told, which starts and watches each container of Podman and CRI-O from outside of it: the container's name and its
    /// bundle, wherever that is kept, by which driver and for which user.
    /// </summary>
    private (string? Name, string? Bundle) FromWatcher(int processId, string id)
    {
        // The first ancestor that is not of the container.
        int watcher = processId;
        for (int i = 0; i < MaxAncestors && ContainerOf(watcher) == id; i++)
            watcher = ProcessIdentity.ParentOf(watcher, host.Proc) ?? 0;
        if (Read(host.Process(watcher, "cmdline"))?.Split('\0') is not { } arguments || Path.GetFileName(arguments[0]) != "conmon"
            || Argument("-c") != id)
            return default;
        return (Argument("-n"), Argument("-b"));

        string? Argument(string option) =>
            Array.IndexOf(arguments, option) is >= 0 and var at && at + 1 < arguments.Length ? arguments[at + 1] : null;
    }

    private string? ContainerOf(int processId) =>
        Read(host.Process(processId, "cgroup")) is { } lines ? CgroupPath.Parse(lines.Split('\n')).ContainerId : null;

    /// <summary>
    /// What a process of a pod sees: the kubelet mounts /var/lib/kubelet/pods/UID/containers/CONTAINER/… as its termination log, the pod's
    /// namespace as part of its service account, and gives it the pod's name as its host name.
    /// </summary>
    private ContainerDescription FromProcess(int processId, ContainerDescription found)
    {
        string? mounts = Read(host.Process(processId, "mountinfo"));
        if (mounts is null || MountOfContainer().Match(mounts) is not { Success: true } mount)
            return found;
        string? hostName = Read(host.Process(processId, "root/etc/hostname"))?.Trim();
        string? space = Read(host.Process(processId, "root/var/run/secrets/kubernetes.io/serviceaccount/namespace"))?.Trim()
            ?? Read(host.Process(processId, "root/run/secrets/kubernetes.io/serviceaccount/namespace"))?.Trim();
        return found with
        {
            PodContainer = mount.Groups[1].Value,
            Pod = found.Pod ?? (hostName is { Length: > 0 } ? hostName : null),
            Namespace = found.Namespace ?? space
        };
    }

    private JsonDocument? ReadJson(string path)
    {
        try
        {
            return Read(host.File(path)) is { } text ? JsonDocument.Parse(text) : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private static string? Read(string path)
    {
        try
        {
            return FileIdentity.Of(path) is { IsRegular: true, Size: <= LargestFile } ? File.ReadAllText(path, Encoding.UTF8) : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private static JsonElement? Property(JsonElement of, string name) =>
        of.ValueKind == JsonValueKind.Object && of.TryGetProperty(name, out JsonElement value) ? value : null;

    private static string? Text(JsonElement of, string name) =>
        Property(of, name) is { ValueKind: JsonValueKind.String } value && value.GetString() is { Length: > 0 } text ? text : null;

    private static string? ImageName(string? image)
    {
        string? name = image?.Split('@')[0].Split('/')[^1].Split(':')[0];
        return string.IsNullOrEmpty(name) || name.StartsWith("sha256", StringComparison.Ordinal)
            ? null : name.ToLower(CultureInfo.InvariantCulture);
    }

    [GeneratedRegex(@"/pods/[0-9a-f-]+/containers/([a-z0-9-]+)/[0-9a-f]+ /")]
    private static partial Regex MountOfContainer();
}
