namespace Perforator.Agent.Services;

/// <summary>
/// Where a host shows what runs on it. Readers take it as a parameter, so that an agent in a container may look through another's root, and
/// tests at a host made for them.
/// </summary>
/// <param name="Proc">procfs of the host's pid namespace.</param>
/// <param name="Files">The root of the host's file system.</param>
public sealed record HostRoots(string Proc, string Files)
{
    /// <summary>
    /// This host: in a container that shares the host's pid namespace the host's files are those of its first process, where that may be
    /// looked into.
    /// </summary>
    public static HostRoots Default { get; } = new("/proc", Directory.Exists("/proc/1/root/proc") ? "/proc/1/root" : "");

    /// <summary>A path of the host's.</summary>
    public string File(string path) => Files + path;

    /// <summary>A file of a process's folder in /proc.</summary>
    public string Process(int processId, string file) => $"{Proc}/{processId}/{file}";
}
