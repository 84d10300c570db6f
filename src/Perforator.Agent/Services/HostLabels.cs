using System.Text.Json;
using Perforator.Branches;
using Perforator.Recording;

namespace Perforator.Agent.Services;

/// <summary>Labels of every profile of a host that the host tells by itself, beside its name and CPU.</summary>
public static class HostLabels
{
    public const string Kernel = "kernel";
    public const string Region = "region";
    public const string Cluster = "cluster";

    /// <summary>Names under which a node's tags and attributes tell its Kubernetes cluster: of EKS, of GKE.</summary>
    private static readonly string[] ClusterKeys = ["eks:cluster-name", "aws:eks:cluster-name", "cluster-name"];
    private const string ClusterTag = "kubernetes.io/cluster/";

    /// <summary>Most nested objects of instance-data.json that are looked into.</summary>
    private const int Deepest = 8;

    /// <summary>
    /// The kernel, and the region and cluster where cloud-init has left what the cloud told it (/run/cloud-init/instance-data.json, whose
    /// key <c>v1</c> is the same for every cloud).
    /// </summary>
    public static IReadOnlyDictionary<string, string> Of(HostRoots host)
    {
        SortedDictionary<string, string> labels = new(StringComparer.Ordinal);
        Add(Kernel, Machine.ReadLine($"{host.Proc}/sys/kernel/osrelease"));
        try
        {
            using JsonDocument data = JsonDocument.Parse(File.ReadAllText(host.File("/run/cloud-init/instance-data.json")));
            JsonElement root = data.RootElement;
            if (root.ValueKind == JsonValueKind.Object && root.TryGetProperty("v1", out JsonElement v1)
                && v1.ValueKind == JsonValueKind.Object
                && v1.TryGetProperty("region", out JsonElement region) && region.ValueKind == JsonValueKind.String)
                Add(Region, region.GetString());
            if (root.ValueKind == JsonValueKind.Object && root.TryGetProperty("ds", out JsonElement source))
                Add(Cluster, FindCluster(source, Deepest));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or JsonException)
        {
            // No cloud, or one without cloud-init.
        }
        return labels;

        void Add(string name, string? value)
        {
            if (!string.IsNullOrWhiteSpace(value))
                labels[name] = ProfileLabels.Printable(value);
        }
    }

    private static string? FindCluster(JsonElement element, int depth)
    {
        if (element.ValueKind != JsonValueKind.Object || depth == 0)
            return null;
        foreach (JsonProperty property in element.EnumerateObject())
        {
            if (property.Name.StartsWith(ClusterTag, StringComparison.Ordinal) && property.Name.Length > ClusterTag.Length)
                return property.Name[ClusterTag.Length..];
            if (property.Value.ValueKind == JsonValueKind.String && ClusterKeys.Contains(property.Name, StringComparer.Ordinal))
                return property.Value.GetString();
            if (FindCluster(property.Value, depth - 1) is { } found)
                return found;
        }
        return null;
    }
}
