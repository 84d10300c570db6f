using System.Globalization;

namespace Perforator.Recording;

/// <summary>The effective capabilities of this process that recording may need (capabilities(7)).</summary>
public static class Capabilities
{
    public const int CAP_IPC_LOCK = 14;
    public const int CAP_SYS_PTRACE = 19;
    public const int CAP_SYS_ADMIN = 21;
    public const int CAP_PERFMON = 38;

    /// <summary>Whether this process has the capability now.</summary>
    public static bool Has(int capability) => (Effective >> capability & 1) != 0;

    /// <summary>CapEff of /proc/self/status.</summary>
    public static ulong Effective => Parse(File.ReadAllText("/proc/self/status"));

    /// <summary>CapEff of a file of the form of /proc/PID/status; 0 without one.</summary>
    internal static ulong Parse(string status)
    {
        string? line = status.Split('\n').FirstOrDefault(l => l.StartsWith("CapEff:", StringComparison.Ordinal));
        return line is not null
            && ulong.TryParse(line.AsSpan(7).Trim(), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ulong set) ? set : 0;
    }
}
