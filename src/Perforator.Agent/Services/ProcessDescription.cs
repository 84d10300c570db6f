using System.Text;
using Perforator.Recording.Processes;

namespace Perforator.Agent.Services;

/// <summary>What is known of a process from outside, to tell which service it belongs to.</summary>
/// <param name="Identity">The process.</param>
/// <param name="Executable">The path of its executable as the process itself sees it.</param>
/// <param name="Name">Its name (comm), at most 15 bytes.</param>
/// <param name="Cgroup">Its control group's path: of cgroup v2, or of systemd's own hierarchy under v1; <c>/</c> when it has none.</param>
/// <param name="DeclaredService">What the variable PERFORATOR_SERVICE of its environment says; null without one.</param>
public sealed record ProcessDescription(ProcessIdentity Identity, string Executable, string Name, string Cgroup, string? DeclaredService)
{
    /// <summary>The variable by which a process, or the pod or unit it is started from, says which service it is.</summary>
    public const string ServiceVariable = "PERFORATOR_SERVICE";

    /// <summary>The last component of the executable's path.</summary>
    public string ExecutableName => Path.GetFileName(Executable);

    /// <summary>The innermost systemd service of its control group, without <c>.service</c>; null outside of services.</summary>
    public string? SystemdService => new CgroupPath(Cgroup, null, null).Unit;

    /// <summary>The container it runs in; null outside of containers.</summary>
    public ContainerDescription? Container { get; init; }

    private byte[] Environment { get; init; } = [];

    private const string EnvironmentPrefix = "env.";

    private static readonly string[] Variables =
    [
        "exe", "path", "comm", "unit", "cgroup", "container", "image", "k8s.namespace", "k8s.workload", "k8s.deployment", "k8s.pod",
        "k8s.container",
    ];

    /// <summary>The variables there are, for people.</summary>
    public static string VariableNames => $"{string.Join(", ", Variables)} and env.NAME";

    /// <summary>Whether <see cref="Value"/> knows a variable.</summary>
    public static bool IsVariable(string name) =>
        Variables.Contains(name, StringComparer.Ordinal)
            || (name.StartsWith(EnvironmentPrefix, StringComparison.Ordinal) && name.Length > EnvironmentPrefix.Length);

    /// <summary>What a template or a rule may ask of a process; null where it has none.</summary>
    public string? Value(string variable) => variable switch
    {
        "exe" => ExecutableName,
        "path" => Executable,
        "comm" => Name,
        "unit" => Container is null ? SystemdService : null,
        "cgroup" => Cgroup,
        "container" => Container?.PodContainer ?? Container?.Name,
        "image" => Container?.Image,
        "k8s.namespace" => Container?.Namespace,
        "k8s.pod" => Container?.Pod,
        "k8s.workload" => Container?.Pod is { } pod ? PodName.Parse(pod).Workload : null,
        "k8s.deployment" => Container?.Pod is { } pod && PodName.Parse(pod) is { IsDeployment: true } name ? name.Workload : null,
        "k8s.container" => Container?.PodContainer,
        _ => variable.StartsWith(EnvironmentPrefix, StringComparison.Ordinal)
            ? ReadVariable(Environment, variable[EnvironmentPrefix.Length..]) : null,
    };

    /// <summary>Describes a process; null when it has ended, is a kernel thread or may not be looked into.</summary>
    /// <param name="containers">Where to find the names of containers.</param>
    public static ProcessDescription? Of(ProcessIdentity process, HostRoots host, ContainerNames containers)
    {
        try
        {
            string? executable = ProcessIdentity.TargetOf(host.Process(process.Id, "exe"));
            if (executable is null)
                return null;
            CgroupPath cgroup = CgroupPath.Parse(File.ReadLines(host.Process(process.Id, "cgroup")));
            byte[] environment = ReadEnvironment(host.Process(process.Id, "environ"));
            return new(process, executable, File.ReadAllText(host.Process(process.Id, "comm")).TrimEnd('\n'), cgroup.Path, ReadVariable(environment, ServiceVariable))
            {
                Container = containers.Find(process.Id, cgroup),
                Environment = environment,
            };
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private static byte[] ReadEnvironment(string file)
    {
        try
        {
            return File.ReadAllBytes(file);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // A process whose environment may not be read declares nothing.
            return [];
        }
    }

    private static string? ReadVariable(ReadOnlySpan<byte> environment, string name)
    {
        byte[] prefix = Encoding.UTF8.GetBytes($"{name}=");
        foreach (Range range in environment.Split((byte)0))
            if (environment[range].StartsWith(prefix))
                return Encoding.UTF8.GetString(environment[range][prefix.Length..]);
        return null;
    }
}
