using Perforator.PerfData;

namespace Perforator.Recording.PerfEvents;

/// <summary>Whether this machine gives us branch stacks, found out by opening the events.</summary>
public sealed record BranchStackSupport
{
    private BranchStackSupport() { }

    internal BranchEvent? Event { get; private init; }

    /// <summary>Whether branch stacks can be recorded.</summary>
    public bool IsAvailable => Event is not null;

    /// <summary>Whether the event may be opened for all processes at once; otherwise it is opened thread by thread.</summary>
    public bool IsSystemWide { get; private init; }

    /// <summary>What was found, without a full stop.</summary>
    public required string Explanation { get; init; }

    /// <summary>The command or change that mends it; null when there is nothing to mend or no way to.</summary>
    public string? Remedy { get; private init; }

    /// <summary>Tries the events of this CPU, first on the calling thread, then on a whole CPU.</summary>
    public static BranchStackSupport Probe() => Probe(BranchEvent.CandidatesFor(Machine.CpuVendor));

    internal static BranchStackSupport Probe(IReadOnlyList<BranchEvent> candidates)
    {
        List<(string Name, int Error)> failures = [];
        foreach (BranchEvent candidate in candidates)
        {
            if (TryOpen(candidate, threadId: 0, cpu: -1, out int error) is not { } opened)
            {
                failures.Add((candidate.Name, error));
                continue;
            }
            bool systemWide = TryOpen(opened, PerfEvent.AllProcesses, Machine.OnlineCpus[0], out _) is not null;
            return new BranchStackSupport
            {
                Event = opened,
                IsSystemWide = systemWide,
                Explanation = $"{opened.Name} opens with branch stacks, {(systemWide ? "for all processes" : "for processes of this user only")}",
                Remedy = systemWide ? null : PermissionRemedy(0),
            };
        }
        string tried = string.Join(", ", failures.Select(f => $"{f.Name}: {Syscalls.Describe(f.Error)}"));
        if (failures.Any(f => f.Error is Syscalls.EACCES or Syscalls.EPERM))
        {
            int? paranoid = Machine.ReadNumber("/proc/sys/kernel/perf_event_paranoid");
            return new BranchStackSupport
            {
                Explanation = $"perf_event_open is not permitted ({tried}; kernel.perf_event_paranoid is {paranoid?.ToString(System.Globalization.CultureInfo.InvariantCulture) ?? "unknown"})",
                Remedy = PermissionRemedy(2),
            };
        }
        if (failures.Any(f => f.Error == Syscalls.ENOSYS))
            return new BranchStackSupport { Explanation = $"this kernel has no perf events ({tried})", Remedy = "boot a kernel with CONFIG_PERF_EVENTS=y" };
        return new BranchStackSupport
        {
            Explanation = $"the {(Machine.IsVirtual ? "hypervisor shows this guest" : "CPU offers")} no branch records ({tried})",
            Remedy = Machine.IsVirtual ? "run on bare metal, or on an instance type that shows its guests the PMU" : null,
        };
    }

    /// <summary>Opens an event, without what older kernels do not know if need be, and closes it again.</summary>
    /// <returns>The event with the attributes the kernel took, or null and the error number.</returns>
    internal static BranchEvent? TryOpen(BranchEvent candidate, int threadId, int cpu, out int error)
    {
        error = 0;
        foreach (PerfAttributeFlags extra in (PerfAttributeFlags[])[PerfAttributeFlags.BuildId, PerfAttributeFlags.None])
        {
            PerfEventAttributes attributes = candidate.Attributes with { Flags = candidate.Attributes.Flags | extra };
            using PerfEvent? opened = PerfEvent.TryOpen(LinuxKernel.Instance, attributes, threadId, cpu, out error);
            if (opened is not null)
                return candidate with { Attributes = attributes };
            if (error != Syscalls.EINVAL)
                break;
        }
        return null;
    }

    internal static string PermissionRemedy(int paranoid) =>
        $"sudo sysctl kernel.perf_event_paranoid={paranoid}, or run with CAP_PERFMON (in a container: --cap-add PERFMON, and a seccomp profile that allows perf_event_open)";
}
