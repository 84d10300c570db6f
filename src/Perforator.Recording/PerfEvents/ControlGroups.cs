using System.Collections.ObjectModel;

namespace Perforator.Recording.PerfEvents;

/// <summary>The control groups of processes, as folders that events can be opened on.</summary>
internal static class ControlGroups
{
    /// <summary>
    /// More groups than this are not told apart from everybody: every switch between groups costs on each CPU (perf_cgroup_switch), and
    /// each group takes a descriptor for each CPU.
    /// </summary>
    public const int MaxGroups = 16;

    /// <summary>
    /// The groups that hold some processes: where to open events for these and as few others as possible. Null where events for all
    /// processes are better or the only way: in the root group, beyond another cgroup namespace, in too many groups.
    /// </summary>
    public static IReadOnlySet<string>? Of(IKernel kernel, IEnumerable<int> processIds)
    {
        if (Hierarchy(kernel) is not (string mount, bool isUnified))
            return null;
        HashSet<string> folders = new(StringComparer.Ordinal);
        foreach (int processId in processIds)
        {
            if (kernel.ReadText($"/proc/{processId}/cgroup") is not { } text)
                continue;
            string? path = PathIn(text, isUnified);
            if (path is null or "/" || path.Contains("/..", StringComparison.Ordinal))
                return null;
            folders.Add(mount + path);
            if (folders.Count > MaxGroups)
                return null;
        }

        // What lies below another is in its events already, and would count twice.
        return new ReadOnlySet<string>(
            folders.Where(f => !folders.Any(other => f.StartsWith(other + "/", StringComparison.Ordinal)))
                .ToHashSet(StringComparer.Ordinal));
    }

    /// <summary>
    /// Where the hierarchy that has the perf_event controller is mounted as a whole (mountinfo of proc(5)): version 1's own, else version
    /// 2's.
    /// </summary>
    private static (string Mount, bool IsUnified)? Hierarchy(IKernel kernel)
    {
        (string, bool)? unified = null;
        foreach (string line in (kernel.ReadText("/proc/self/mountinfo") ?? "").Split('\n'))
        {
            string[] fields = line.Split(' ');
            int dash = Array.IndexOf(fields, "-");
            if (dash < 5 || fields.Length < dash + 4 || fields[3] != "/")
                continue;
            if (fields[dash + 1] == "cgroup" && fields[dash + 3].Split(',').Contains("perf_event"))
                return (fields[4], false);
            if (fields[dash + 1] == "cgroup2")
                unified ??= (fields[4], true);
        }
        return unified;
    }

    /// <summary>Picks a path out of lines of the form <c>hierarchy:controllers:path</c> (cgroups(7)).</summary>
    private static string? PathIn(string text, bool isUnified)
    {
        foreach (string line in text.Split('\n'))
        {
            string[] fields = line.Split(':', 3);
            if (fields.Length == 3 && (isUnified ? fields[0] == "0" && fields[1].Length == 0 : fields[1].Split(',').Contains("perf_event")))
                return fields[2];
        }
        return null;
    }
}
