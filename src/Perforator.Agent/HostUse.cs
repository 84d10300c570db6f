using System.Diagnostics;
using System.Globalization;

namespace Perforator.Agent;

/// <summary>What this process takes of the host: recorder, aggregation and uploads together.</summary>
/// <param name="CpuShare">Its CPU time as a share of all CPUs' time.</param>
/// <param name="MemoryBytes">Its resident memory.</param>
public readonly record struct HostUse(double CpuShare, long MemoryBytes)
{
    /// <summary>Since the process was started.</summary>
    public static HostUse SinceStart()
    {
        using Process self = Process.GetCurrentProcess();
        return new(self.TotalProcessorTime / ((DateTime.Now - self.StartTime) * Environment.ProcessorCount), Environment.WorkingSet);
    }

    public override string ToString() =>
        string.Create(CultureInfo.InvariantCulture, $"{CpuShare * 100:0.00} % of the host's CPU time, {MemoryBytes / 1e6:0} MB");
}
