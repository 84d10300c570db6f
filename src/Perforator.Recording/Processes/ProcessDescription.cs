using System.Text;

namespace Perforator.Recording.Processes;

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
    public string? SystemdService
    {
        get
        {
            foreach (string component in Cgroup.Split('/').Reverse())
                if (component.EndsWith(".service", StringComparison.Ordinal) && component.Length > ".service".Length
                    && !component.StartsWith("user@", StringComparison.Ordinal))
                    return component[..^".service".Length];
            return null;
        }
    }

    /// <summary>Describes a process; null when it has ended, is a kernel thread or may not be looked into.</summary>
    public static ProcessDescription? Of(ProcessIdentity process)
    {
        try
        {
            string folder = $"/proc/{process.Id}";
            string? executable = ExecutableOf(process.Id);
            if (executable is null)
                return null;
            return new(process, executable, File.ReadAllText($"{folder}/comm").TrimEnd('\n'), ReadCgroup($"{folder}/cgroup"), ReadVariable($"{folder}/environ"));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <summary>Where /proc/PID/exe leads, without the mark of a deleted file; null for kernel threads, ended and forbidden processes.</summary>
    internal static string? ExecutableOf(int processId)
    {
        try
        {
            string? target = new FileInfo($"/proc/{processId}/exe").LinkTarget;
            return target?.EndsWith(" (deleted)", StringComparison.Ordinal) == true ? target[..^" (deleted)".Length] : target;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <summary>Picks a path out of lines of the form <c>hierarchy:controllers:path</c> (cgroups(7)).</summary>
    private static string ReadCgroup(string file)
    {
        string found = "/";
        foreach (string line in File.ReadLines(file))
        {
            string[] fields = line.Split(':', 3);
            if (fields.Length == 3 && fields[1] is "" or "name=systemd" && fields[2].Length > found.Length)
                found = fields[2];
        }
        return found;
    }

    private static string? ReadVariable(string file)
    {
        try
        {
            byte[] prefix = Encoding.UTF8.GetBytes($"{ServiceVariable}=");
            ReadOnlySpan<byte> environment = File.ReadAllBytes(file);
            foreach (Range range in environment.Split((byte)0))
                if (environment[range].StartsWith(prefix))
                    return Encoding.UTF8.GetString(environment[range][prefix.Length..]);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // A process whose environment may not be read declares nothing.
        }
        return null;
    }
}
