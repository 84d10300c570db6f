using System.Runtime.InteropServices;
using Perforator.Recording.PerfEvents;
using Perforator.Recording.Processes;

namespace Perforator.Recording.Prerequisites;

/// <summary>What recording needs of this machine. Everything is tried; nothing is concluded from settings alone.</summary>
public sealed class RecordingPrerequisites
{
    private readonly List<Prerequisite> all = [];

    private RecordingPrerequisites(BranchStackSupport support)
    {
        all.Add(new("CPU", null, $"{Machine.CpuModel}, {RuntimeInformation.ProcessArchitecture}, {Machine.OnlineCpus.Count} online"));
        all.Add(new("Virtual machine", null, Machine.IsVirtual
            ? $"yes{(Machine.Platform.Length == 0 ? "" : $": {Machine.Platform}")}" : "no hypervisor seen"));
        all.Add(CheckKernel());
        all.Add(new("Hardware branch stacks", support.IsAvailable, support.Explanation, support.Remedy));
        all.Add(CheckPerfEvents());
        all.Add(CheckCapabilities());

        bool isTried = PtraceTrial.IsPossible;
        string? childFailure = isTried ? PtraceTrial.OnChild() : null, strangerFailure = isTried ? PtraceTrial.OnStranger() : null;
        if (isTried)
        {
            all.Add(new("ptrace of own children", childFailure is null, childFailure ?? "a child was met in user mode and runs on",
                childFailure is null
                    ? null : "allow perf events of this user's processes and ptrace: kernel.perf_event_paranoid 2, or CAP_PERFMON and CAP_SYS_PTRACE (in a container: --cap-add PERFMON --cap-add SYS_PTRACE, and a seccomp profile that allows both)"));
            all.Add(CheckPtraceOfOthers(strangerFailure));
        }
        else
        {
            all.Add(new("ptrace", null,
                $"not tried: there is no {LaunchedProcess.Shell} here to start a process for it, nor one to be recorded from its start",
                "'perforator agent --once' shows whether what runs here can be recorded"));
        }

        bool canFollow = childFailure is null && RuntimeInformation.ProcessArchitecture == Architecture.X64;
        all.Add(new("Software recorder", canFollow,
            RuntimeInformation.ProcessArchitecture != Architecture.X64 ? "follows x86-64 code only; this host needs hardware branch stacks"
                : !canFollow ? "needs ptrace and perf events of software clocks"
                : !isTried ? "as far as it could be tried"
                : strangerFailure is null
                    ? Syscalls.geteuid() == 0 ? "can record any process" : "can record this user's processes; others' as root"
                : "can record programs that 'perforator record -- COMMAND' starts, but no others"));

        Source = support.IsAvailable ? BranchSource.Lbr : canFollow ? BranchSource.Software : null;
    }

    /// <summary>Everything that was tried, in the order to show.</summary>
    public IReadOnlyList<Prerequisite> All => all;

    /// <summary>The source that <c>--source auto</c> takes here; null when there is none.</summary>
    public BranchSource? Source { get; }

    /// <summary>Tries everything; takes a fraction of a second.</summary>
    public static RecordingPrerequisites Try() => new(BranchStackSupport.Probe());

    /// <summary>
    /// .NET 10 needs Linux 4.18, and has more than anything here does (PTRACE_SEIZE 3.4, MMAP2 records 3.16, statx 4.11).
    /// </summary>
    private static Prerequisite CheckKernel()
    {
        string[] numbers = Machine.KernelRelease.Split('.', '-');
        bool isNew =
            numbers.Length > 1 && int.TryParse(numbers[0], out int major) && int.TryParse(numbers[1], out int minor)
                && (major, minor).CompareTo((4, 18)) >= 0;
        return new("Kernel", isNew, Machine.KernelRelease, isNew ? null : "boot Linux 4.18 or newer");
    }

    private static Prerequisite CheckPerfEvents()
    {
        const string Name = "perf events";
        string setting =
            $"kernel.perf_event_paranoid is {PerfRefusal.Setting(LinuxKernel.Instance, "perf_event_paranoid")}";
        if (BranchStackSupport.TryOpen(LinuxKernel.Instance, BranchEvent.CpuClock, threadId: 0, cpu: -1, out int error) is not { } clock)
            return new(Name, false, $"a software event does not open: {Syscalls.Describe(error)}; {setting}", PerfRefusal.Remedy(2));
        bool systemWide = BranchStackSupport.TryOpen(
            LinuxKernel.Instance, clock, PerfEvent.AllProcesses, Machine.OnlineCpus[0], out _) is not null;
        try
        {
            using PerfEventRings rings =
                new(LinuxKernel.Instance, [clock], systemWide ? RecordingScope.AllProcesses : RecordingScope.Threads);
        }
        catch (UserErrorException e)
        {
            return new(Name, false, $"{e.Message}; {setting}");
        }
        return new(Name, true, $"a software event opens for {(systemWide ? "all processes" : "processes of this user")} and its ring buffers map; {setting}",
            systemWide ? null : PerfRefusal.Remedy(0));
    }

    private static Prerequisite CheckCapabilities()
    {
        (string Name, bool Has)[] wanted =
        [
            ("CAP_PERFMON", Capabilities.Has(Capabilities.CAP_PERFMON) || Capabilities.Has(Capabilities.CAP_SYS_ADMIN)),
            ("CAP_SYS_PTRACE", Capabilities.Has(Capabilities.CAP_SYS_PTRACE)),
        ];
        string[] missing = [.. wanted.Where(c => !c.Has).Select(c => c.Name)];
        return missing.Length == 0
            ? new("Capabilities", true, $"{string.Join(", ", wanted.Select(c => c.Name))}: processes of all users can be recorded")
            : new("Capabilities", false, $"without {string.Join(" and ", missing)}: only this user's processes can be recorded",
                $"sudo setcap cap_perfmon,cap_sys_ptrace+ep {Environment.ProcessPath}, or run as root (in a container: --cap-add PERFMON --cap-add SYS_PTRACE)");
    }

    private static Prerequisite CheckPtraceOfOthers(string? failure)
    {
        string setting =
            $"kernel.yama.ptrace_scope is {Machine.ReadLine("/proc/sys/kernel/yama/ptrace_scope") ?? "not there (no Yama)"}";
        return new("ptrace of other processes", failure is null, $"{failure ?? "a process of this user was met in user mode and runs on"}; {setting}",
            failure is null
                ? null : "sudo sysctl kernel.yama.ptrace_scope=0, or run with CAP_SYS_PTRACE (in a container: --cap-add SYS_PTRACE)");
    }
}
