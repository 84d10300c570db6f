using System.Globalization;
using Perforator.PerfData;

namespace Perforator.Recording.PerfEvents;

/// <summary>
/// The performance counters of one kind of core: most machines have one kind, hybrid Intel CPUs and Arm's big.LITTLE several, whose
/// raw events differ and are each open to their own CPUs only.
/// </summary>
/// <param name="Name">The kernel's name: cpu, cpu_core, cpu_atom, armv8_pmuv3_0, …</param>
/// <param name="Type">What perf_event_attr.type has to be for its raw events.</param>
/// <param name="Cpus">Its CPUs; null where the kernel lists none, as there is one kind.</param>
internal sealed record CpuPmu(string Name, uint Type, IReadOnlyList<int>? Cpus)
{
    /// <summary>Where the kernel shows its PMUs.</summary>
    public const string Devices = "/sys/bus/event_source/devices";

    /// <summary>Whether a CPU is of this kind.</summary>
    public bool Covers(int cpu) => Cpus is null || Cpus.Contains(cpu);

    /// <summary>
    /// The PMUs of the cores: the one named cpu, and each with a file cpus (those of caches and memory controllers have cpumask). One
    /// for all CPUs, of PERF_TYPE_RAW, where sysfs does not show any.
    /// </summary>
    public static IReadOnlyList<CpuPmu> Find(IKernel kernel)
    {
        List<CpuPmu> found = [];
        foreach (string name in kernel.List(Devices))
        {
            string? cpus = kernel.ReadText($"{Devices}/{name}/cpus");
            if ((name == "cpu" || cpus is not null)
                && uint.TryParse(kernel.ReadText($"{Devices}/{name}/type"), NumberStyles.None, CultureInfo.InvariantCulture, out uint type))
                found.Add(new(name, type, cpus is null ? null : Machine.ParseCpuList(cpus)));
        }
        return found.Count != 0 ? found : [new("cpu", PerfEventAttributes.PERF_TYPE_RAW, null)];
    }
}
