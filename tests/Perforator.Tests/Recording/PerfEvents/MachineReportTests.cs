using System.Text.Json;
using Perforator.Recording;
using Perforator.Recording.PerfEvents;
using Perforator.Recording.Prerequisites;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Recording.PerfEvents;

public sealed class MachineReportTests
{
    [Fact]
    public void A_report_tells_what_another_machine_has_and_what_came_of_trying_it()
    {
        using ScriptedKernel kernel = new(0, 1);
        kernel.Files["/proc/cpuinfo"] = "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel\t\t: 151\nflags\t\t: fpu arch_lbr hybrid_cpu\n\nprocessor\t: 1\nmodel\t\t: 151";
        foreach ((string name, int type, int cpu) in (ReadOnlySpan<(string, int, int)>)[("cpu_core", 4, 0), ("cpu_atom", 10, 1)])
        {
            kernel.Files[$"{CpuPmu.Devices}/{name}/type"] = $"{type}";
            kernel.Files[$"{CpuPmu.Devices}/{name}/cpus"] = $"{cpu}";
            kernel.Files[$"{CpuPmu.Devices}/{name}/caps/branches"] = "32";
        }
        kernel.StackOfLoop = static a => a.Type == 4 ? [0x1040, 0x1010, 0] : [];
        kernel.Refuse = static (_, target, _) => target == -1 ? Syscalls.EACCES : 0;
        MachineReport report = MachineReport.Make(kernel);
        Assert.Equal(0, kernel.Descriptors);
        Assert.Equal(["arch_lbr", "hybrid_cpu"], report.Flags);
        Assert.Equal("151", report.Cpu["model"]);
        Assert.Equal([("cpu_atom", "32"), ("cpu_core", "32")], report.Pmus.Select(p => (p.Name, p.Files["caps/branches"])).Order());
        Assert.Equal("10", report.Pmus.Single(p => p.Name == "cpu_atom").Files["type"]);
        MachineReport.TrialReport core = report.Trials.Single(t => t.Pmu == "cpu_core");
        Assert.Equal(("0x20c4", 39, 0, 1, null), (core.Config, core.Stacks, core.EmptyStacks, core.Deepest, core.Refusal));
        Assert.Equal("opens, but 39 of 39 branch stacks of a loop came empty", report.Trials.First(t => t.Pmu == "cpu_atom").Refusal);
        Assert.StartsWith(
            "Permission denied (kernel.perf_event_paranoid is 2", report.Scopes["all processes, one CPU"], StringComparison.Ordinal);
        Assert.StartsWith("mapped on 1 CPUs", report.Scopes["rings, Threads"], StringComparison.Ordinal);
    }

    [Fact]
    public void The_command_prints_it_without_names_of_host_user_or_folders()
    {
        string output = Tool.Cli("doctor", "--report").Succeeded().Output;
        using JsonDocument json = JsonDocument.Parse(output);
        Assert.Equal(1, json.RootElement.GetProperty("version").GetInt32());
        Assert.NotEmpty(json.RootElement.GetProperty("trials").EnumerateArray());
        Assert.Equal(Machine.KernelRelease, json.RootElement.GetProperty("kernel").GetString());
        foreach (string secret in (string[])[Environment.CurrentDirectory, Tool.RepositoryRoot(), Path.GetDirectoryName(Tool.Perforator)!])
            Assert.DoesNotContain(secret, output, StringComparison.Ordinal);
    }
}
