using System.Globalization;
using Perforator.Branches;
using Perforator.Recording.PerfEvents;

namespace Perforator.Recording.Processes;

/// <summary>One line of /proc/PID/maps (proc_pid_maps(5)).</summary>
/// <param name="Start">First byte.</param>
/// <param name="End">One past the last byte.</param>
/// <param name="IsWritable">The w permission.</param>
/// <param name="IsExecutable">The x permission.</param>
/// <param name="Offset">Where in the file the first byte lies.</param>
/// <param name="Device">Major and minor number as the kernel prints them.</param>
/// <param name="Inode">0 for mappings without a file.</param>
/// <param name="Path">As the process sees it, <c> (deleted)</c> at the end if it was; a pseudo name such as <c>[vdso]</c>; or
/// empty.</param>
public sealed record ProcessMap(
    RuntimeAddress Start, RuntimeAddress End, bool IsWritable, bool IsExecutable, FileOffset Offset, string Device,
    ulong Inode, string Path)
{
    /// <summary>The mapping as branch sinks know it.</summary>
    public Mapping ToMapping(int processId) => new(processId, Start, End.Value - Start.Value, Offset, Path) { File = File };

    /// <summary>The file mapped; all zero without one.</summary>
    private MappedFile File
    {
        get
        {
            int colon = Device.IndexOf(':', StringComparison.Ordinal);
            return Inode != 0 && colon > 0
                && uint.TryParse(Device.AsSpan(0, colon), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out uint major)
                && uint.TryParse(Device.AsSpan(colon + 1), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out uint minor)
                ? new(major, minor, Inode) : default;
        }
    }

    /// <summary>A path of /proc without the mark of a deleted file.</summary>
    internal static string WithoutDeleted(string path) =>
        path.EndsWith(" (deleted)", StringComparison.Ordinal) ? path[..^" (deleted)".Length] : path;

    /// <summary>All mappings of a process in address order; empty when it has ended or may not be looked into.</summary>
    public static IReadOnlyList<ProcessMap> Load(int processId) => Load(LinuxKernel.Instance, processId);

    /// <summary>The same of any kernel's process.</summary>
    internal static IReadOnlyList<ProcessMap> Load(IKernel kernel, int processId) =>
        [.. (kernel.ReadText($"/proc/{processId}/maps") ?? "").Split('\n')
            .Select(static line => TryParse(line, out ProcessMap? map) ? map : null).OfType<ProcessMap>()];

    /// <summary>Reads a line such as <c>55d0c0000000-55d0c0001000 r-xp 00001000 08:01 1234     /usr/bin/x</c>.</summary>
    internal static bool TryParse(string line, [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out ProcessMap? map)
    {
        map = null;
        string[] fields = line.Split(' ', 6, StringSplitOptions.RemoveEmptyEntries);
        int dash = fields.Length >= 5 ? fields[0].IndexOf('-', StringComparison.Ordinal) : -1;
        if (dash < 0 || fields[1].Length < 4
            || !ulong.TryParse(fields[0].AsSpan(0, dash), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ulong start)
            || !ulong.TryParse(fields[0].AsSpan(dash + 1), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ulong end)
            || !ulong.TryParse(fields[2], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ulong offset)
            || !ulong.TryParse(fields[4], NumberStyles.None, CultureInfo.InvariantCulture, out ulong inode))
            return false;
        string path = fields.Length > 5 ? fields[5].TrimStart(' ').Replace("\\012", "\n", StringComparison.Ordinal) : "";
        map = new(new(start), new(end), fields[1][1] == 'w', fields[1][2] == 'x', new(offset), fields[3], inode, path);
        return true;
    }
}
