using System.Globalization;
using Perforator.PerfData;

namespace Perforator.Recording.PerfEvents;

/// <summary>Whether this machine gives us branch stacks, found out by recording a loop of our own on each kind of its cores.</summary>
public sealed record BranchStackSupport
{
    private BranchStackSupport() { }

    /// <summary>The event of each kind of cores that has one; none without branch stacks.</summary>
    internal IReadOnlyList<BranchEvent> Events { get; private init; } = [];

    /// <summary>All that was tried, in order.</summary>
    internal IReadOnlyList<BranchTrial> Trials { get; private init; } = [];

    /// <summary>The kernel that was asked.</summary>
    internal IKernel Kernel { get; private init; } = LinuxKernel.Instance;

    /// <summary>Whether branch stacks can be recorded.</summary>
    public bool IsAvailable => Events.Count != 0;

    /// <summary>Whether the events may be opened for all processes at once; otherwise they are opened thread by thread.</summary>
    public bool IsSystemWide { get; private init; }

    /// <summary>What was found, without a full stop.</summary>
    public required string Explanation { get; init; }

    /// <summary>The command or change that mends it; null when there is nothing to mend or no way to.</summary>
    public string? Remedy { get; private init; }

    /// <summary>Tries the events of this machine.</summary>
    /// <param name="withKernel">The kernel's branches are wanted too.</param>
    public static BranchStackSupport Probe(bool withKernel = false) => Probe(LinuxKernel.Instance, withKernel);

    /// <summary>Tries the events of a machine.</summary>
    internal static BranchStackSupport Probe(IKernel kernel, bool withKernel = false)
    {
        Dictionary<string, string> cpu = Machine.ParseCpuInfo(kernel.ReadText("/proc/cpuinfo") ?? "");
        string vendor = cpu.GetValueOrDefault("vendor_id", "");
        bool isVirtual = Machine.HasHypervisorFlag(cpu);
        return Probe(kernel, isVirtual, [.. CpuPmu.Find(kernel).Select(pmu => Candidates(vendor, pmu, withKernel))]);
    }

    /// <summary>Tries events, of each list until one is of use.</summary>
    internal static BranchStackSupport Probe(IKernel kernel, bool isVirtual, IReadOnlyList<IReadOnlyList<BranchEvent>> candidates)
    {
        List<BranchTrial> trials = [];
        List<(BranchEvent Event, BranchTrial Trial)> found = [];

        // On a thread of its own, as it is moved to CPUs of each kind.
        Thread trier = new(() =>
        {
            foreach (IReadOnlyList<BranchEvent> kind in candidates)
                foreach (BranchEvent candidate in kind)
                {
                    BranchTrial trial = BranchTrial.Run(kernel, candidate);
                    trials.Add(trial);
                    if (trial.Refusal is not null || trial.Opened is not { } opened)
                        continue;
                    found.Add((opened, trial));
                    break;
                }
        });
        trier.Start();
        trier.Join();

        if (found.Count == 0)
            return None(kernel, isVirtual, trials);
        int[] online = [.. Machine.ParseCpuList(kernel.ReadText(Machine.OnlineCpusFile) ?? "0")];
        bool systemWide =
            found.Any(f => TryOpen(kernel, f.Event, PerfEvent.AllProcesses, online.FirstOrDefault(f.Event.RunsOn), out _) is not null);
        bool severalKinds = candidates.Count > 1;
        string events =
            string.Join(", ", found.Select(
                f => $"{f.Event.Name}{(severalKinds ? $" on {f.Event.Pmu?.Name}" : "")} gives branch stacks{Depth(f.Trial)}"));
        string without = string.Concat(trials
            .Where(t => t.Refusal is not null && !found.Any(f => f.Event.Pmu == t.Candidate.Pmu))
            .Select(t => $"; none on {t.Candidate.Pmu?.Name} ({t.Candidate.Name} {t.Refusal})"));
        return new BranchStackSupport
        {
            Events = [.. found.Select(f => f.Event)],
            Trials = trials,
            Kernel = kernel,
            IsSystemWide = systemWide,
            Explanation = $"{events}, {(systemWide ? "for all processes" : "for processes of this user only")}{without}",
            Remedy = systemWide ? null : PerfRefusal.Remedy(0),
        };
    }

    private static BranchStackSupport None(IKernel kernel, bool isVirtual, List<BranchTrial> trials)
    {
        string tried = string.Join(", ", trials.Select(t => $"{t.Candidate.Name}{(t.Error != 0 ? ":" : "")} {t.Refusal}").Distinct());
        (string explanation, string? remedy) = true switch
        {
            _ when trials.Any(t => t.Error is Syscalls.EPERM && t.Opened is not null) =>
                ($"no ring buffer can be mapped: {PerfRefusal.ToMap(kernel, Syscalls.EPERM)}", null),
            _ when trials.Any(t => t.Error is Syscalls.EACCES or Syscalls.EPERM) =>
                ($"perf_event_open is not permitted ({tried}; {PerfRefusal.Paranoid} is {PerfRefusal.Setting(kernel, "perf_event_paranoid")})",
                    PerfRefusal.Remedy(trials.Any(t => (t.Candidate.Attributes.Flags & PerfAttributeFlags.ExcludeKernel) == 0) ? 1 : 2)),
            _ when trials.Any(t => t.Error == Syscalls.ENOSYS) =>
                ($"this kernel has no perf events ({tried})", "boot a kernel with CONFIG_PERF_EVENTS=y"),
            _ => ($"the {(isVirtual ? "hypervisor shows this guest" : "CPU offers")} no branch records ({tried})",
                isVirtual ? "run on bare metal, or on an instance type that shows its guests the PMU" : (string?)null),
        };
        return new BranchStackSupport { Trials = trials, Kernel = kernel, Explanation = explanation, Remedy = remedy };
    }

    /// <summary>Opens an event, without what older kernels do not know if need be, and closes it again.</summary>
    /// <returns>The event with the attributes the kernel took, or null and the error number.</returns>
    internal static BranchEvent? TryOpen(IKernel kernel, BranchEvent candidate, int threadId, int cpu, out int error)
    {
        PerfAttributeFlags flags = candidate.Attributes.Flags;
        error = 0;
        foreach (PerfAttributeFlags tried in (PerfAttributeFlags[])[flags
            | PerfAttributeFlags.BuildId, flags, flags & ~PerfAttributeFlags.ExcludeGuest])
        {
            PerfEventAttributes attributes = candidate.Attributes with { Flags = tried };
            using PerfEvent? opened = PerfEvent.TryOpen(kernel, attributes, threadId, cpu, out error);
            if (opened is not null)
                return candidate with { Attributes = attributes };
            if (error != Syscalls.EINVAL)
                break;
        }
        return null;
    }

    private static IReadOnlyList<BranchEvent> Candidates(string vendor, CpuPmu pmu, bool withKernel)
    {
        IReadOnlyList<BranchEvent> all = BranchEvent.CandidatesFor(vendor, pmu);
        return withKernel ? [.. all.Select(e => e.WithKernel())] : all;
    }

    private static string Depth(BranchTrial trial) =>
        trial.Deepest == 0 ? "" : string.Create(CultureInfo.InvariantCulture, $" of up to {trial.Deepest} entries");
}
