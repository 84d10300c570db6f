using System.Globalization;

namespace Perforator.Recording.PerfEvents;

/// <summary>What the kernel checked when it refused an event or a ring buffer, and what mends it, in its own names for both.</summary>
internal static class PerfRefusal
{
    public const string Paranoid = "kernel.perf_event_paranoid";

    /// <summary>Why perf_event_open failed, beginning with the system's word for it.</summary>
    public static string ToOpen(IKernel kernel, int error) => Syscalls.Describe(error) + error switch
    {
        // perf_event_open, find_get_context: perf_allow_kernel, perf_allow_cpu, and ptrace_may_access of the thread.
        Syscalls.EACCES =>
            $" ({Paranoid} is {Setting(kernel, "perf_event_paranoid")}, {Capability(kernel, Capabilities.CAP_PERFMON, "CAP_PERFMON")})",

        // A seccomp filter's or a security module's answer, and the lockdown's.
        Syscalls.EPERM =>
            $" (a seccomp filter or security module refuses perf_event_open; {Paranoid} is {Setting(kernel, "perf_event_paranoid")})",
        Syscalls.EMFILE => "; raise the limit of open files (ulimit -n), or record with CAP_PERFMON, which needs one per CPU",
        Syscalls.ENFILE => "; raise the host's limit of open files (fs.file-max)",
        Syscalls.EBUSY => "; another profiler has the CPU's branch records",
        Syscalls.ENOENT => " (no PMU of this CPU knows the event)",
        Syscalls.EOPNOTSUPP => " (the PMU keeps no branch records)",
        Syscalls.ENODEV => " (the CPU is offline or has no PMU)",
        _ => "",
    };

    /// <summary>Why a ring buffer could not be mapped, and what to do.</summary>
    public static string ToMap(IKernel kernel, int error) => error == Syscalls.EPERM
        ? $"{Syscalls.Describe(error)}: one user's rings may lock kernel.perf_event_mlock_kb = {Setting(kernel, "perf_event_mlock_kb")} KiB for each CPU, "
            + $"and RLIMIT_MEMLOCK = {LockLimit(kernel)} beyond, and {Capability(kernel, Capabilities.CAP_IPC_LOCK, "CAP_IPC_LOCK")}; "
            + "sudo sysctl kernel.perf_event_mlock_kb=4096, raise ulimit -l, or record with CAP_IPC_LOCK"
        : $"{Syscalls.Describe(error)}; free memory";

    /// <summary>What lets events be opened for all processes (paranoid 0) or for the own user's (2).</summary>
    public static string Remedy(int paranoid) =>
        $"sudo sysctl {Paranoid}={paranoid}, or run with CAP_PERFMON (in a container: --cap-add PERFMON, and a seccomp profile that allows perf_event_open)";

    /// <summary>A file of /proc/sys/kernel; "unknown" when it may not be read.</summary>
    public static string Setting(IKernel kernel, string name) => kernel.ReadText($"/proc/sys/kernel/{name}") ?? "unknown";

    private static string Capability(IKernel kernel, int capability, string name) =>
        (Capabilities.Parse(kernel.ReadText("/proc/self/status") ?? "") >> capability & 1) != 0 ? $"{name} is there" : $"{name} is missing";

    private static string LockLimit(IKernel kernel)
    {
        const string Name = "Max locked memory";
        string? line = kernel.ReadText("/proc/self/limits")?.Split('\n').FirstOrDefault(l => l.StartsWith(Name, StringComparison.Ordinal));
        string? soft = line?[Name.Length..].Split(' ', StringSplitOptions.RemoveEmptyEntries).FirstOrDefault();
        return long.TryParse(soft, NumberStyles.None, CultureInfo.InvariantCulture, out long bytes)
            ? $"{bytes / 1024} KiB" : soft ?? "unknown";
    }
}
