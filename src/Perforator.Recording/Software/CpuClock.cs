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

    /// <summary>Files open at most for threads that are watched one by one; each takes some kilobytes of the kernel's memory.</summary>
    private const int MaxEvents = 8192;

    private sealed class Cpu(int number, PerfEvent owner, PerfRing ring, double interval)
    {
        public int Number => number;

        /// <summary>The clock where all processes are watched; else an event that counts nothing and holds the ring.</summary>
        public PerfEvent Owner => owner;

        public PerfRing Ring => ring;

        /// <summary>What the period that is set now is drawn by.</summary>
        public (double Interval, double Thinned) Pace { get; set; } = (interval, 1);

        /// <summary>poll has nothing more to wait for: the CPU is gone.</summary>
        public bool HasHungUp { get; set; }
    }

    private readonly IKernel kernel;
    private readonly List<Cpu> cpus = [];
    private readonly HashSet<int> failed = [];
    private readonly List<(int Cpu, PerfEvent Event)> events = [];
    private readonly List<Moment> moments = [];
    private (double Interval, double Thinned) pace;
    private readonly PerfEventAttributes attributes;
    private readonly PerfRecordLayout layout;

    /// <exception cref="UserErrorException">Perf events are closed.</exception>
    public CpuClock(double interval, IKernel kernel)
    {
        this.kernel = kernel;
        pace = (interval, 1);
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
            SeesAll = true;
            _ = FollowCpus(out _);
            if (cpus.Count > 0)
                return;
            SeesAll = false;
            attributes = attributes with { SamplePeriod = InheritedInterval, Flags = attributes.Flags | PerfAttributeFlags.Inherit };
            failed.Clear();
            _ = FollowCpus(out UserErrorException? refusal);
            if (cpus.Count == 0)
                throw refusal ?? Closed(Syscalls.ENODEV);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Whether all processes are watched; else <see cref="Watch"/> says which.</summary>
    public bool SeesAll { get; }

    /// <summary>The CPUs that are online and not watched, as their event cannot be opened.</summary>
    public int MissedCpus => failed.Count;

    /// <summary>Takes in CPUs that have come, and lets go of those that are gone.</summary>
    /// <returns>Those that have come: <see cref="Watch"/> the processes on them, unless all are.</returns>
    public IReadOnlyList<int> FollowCpus() => FollowCpus(out _);

    /// <summary>How far apart moments are from the next on, or, where that would be long in coming, from now on.</summary>
    /// <param name="interval">Nanoseconds of user time, on average.</param>
    /// <param name="thinned">By how much further apart, as that many less are wanted.</param>
    public void SetPace(double interval, double thinned)
    {
        pace = (interval, thinned);
        foreach (Cpu cpu in cpus)
            if (SeesAll && cpu.Pace.Interval * cpu.Pace.Thinned > 2 * interval * thinned)
                SetAnew(cpu);
    }

    /// <summary>Watches a process that runs, and what it starts.</summary>
    /// <param name="on">The CPUs; null for all.</param>
    /// <returns>How many of its threads cannot be watched, as too many files are open.</returns>
    public int Watch(int processId, IReadOnlyList<int>? on = null)
    {
        int unseen = 0;
        foreach (int thread in SeesAll ? [] : PerfEventRings.ThreadsOf(kernel, processId))
        {
            foreach (Cpu cpu in cpus)
            {
                if (on?.Contains(cpu.Number) == false)
                    continue;
                int error = Syscalls.EMFILE;
                PerfEvent? clock = events.Count >= MaxEvents ? null : PerfEvent.TryOpen(kernel, attributes, thread, cpu.Number, out error);
                if (clock is null)
                {
                    unseen += error == Syscalls.ESRCH ? 0 : 1;
                    break;
                }
                _ = clock.ShareRingOf(cpu.Owner);
                events.Add((cpu.Number, clock));
            }
        }
        return unseen;
    }

    /// <summary>Waits for a moment, or as long.</summary>
    public void Wait(int milliseconds)
    {
        Cpu[] waited = [.. cpus.Where(static c => !c.HasHungUp)];
        Span<Syscalls.PollFd> fds = new Syscalls.PollFd[waited.Length];
        for (int i = 0; i < waited.Length; i++)
            fds[i] = new Syscalls.PollFd { Fd = waited[i].Owner.Fd, Events = Syscalls.POLLIN };
        _ = kernel.Poll(fds, milliseconds);
        for (int i = 0; i < waited.Length; i++)
            waited[i].HasHungUp = (fds[i].Returned & (Syscalls.POLLHUP | Syscalls.POLLERR)) != 0;
    }

    /// <summary>
    /// Takes what the clocks have told: first all forks, execs and ends, then the moments, in an order that has no meaning.
    /// </summary>
    /// <param name="watcher">Is told of them.</param>
    /// <returns>Valid until the next call.</returns>
    public IReadOnlyList<Moment> Read(IProcessWatcher watcher)
    {
        moments.Clear();
        foreach (Cpu cpu in cpus)
        {
            try
            {
                cpu.Ring.Read((record, _) => Read(cpu, record, watcher), layout);
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
        foreach (int cpu in cpus.Select(static c => c.Number).ToArray())
            Close(cpu);
    }

    /// <summary>The remedy where perf events are closed.</summary>
    public static UserErrorException Closed(int error) => new(
        $"the software recorder may open no perf events here ({Syscalls.Describe(error)}): sudo sysctl kernel.perf_event_paranoid=2, or run with CAP_PERFMON (in a container: --cap-add PERFMON, and a seccomp profile that allows perf_event_open)");

    private List<int> FollowCpus(out UserErrorException? refusal)
    {
        refusal = null;
        IReadOnlyList<int> online = Machine.ParseCpuList(kernel.ReadText(Machine.OnlineCpusFile) ?? "0");
        // Events of a CPU end with it, those of a thread wait for it to come back.
        foreach (int gone in cpus.Where(c => c.HasHungUp || (SeesAll && !online.Contains(c.Number))).Select(static c => c.Number).ToArray())
            Close(gone);
        failed.IntersectWith(online);
        List<int> come = [];
        foreach (int number in online)
        {
            if (cpus.Exists(c => c.Number == number))
                continue;
            if (TryOpen(number, ref refusal) is not { } cpu)
            {
                failed.Add(number);
                continue;
            }
            cpus.Add(cpu);
            failed.Remove(number);
            come.Add(number);
        }
        return come;
    }

    private Cpu? TryOpen(int number, ref UserErrorException? refusal)
    {
        // Events end with their threads, the rings shall not.
        PerfEventAttributes ofRing = SeesAll ? attributes
            : attributes with
            {
                Config = PerfEventAttributes.PERF_COUNT_SW_DUMMY,
                Flags = PerfAttributeFlags.Disabled | PerfAttributeFlags.ExcludeKernel
            };
        if (PerfEvent.TryOpen(kernel, ofRing, SeesAll ? PerfEvent.AllProcesses : 0, number, out int error) is not { } owner)
        {
            refusal = Closed(error);
            return null;
        }
        if (PerfRing.TryMap(kernel, owner, RingBytes, out error) is { } ring)
            return new Cpu(number, owner, ring, attributes.SamplePeriod);
        owner.Dispose();
        refusal = new UserErrorException($"cannot map a perf ring buffer: {PerfRefusal.ToMap(kernel, error)}");
        return null;
    }

    private void Close(int number)
    {
        events.RemoveAll(e =>
        {
            if (e.Cpu != number)
                return false;
            e.Event.Dispose();
            return true;
        });
        Cpu cpu = cpus.Find(c => c.Number == number)!;
        cpus.Remove(cpu);
        cpu.Owner.Dispose();
        cpu.Ring.Dispose();
    }

    private void Read(Cpu cpu, ReadOnlySpan<byte> record, IProcessWatcher watcher)
    {
        PerfRecordHeader header = PerfRecordHeader.Parse(record);
        switch (header.Type)
        {
            case PerfRecordType.PERF_RECORD_SAMPLE when record.Length >= PerfRecordHeader.ByteCount + (2 * sizeof(int)):
                (int process, int thread) = (MemoryMarshal.Read<int>(record[PerfRecordHeader.ByteCount..]), MemoryMarshal.Read<int>(
                    record[(PerfRecordHeader.ByteCount + sizeof(int))..]));
                if (SeesAll)
                    moments.Add(new(process, thread, cpu.Number, cpu.Pace.Interval, cpu.Pace.Thinned));
                else if (Random.Shared.NextDouble() * pace.Interval * pace.Thinned < InheritedInterval)
                    moments.Add(new(process, thread, cpu.Number, Math.Max(pace.Interval, InheritedInterval), pace.Thinned));
                if (SeesAll)
                    SetAnew(cpu);
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

    /// <summary>
    /// The time to the next strike is drawn at random, so that nothing periodic is met in step; no less than half the mean, or an idle
    /// CPU's clock would strike in vain all the time.
    /// </summary>
    private void SetAnew(Cpu cpu)
    {
        cpu.Pace = pace;
        cpu.Owner.SetPeriod((ulong)(pace.Interval * pace.Thinned * (0.5 + Random.Shared.NextDouble())));
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
