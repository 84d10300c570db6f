using System.Globalization;
using Perforator.Recording.PerfEvents;

namespace Perforator.Recording;

/// <summary>What this machine says of itself in /proc and /sys.</summary>
public static class Machine
{
    private static readonly Lazy<IReadOnlyDictionary<string, string>> Cpu = new(ReadCpuInfo);

    /// <summary>The CPU's name for people and for the profile label.</summary>
    public static string CpuModel =>
        Cpu.Value.TryGetValue("model name", out string? name) ? name
            : Cpu.Value.TryGetValue("CPU part", out string? part)
                ? $"Arm implementer {Cpu.Value.GetValueOrDefault("CPU implementer")} part {part}"
            : "unknown";

    /// <summary>Whether this is a virtual machine, as the CPU's hypervisor flag tells its guests (x86-64 only).</summary>
    public static bool IsVirtual => HasHypervisorFlag(Cpu.Value);

    /// <summary>Whether the fields of /proc/cpuinfo have the flag by which x86-64 tells its guests.</summary>
    internal static bool HasHypervisorFlag(IReadOnlyDictionary<string, string> cpuInfo) =>
        cpuInfo.GetValueOrDefault("flags", "").Split(' ').Contains("hypervisor");

    /// <summary>The hypervisor or cloud as the firmware names it (/sys/class/dmi/id); empty when it does not.</summary>
    public static string Platform =>
        string.Join(
            ' ', new[] { ReadLine("/sys/class/dmi/id/sys_vendor"), ReadLine("/sys/class/dmi/id/product_name") }.Where(s => s is not null));

    /// <summary>uname -r.</summary>
    public static string KernelRelease => ReadLine("/proc/sys/kernel/osrelease") ?? "unknown";

    /// <summary>The CPUs that are online.</summary>
    public static IReadOnlyList<int> OnlineCpus { get; } = ParseCpuList(ReadLine(OnlineCpusFile) ?? "0");

    /// <summary>Lists the CPUs that are online now.</summary>
    internal const string OnlineCpusFile = "/sys/devices/system/cpu/online";

    /// <summary>The first line of a file, or null when it does not exist or may not be read.</summary>
    public static string? ReadLine(string path) => LinuxKernel.Instance.ReadText(path)?.Split('\n')[0].Trim();

    /// <summary>Reads a list such as <c>0-3,8</c>.</summary>
    internal static IReadOnlyList<int> ParseCpuList(string list)
    {
        List<int> cpus = [];
        foreach (string range in list.Split(',', StringSplitOptions.RemoveEmptyEntries))
        {
            string[] ends = range.Split('-');
            int first = int.Parse(ends[0], CultureInfo.InvariantCulture);
            cpus.AddRange(Enumerable.Range(first, int.Parse(ends[^1], CultureInfo.InvariantCulture) - first + 1));
        }
        return cpus;
    }

    private static Dictionary<string, string> ReadCpuInfo() => ParseCpuInfo(File.ReadAllText("/proc/cpuinfo"));

    /// <summary>The fields of /proc/cpuinfo, those of the first CPU where they differ.</summary>
    internal static Dictionary<string, string> ParseCpuInfo(string text)
    {
        Dictionary<string, string> fields = [];
        foreach (string line in text.Split('\n'))
        {
            int colon = line.IndexOf(':', StringComparison.Ordinal);
            if (colon > 0)
                fields.TryAdd(line[..colon].Trim(), line[(colon + 1)..].Trim());
        }
        return fields;
    }
}
