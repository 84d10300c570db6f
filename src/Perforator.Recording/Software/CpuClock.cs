using System.Globalization;
using System.Runtime.InteropServices;
using Perforator.PerfData;
using Perforator.Recording.PerfEvents;

namespace Perforator.Recording.Software;

/// <summary>A thread was in user mode when a CPU's clock struck.</summary>
/// <param name="Cpu">The CPU it ran on.</param>
/// <param name="Interval">Nanoseconds of user time that such a moment stands for, as moments were that far apart on average.</param>
internal readonly record struct Moment(int ProcessId, int ThreadId, int Cpu, double Interval);

/// <summary>
/// Says which threads are in user mode, in proportion to the time that they are: a software clock on each CPU, of all processes or, where only those of the own user may be seen, of given
/// processes and all they start. It also tells of forks, execs and ends. Where nothing runs, nothing is told.
/// </summary>
internal sealed unsafe class CpuClock : IDisposable
{
    /// <summary>Data pages of each ring: a power of two; a moment or a fork takes some 50 bytes.</summary>
    private const int DataPages = 16;

    /// <summary>Nanoseconds between strikes where given processes are watched: their inherited clocks cannot be set anew, so only some strikes are taken for moments.</summary>
    private const ulong InheritedInterval = 1_999_993;

    /// <summary>Files open at most for threads that are watched one by one; each takes some kilobytes of the kernel's memory.</summary>
    private const int MaxEvents = 8192;

    private readonly List<PerfRing> rings = [];
    private readonly List<PerfEvent> owners = [], events = [];
    private readonly List<Moment> moments = [];
    private readonly double[] intervals;
    private readonly PerfEventAttributes attributes;
    private readonly PerfRecordLayout layout;
    private readonly Syscalls.PollFd[] polled;

    /// <exception cref="UserErrorException">Perf events are closed.</exception>
    public CpuClock(double interval)
    {
        IReadOnlyList<int> cpus = Machine.OnlineCpus;
        intervals = [.. cpus.Select(_ => interval)];
        PerfAttributeFlags records = PerfAttributeFlags.Task | PerfAttributeFlags.Comm | PerfAttributeFlags.CommExec;
        attributes = new PerfEventAttributes
        {
            Type = PerfEventAttributes.PERF_TYPE_SOFTWARE,
            Config = PerfEventAttributes.PERF_COUNT_SW_CPU_CLOCK,
            SamplePeriod = (ulong)interval,
            SampleType = PerfSampleType.PERF_SAMPLE_TID,
            Flags = PerfAttributeFlags.ExcludeKernel | PerfAttributeFlags.ExcludeHypervisor | PerfAttributeFlags.ExcludeIdle | records,
            WakeUp = 1,
        };
        layout = new PerfRecordLayout(attributes);
        try
        {
            SeesAll = TryOpen(cpus, attributes, PerfEvent.AllProcesses, out _);
            if (!SeesAll)
            {
                // Events end with their threads, the rings shall not.
                PerfEventAttributes owner = attributes with { Config = PerfEventAttributes.PERF_COUNT_SW_DUMMY, Flags = PerfAttributeFlags.Disabled | PerfAttributeFlags.ExcludeKernel };
                if (!TryOpen(cpus, owner, 0, out int error))
                    throw Closed(error);
                attributes = attributes with { SamplePeriod = InheritedInterval, Flags = attributes.Flags | PerfAttributeFlags.Inherit };
            }
        }
        catch
        {
            Dispose();
            throw;
        }
        polled = [.. owners.Select(owner => new Syscalls.PollFd { Fd = owner.Fd, Events = Syscalls.POLLIN })];
    }

    /// <summary>Whether all processes are watched; else <see cref="Watch"/> says which.</summary>
    public bool SeesAll { get; }

    /// <summary>Nanoseconds of user time between moments, on average, from the next on.</summary>
    public double Interval { get; set; } = InheritedInterval;

    /// <summary>Watches a process that runs, and what it starts.</summary>
    /// <returns>How many of its threads cannot be watched, as too many files are open.</returns>
    public int Watch(int processId)
    {
        int unseen = 0;
        foreach (int thread in SeesAll ? [] : Threads(processId))
        {
            for (int i = 0; i < owners.Count; i++)
            {
                int error = Syscalls.EMFILE;
                PerfEvent? clock = events.Count >= MaxEvents ? null : PerfEvent.TryOpen(LinuxKernel.Instance, attributes, thread, Machine.OnlineCpus[i], out error);
                if (clock is null)
                {
                    unseen += error == Syscalls.ESRCH ? 0 : 1;
                    break;
                }
                _ = clock.ShareRingOf(owners[i]);
                events.Add(clock);
            }
        }
        return unseen;
    }

    /// <summary>Waits for a moment, or as long.</summary>
    public void Wait(int milliseconds) => _ = Syscalls.Poll(polled, (ulong)polled.Length, milliseconds);

    /// <summary>
    /// Takes what the clocks have told: first all forks, execs and ends, then the moments, in an order that has no meaning.
    /// </summary>
    /// <param name="watcher">Is told of them.</param>
    /// <returns>Valid until the next call.</returns>
    public IReadOnlyList<Moment> Read(IProcessWatcher watcher)
    {
        moments.Clear();
        for (int i = 0; i < rings.Count; i++)
        {
            int index = i;
            try
            {
                rings[i].Read((record, _) => Read(index, record, watcher), layout);
            }
            catch (InvalidDataException)
            {
                watcher.OnLostRecords();
            }
        }
        return moments;
    }

    public void Dispose()
    {
        foreach (PerfEvent clock in events.Concat(owners))
            clock.Dispose();
        foreach (PerfRing ring in rings)
            ring.Dispose();
    }

    /// <summary>The remedy where perf events are closed.</summary>
    public static UserErrorException Closed(int error) => new(
        $"the software recorder may open no perf events here ({Syscalls.Describe(error)}): sudo sysctl kernel.perf_event_paranoid=2, or run with CAP_PERFMON (in a container: --cap-add PERFMON, and a seccomp profile that allows perf_event_open)");

    private bool TryOpen(IReadOnlyList<int> cpus, PerfEventAttributes clock, int threadId, out int error)
    {
        error = 0;
        foreach (int cpu in cpus)
        {
            if (PerfEvent.TryOpen(LinuxKernel.Instance, clock, threadId, cpu, out error) is not { } opened)
                return false;
            owners.Add(opened);
            if (PerfRing.TryMap(LinuxKernel.Instance, opened, DataPages, out error) is not { } ring)
                throw new UserErrorException($"cannot map a perf ring buffer: {PerfRefusal.ToMap(LinuxKernel.Instance, error)}");
            rings.Add(ring);
        }
        return true;
    }

    private void Read(int cpu, ReadOnlySpan<byte> record, IProcessWatcher watcher)
    {
        PerfRecordHeader header = PerfRecordHeader.Parse(record);
        switch (header.Type)
        {
            case PerfRecordType.PERF_RECORD_SAMPLE when record.Length >= PerfRecordHeader.ByteCount + (2 * sizeof(int)):
                (int process, int thread) = (MemoryMarshal.Read<int>(record[PerfRecordHeader.ByteCount..]), MemoryMarshal.Read<int>(record[(PerfRecordHeader.ByteCount + sizeof(int))..]));
                if (SeesAll || Random.Shared.NextDouble() * Interval < InheritedInterval)
                    moments.Add(new(process, thread, Machine.OnlineCpus[cpu], SeesAll ? intervals[cpu] : Math.Max(Interval, InheritedInterval)));
                if (SeesAll)
                    SetAnew(cpu);
                break;
            case PerfRecordType.PERF_RECORD_FORK when TaskRecord.TryDecode(record, out TaskRecord fork) && fork.ProcessId != fork.ParentProcessId:
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

    /// <summary>The time to the next strike is drawn at random, so that nothing periodic is met in step; no less than half the mean, or an idle CPU's clock would strike in vain all the time.</summary>
    private void SetAnew(int cpu)
    {
        intervals[cpu] = Interval;
        ulong period = (ulong)(Interval * (0.5 + Random.Shared.NextDouble()));
        owners[cpu].SetPeriod(period);
    }

    private static int[] Threads(int processId)
    {
        try
        {
            return [.. Directory.EnumerateDirectories($"/proc/{processId}/task").Select(folder => int.Parse(Path.GetFileName(folder), CultureInfo.InvariantCulture))];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return [];
        }
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
