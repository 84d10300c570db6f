namespace Perforator.Agent;

/// <summary>What this process takes of the host, as a <see cref="HostBudget"/> reads it.</summary>
/// <param name="Cpus">CPUs of the host.</param>
/// <param name="CpuTime">CPU time of all its threads, of those that have ended too, since its start.</param>
/// <param name="MemoryBytes">Its resident memory.</param>
/// <param name="Collect">Has the runtime give back what it can.</param>
internal sealed record OwnUse(int Cpus, Func<TimeSpan> CpuTime, Func<long> MemoryBytes, Action Collect)
{
    public static OwnUse OfThisProcess { get; } = new(
        Environment.ProcessorCount, static () => Environment.CpuUsage.TotalTime, static () => Environment.WorkingSet,
        static () => GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true));
}
