using System.Globalization;
using System.Text;

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

    /// <summary>The same, of a process that another procfs shows, zombies included.</summary>
    public static int? ParentOf(int processId, string proc) =>
        Fields(processId, proc) is { } fields ? int.Parse(fields[1], CultureInfo.InvariantCulture) : null;

    /// <summary>The state letter of /proc/PID/stat (R, S, D, T, …); null when there is no such process.</summary>
    public static char? StateOf(int processId) => Fields(processId)?[0][0];

    /// <summary>The ids of all processes of this pid namespace, those that have ended and are not waited for included.</summary>
    public static IEnumerable<int> AllIds() => All().Select(static process => process.Id);

    /// <summary>The same, each with the inode of its folder in /proc, which a later process of the same id does not have.</summary>
    public static IReadOnlyList<(int Id, ulong Inode)> All() => Syscalls.ListNumbered("/proc");

    /// <summary>The inode of a process's folder in /proc; 0 when it has ended.</summary>
    public static ulong InodeOf(int processId) =>
        FileIdentity.Of($"/proc/{processId}")?.Inode ?? 0;

    /// <summary>
    /// Where /proc/PID/exe leads, without the mark of a deleted file; null for kernel threads, ended and forbidden processes.
    /// </summary>
    public static string? ExecutableOf(int processId) => TargetOf($"/proc/{processId}/exe");

    /// <summary>Where such a link leads.</summary>
    public static string? TargetOf(string link)
    {
        try
        {
            return new FileInfo(link).LinkTarget is { } target ? ProcessMap.WithoutDeleted(target) : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <summary>The identity of a process that runs, and its parent's id; null when it has ended, zombies included.</summary>
    public static (ProcessIdentity Identity, int Parent)? WithParent(int processId)
    {
        if (Fields(processId) is not { } fields || fields[0] is "Z" or "X")
            return null;
        return (new(processId, ulong.Parse(fields[19], CultureInfo.InvariantCulture)), int.Parse(fields[1], CultureInfo.InvariantCulture));
    }

    /// <summary>/proc/PID/stat from its third field on; null when there is no such process.</summary>
    private static string[]? Fields(int processId, string proc = "/proc")
    {
        // The second field, the name in parentheses, may itself hold spaces and parentheses.
        Span<byte> stat = stackalloc byte[1024];
        stat = stat[..Math.Max(0, Syscalls.ReadFile($"{proc}/{processId}/stat", stat))];
        string[] fields =
            Encoding.ASCII.GetString(stat[(stat.LastIndexOf((byte)')') + 1)..]).Split(' ', StringSplitOptions.RemoveEmptyEntries);
        return fields.Length >= 20 ? fields : null;
    }
}
