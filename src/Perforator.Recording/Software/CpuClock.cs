using System.Runtime.InteropServices;
using Perforator.PerfData;
using Perforator.Recording.PerfEvents;

namespace Perforator.Recording.Software;

/// <summary>A thread was in user mode when a CPU's clock struck.</summary>
/// <param name="Cpu">The CPU it ran on.</param>
/// <param name="Interval">Nanoseconds of user time that such a moment would stand for, had none been left out.</param>
/// <param name="Thinned">As only every so manieth was to be a moment.</param>
internal readonly record struct Moment(int ProcessId, int ThreadId, int Cpu, double Interval, double Thinned);

/// <summary>
/// Says which threads are in user mode, in proportion to the time that they are: a software clock on each CPU, of all processes or, where
/// only those of the own user may be seen, of given processes and all they start. It also tells of forks, execs and ends. Where nothing
/// runs, nothing is told.
/// </summary>
internal sealed class CpuClock : IDisposable
{
    /// <summary>Bytes of records in a ring; a moment or a fork takes some 50.</summary>
    private const int RingBytes = 64 * 1024;

    /// <summary>
    /// Nanoseconds between strikes where given processes are watched: their inherited clocks cannot be set anew, so only some strikes are
    /// taken for moments.
    /// </summary>
    private const ulong InheritedInterval = 1_999_993;

    private readonly IKernel kernel;
    private readonly PerfEventRings rings;
    private readonly double firstInterval;

    /// <summary>What the period of a CPU that is set now is drawn by.</summary>
    private readonly Dictionary<int, (double Interval, double Thinned)> paces = [];
    private readonly List<Moment> moments = [];
    private (double Interval, double Thinned) pace;

    /// <exception cref="UserErrorException">Perf events are closed.</exception>
    public CpuClock(double interval, IKernel kernel)
    {
        this.kernel = kernel;
        firstInterval = interval;
        pace = (interval, 1);
        PerfEventAttributes attributes = new()
        {
            Type = PerfEventAttributes.PERF_TYPE_SOFTWARE,
            Config = PerfEventAttributes.PERF_COUNT_SW_CPU_CLOCK,
            SamplePeriod = (ulong)interval,
            SampleType = PerfSampleType.PERF_SAMPLE_TID,
            Flags = PerfAttributeFlags.Disabled | PerfAttributeFlags.ExcludeKernel | PerfAttributeFlags.ExcludeHypervisor
                | PerfAttributeFlags.ExcludeIdle | PerfAttributeFlags.Task | PerfAttributeFlags.Comm | PerfAttributeFlags.CommExec,
            WakeUp = 1,
        };
        try
        {
            rings = new PerfEventRings(kernel, [new("cpu-clock", attributes)], RecordingScope.AllProcesses, RingBytes);
        }
        catch (UserErrorException)
        {
            attributes = attributes with { SamplePeriod = InheritedInterval };
            rings = new PerfEventRings(kernel, [new("cpu-clock", attributes)], RecordingScope.Threads, RingBytes);
        }
    }

    /// <summary>Whether all processes are watched; else <see cref="Watch"/> says which.</summary>
    public bool SeesAll => rings.Scope == RecordingScope.AllProcesses;

    /// <summary>The CPUs that are online and not watched, as their event cannot be opened.</summary>
    public int MissedCpus => rings.Failures.Count;

    /// <summary>Takes in CPUs that have come, and lets go of those that are gone, and of processes that have ended.</summary>
    /// <param name="running">Processes that are known to run.</param>
    public void Follow(IReadOnlySet<int> running)
    {
        _ = rings.FollowCpus();
        foreach (int gone in paces.Keys.Except(rings.Cpus).ToArray())
            paces.Remove(gone);
        foreach (int ended in rings.Processes.Except(running).Where(id => !PerfEventRings.ThreadsOf(kernel, id).Any()).ToArray())
            rings.Forget(ended);
    }

    /// <summary>How far apart moments are from the next on, or, where that would be long in coming, from now on.</summary>
    /// <param name="interval">Nanoseconds of user time, on average.</param>
    /// <param name="thinned">By how much further apart, as that many less are wanted.</param>
    public void SetPace(double interval, double thinned)
    {
        pace = (interval, thinned);
        foreach (int cpu in SeesAll ? rings.Cpus : [])
            if (PaceOf(cpu) is var set && set.Interval * set.Thinned > 2 * interval * thinned)
                SetAnew(cpu);
    }

    /// <summary>Watches a process that runs, and what it starts.</summary>
    /// <returns>How many of its threads cannot be watched, as too many files are open.</returns>
    public ulong Watch(int processId)
    {
        ulong before = rings.ThreadsMissed;
        rings.Add(processId);
        return rings.ThreadsMissed - before;
    }

    /// <summary>Waits for a moment, or as long.</summary>
    public void Wait(int milliseconds) => rings.Wait(milliseconds);

    /// <summary>
    /// Takes what the clocks have told: first all forks, execs and ends, then the moments, in an order that has no meaning.
    /// </summary>
    /// <param name="watcher">Is told of them.</param>
    /// <returns>Valid until the next call.</returns>
    public IReadOnlyList<Moment> Read(IProcessWatcher watcher)
    {
        moments.Clear();
        if (rings.Read((cpu, record, _) => Read(cpu, record, watcher)) != 0)
            watcher.OnLostRecords();
        return moments;
    }

    public void Dispose() => rings.Dispose();

    private void Read(int cpu, ReadOnlySpan<byte> record, IProcessWatcher watcher)
    {
        PerfRecordHeader header = PerfRecordHeader.Parse(record);
        switch (header.Type)
        {
            case PerfRecordType.PERF_RECORD_SAMPLE when record.Length >= PerfRecordHeader.ByteCount + (2 * sizeof(int)):
                (int process, int thread) = (MemoryMarshal.Read<int>(record[PerfRecordHeader.ByteCount..]), MemoryMarshal.Read<int>(
                    record[(PerfRecordHeader.ByteCount + sizeof(int))..]));
                if (SeesAll)
                {
                    (double interval, double thinned) = PaceOf(cpu);
                    moments.Add(new(process, thread, cpu, interval, thinned));
                    SetAnew(cpu);
                }
                else if (Random.Shared.NextDouble() * pace.Interval * pace.Thinned < InheritedInterval)
                    moments.Add(new(process, thread, cpu, Math.Max(pace.Interval, InheritedInterval), pace.Thinned));
                break;
            case PerfRecordType.PERF_RECORD_FORK
                when TaskRecord.TryDecode(record, out TaskRecord fork) && fork.ProcessId != fork.ParentProcessId:
                watcher.OnFork(fork.ProcessId, fork.ParentProcessId);
                break;
            case PerfRecordType.PERF_RECORD_EXIT when TaskRecord.TryDecode(record, out TaskRecord exit) && exit.ProcessId == exit.ThreadId:
                watcher.OnLeaderExit(exit.ProcessId);
                break;
            case PerfRecordType.PERF_RECORD_COMM when CommRecord.TryDecode(record, out CommRecord comm) && comm.IsExec:
                watcher.OnExec(comm.ProcessId);
                break;
            case PerfRecordType.PERF_RECORD_LOST:
                watcher.OnLostRecords();
                break;
            default:
                break;
        }
    }

    private (double Interval, double Thinned) PaceOf(int cpu) => paces.GetValueOrDefault(cpu, (firstInterval, 1));

    /// <summary>
    /// The time to the next strike is drawn at random, so that nothing periodic is met in step; no less than half the mean, or an idle
    /// CPU's clock would strike in vain all the time.
    /// </summary>
    private void SetAnew(int cpu)
    {
        paces[cpu] = pace;
        rings.SetPeriod(cpu, (ulong)(pace.Interval * pace.Thinned * (0.5 + Random.Shared.NextDouble())));
    }
}

/// <summary>What a <see cref="CpuClock"/> tells of processes besides that they run.</summary>
internal interface IProcessWatcher
{
    void OnFork(int processId, int parentProcessId);

    void OnExec(int processId);

    /// <summary>A process's first thread has ended; mostly that ends the process.</summary>
    void OnLeaderExit(int processId);

    /// <summary>Any of the above may have been missed.</summary>
    void OnLostRecords();
}
