using System.Globalization;

namespace Perforator.Recording.Processes;

/// <summary>A process told apart from a later one that got the same id.</summary>
/// <param name="Id">The process id in this process's pid namespace.</param>
/// <param name="StartTime">Field 22 of /proc/PID/stat: clock ticks after boot.</param>
public readonly record struct ProcessIdentity(int Id, ulong StartTime)
{
    /// <summary>The identity of a process that runs; null when it has ended, zombies included.</summary>
    public static ProcessIdentity? Of(int processId) => WithParent(processId)?.Identity;

    /// <summary>The id of a process's parent; null when the process has ended.</summary>
    public static int? ParentOf(int processId) => WithParent(processId)?.Parent;

    /// <summary>The state letter of /proc/PID/stat (R, S, D, T, …); null when there is no such process.</summary>
    public static char? StateOf(int processId) => Fields(processId)?[0][0];

    /// <summary>The ids of all processes of this pid namespace, those that have ended and are not waited for included.</summary>
    public static IEnumerable<int> AllIds()
    {
        foreach (string folder in Directory.EnumerateDirectories("/proc"))
            if (int.TryParse(Path.GetFileName(folder.AsSpan()), NumberStyles.None, CultureInfo.InvariantCulture, out int id))
                yield return id;
    }

    /// <summary>The identity of a process that runs, and its parent's id; null when it has ended, zombies included.</summary>
    public static (ProcessIdentity Identity, int Parent)? WithParent(int processId)
    {
        if (Fields(processId) is not { } fields || fields[0] is "Z" or "X")
            return null;
        return (new(processId, ulong.Parse(fields[19], CultureInfo.InvariantCulture)), int.Parse(fields[1], CultureInfo.InvariantCulture));
    }

    /// <summary>/proc/PID/stat from its third field on; null when there is no such process.</summary>
    private static string[]? Fields(int processId)
    {
        try
        {
            // The second field, the name in parentheses, may itself hold spaces and parentheses.
            string stat = File.ReadAllText($"/proc/{processId}/stat");
            string[] fields = stat[(stat.LastIndexOf(')') + 1)..].Split(' ', StringSplitOptions.RemoveEmptyEntries);
            return fields.Length >= 20 ? fields : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
