using System.Runtime.InteropServices;
using Perforator.PerfData;
using Perforator.Recording.PerfEvents;

namespace Perforator.Recording.Prerequisites;

/// <summary>
/// What a machine has of branch records and what came of trying them: for somebody who does not have the machine. It names CPU, kernel,
/// hypervisor and settings; no host, user, address, process or path of the machine's.
/// </summary>
public sealed record MachineReport
{
    /// <summary>The flags of /proc/cpuinfo that have to do with branch records.</summary>
    private static readonly string[] WantedFlags =
        ["hypervisor", "arch_perfmon", "arch_lbr", "dtes64", "ds_cpl", "pebs", "perfctr_core", "perfctr_nb", "perfmon_v2", "brs", "amd_lbr_v2", "amd_lbr_pmc_freeze", "hybrid_cpu", "ibs"];

    /// <summary>The fields of /proc/cpuinfo that name the CPU.</summary>
    private static readonly string[] WantedFields =
        ["vendor_id", "cpu family", "model", "model name", "stepping", "microcode", "CPU implementer", "CPU architecture", "CPU variant", "CPU part", "CPU revision"];

    /// <summary>Files that say what may be done; a missing one is left out.</summary>
    private static readonly string[] SettingFiles =
    [
        "/proc/sys/kernel/perf_event_paranoid", "/proc/sys/kernel/perf_event_mlock_kb", "/proc/sys/kernel/perf_event_max_sample_rate",
        "/proc/sys/kernel/perf_cpu_time_max_percent", "/proc/sys/kernel/nmi_watchdog", "/proc/sys/kernel/yama/ptrace_scope",
        "/sys/kernel/security/lockdown", "/sys/kernel/security/lsm", "/sys/hypervisor/type", "/sys/class/dmi/id/sys_vendor",
        "/sys/class/dmi/id/product_name", "/sys/devices/system/cpu/online", "/sys/devices/system/cpu/possible",
    ];

    /// <summary>The version of this form.</summary>
    public int Version { get; } = 1;

    /// <summary>uname -r.</summary>
    public required string Kernel { get; init; }

    /// <summary>X64, Arm64, …</summary>
    public required string Architecture { get; init; }

    /// <summary>Bytes of a page.</summary>
    public required int PageSize { get; init; }

    /// <summary>Fields of /proc/cpuinfo, of the first CPU.</summary>
    public required IReadOnlyDictionary<string, string> Cpu { get; init; }

    /// <summary>Those of its flags that matter here.</summary>
    public required IReadOnlyList<string> Flags { get; init; }

    /// <summary>Contents of files of /proc and /sys, by path.</summary>
    public required IReadOnlyDictionary<string, string> Settings { get; init; }

    /// <summary>CapEff of /proc/self/status, in hexadecimal digits.</summary>
    public required string Capabilities { get; init; }

    /// <summary>What sysfs shows of each PMU.</summary>
    public required IReadOnlyList<PmuReport> Pmus { get; init; }

    /// <summary>Every event that was tried on a loop of our own, in order.</summary>
    public required IReadOnlyList<TrialReport> Trials { get; init; }

    /// <summary>For each scope of recording, what came of opening the first event of use there, or else a software clock.</summary>
    public required IReadOnlyDictionary<string, string> Scopes { get; init; }

    /// <summary>What was concluded.</summary>
    public required string Conclusion { get; init; }

    /// <summary>One PMU.</summary>
    /// <param name="Name">Its folder's name in /sys/bus/event_source/devices.</param>
    /// <param name="Files">Contents of its files: type, cpus, cpumask, caps, formats, and the events with branch in their names.</param>
    public sealed record PmuReport(string Name, IReadOnlyDictionary<string, string> Files);

    /// <summary>One event on one PMU: what was asked for, what came.</summary>
    public sealed record TrialReport(
        string Event, string? Pmu, uint Type, string Config, string BranchSampleType, int Error, bool Opened, bool Ran, int Stacks,
        int EmptyStacks, int Deepest,
        ulong Counted, string? Refusal);

    /// <summary>Looks at this machine and tries its events.</summary>
    public static MachineReport Make() => Make(LinuxKernel.Instance);

    internal static MachineReport Make(IKernel kernel)
    {
        BranchStackSupport support = BranchStackSupport.Probe(kernel);
        Dictionary<string, string> cpu = Machine.ParseCpuInfo(kernel.ReadText("/proc/cpuinfo") ?? "");
        string[] flags = (cpu.GetValueOrDefault("flags") ?? cpu.GetValueOrDefault("Features") ?? "").Split(' ');
        string? capabilities =
            kernel.ReadText("/proc/self/status")?.Split('\n').FirstOrDefault(l => l.StartsWith("CapEff:", StringComparison.Ordinal));
        return new MachineReport
        {
            Kernel = kernel.ReadText("/proc/sys/kernel/osrelease") ?? "unknown",
            Architecture = $"{RuntimeInformation.ProcessArchitecture}",
            PageSize = kernel.PageSize,
            Cpu = new SortedDictionary<string, string>(
                WantedFields.Where(cpu.ContainsKey).ToDictionary(f => f, f => cpu[f]), StringComparer.Ordinal),
            Flags = [.. WantedFlags.Where(flags.Contains)],
            Settings = Read(kernel, SettingFiles.Select(f => (f, f))),
            Capabilities = capabilities?["CapEff:".Length..].Trim() ?? "unknown",
            Pmus = [.. kernel.List(CpuPmu.Devices).Select(name => Describe(kernel, name))],
            Trials = [.. support.Trials.Select(Describe)],
            Scopes = TryScopes(kernel, support),
            Conclusion = support.Explanation,
        };
    }

    private static PmuReport Describe(IKernel kernel, string name)
    {
        string folder = $"{CpuPmu.Devices}/{name}";
        IEnumerable<string> files = [
            "type", "cpus", "cpumask",
            .. kernel.List($"{folder}/caps").Select(f => $"caps/{f}"),
            .. kernel.List($"{folder}/format").Select(f => $"format/{f}"),
            .. kernel.List($"{folder}/events").Where(f => f.Contains("branch", StringComparison.Ordinal) || f == "cpu-cycles")
                .Select(f => $"events/{f}")];
        return new PmuReport(name, Read(kernel, files.Select(f => (f, $"{folder}/{f}"))));
    }

    private static TrialReport Describe(BranchTrial trial)
    {
        PerfEventAttributes attributes = trial.Candidate.Attributes;
        return new TrialReport(
            trial.Candidate.Name, trial.Candidate.Pmu?.Name, attributes.Type, $"0x{attributes.Config:x}",
            $"0x{(ulong)attributes.BranchSampleType:x}", trial.Error,
            trial.Opened is not null, trial.WasRun, trial.Stacks, trial.EmptyStacks, trial.Deepest, trial.Counted, trial.Refusal);
    }

    private static SortedDictionary<string, string> TryScopes(IKernel kernel, BranchStackSupport support)
    {
        SortedDictionary<string, string> scopes = new(StringComparer.Ordinal);
        BranchEvent tried = support.Events is [BranchEvent first, ..] ? first : BranchEvent.CpuClock;
        int cpu = Machine.ParseCpuList(kernel.ReadText(Machine.OnlineCpusFile) ?? "0").FirstOrDefault(tried.RunsOn);
        scopes["event"] = tried.Name;
        Try("own thread, any CPU", tried, 0, -1);
        Try("own thread, one CPU", tried, 0, cpu);
        Try("all processes, one CPU", tried, PerfEvent.AllProcesses, cpu);
        Try("all processes, with the kernel", tried.WithKernel(), PerfEvent.AllProcesses, cpu);
        foreach (RecordingScope scope in (RecordingScope[])[RecordingScope.AllProcesses, RecordingScope.Threads])
        {
            try
            {
                using PerfEventRings rings = new(kernel, [tried], scope);
                scopes[$"rings, {scope}"] = $"mapped on {rings.Cpus.Count} CPUs{(rings.DescribeFailures() is { } failures ? $"; {failures}" : "")}";
            }
            catch (UserErrorException e)
            {
                scopes[$"rings, {scope}"] = e.Message;
            }
        }
        scopes["control groups"] = ControlGroups.Of(kernel, []) is null
            ? "no hierarchy with perf_event is mounted as a whole" : "there is a hierarchy with perf_event";
        return scopes;

        void Try(string what, BranchEvent candidate, int target, int on) =>
            scopes[what] = BranchStackSupport.TryOpen(kernel, candidate, target, on, out int error) is { } opened
                ? $"opens{((opened.Attributes.Flags & PerfAttributeFlags.BuildId) != 0 ? " with build ids" : "")}"
                    + ((opened.Attributes.Flags & PerfAttributeFlags.ExcludeGuest) != 0 ? "" : ", guests included")
                : PerfRefusal.ToOpen(kernel, error);
    }

    private static SortedDictionary<string, string> Read(IKernel kernel, IEnumerable<(string Name, string Path)> files)
    {
        SortedDictionary<string, string> read = new(StringComparer.Ordinal);
        foreach ((string name, string path) in files)
            if (kernel.ReadText(path) is { } text)
                read[name] = text;
        return read;
    }
}
