using System.Globalization;
using System.Text;
using Perforator.PerfData;

namespace Perforator.Recording.PerfEvents;

/// <summary>
/// One ring buffer for each CPU that is online and the events that write into it. What fails on one CPU costs that CPU; CPUs that come are
/// taken in, and those that go let go of.
/// </summary>
internal sealed class PerfEventRings : IDisposable
{
    /// <summary>
    /// Bytes of records in a ring: 512 KiB, which together with its metadata page is what kernel.perf_event_mlock_kb lets every user lock
    /// per CPU, with pages of 64 KiB too. At 500 stacks of 32 entries a second, over a second's worth. Halved until all have one where less
    /// may be locked.
    /// </summary>
    public const int RingBytes = 512 * 1024;

    /// <summary>Why a CPU is missing.</summary>
    public const string CpuNotRecorded = "CPU that could not be recorded: nothing that ran on it is counted";

    /// <summary>Why threads are missing.</summary>
    public const string ThreadNotRecorded = "thread that could not be recorded (too many open files, or not permitted)";

    /// <summary>Files open at most for threads that are recorded one by one; each takes some kilobytes of the kernel's memory.</summary>
    private const int MaxThreadEvents = 8192;

    private sealed class Cpu(int number, BranchEvent perfEvent, PerfRecordLayout layout)
    {
        public int Number { get; } = number;
        public BranchEvent Event { get; } = perfEvent;
        public PerfRecordLayout Layout { get; } = layout;
        public List<(object Target, PerfEvent Event)> Events { get; } = [];
        public required PerfEvent RingOwner { get; init; }
        public required PerfRing Ring { get; init; }

        /// <summary>poll has nothing more to wait for: the CPU is gone.</summary>
        public bool HasHungUp { get; set; }
    }

    /// <summary>Is given each record with its CPU.</summary>
    internal delegate void CpuRecordHandler(int cpu, ReadOnlySpan<byte> record, PerfRecordLayout layout);

    private readonly IKernel kernel;
    private readonly IReadOnlyList<BranchEvent> events;
    private readonly SortedDictionary<int, Cpu> cpus = [];
    private readonly SortedDictionary<int, string> failures = [];
    private readonly EventFamilies families = new();
    private readonly Dictionary<string, int> groups = new(StringComparer.Ordinal);
    private int ringBytes;
    private bool lacksMemory;
    private ulong periodFactor = 1;

    /// <param name="events">Events that are known to open, one for each kind of cores.</param>
    /// <param name="scope">Whom they count.</param>
    /// <param name="ringBytes">Bytes of records in a ring, if there are as many.</param>
    /// <exception cref="UserErrorException">On no CPU can an event be opened and its ring be mapped.</exception>
    public PerfEventRings(IKernel kernel, IReadOnlyList<BranchEvent> events, RecordingScope scope, int ringBytes = RingBytes)
    {
        this.kernel = kernel;
        this.events = events;
        this.ringBytes = ringBytes;
        Scope = scope;
        for (FollowCpus(); lacksMemory && this.ringBytes > kernel.PageSize; FollowCpus())
        {
            // Each CPU as much as the others: what one ring takes beyond, the last ones would lack.
            CloseCpus();
            failures.Clear();
            lacksMemory = false;
            this.ringBytes /= 2;
        }
        if (cpus.Count == 0)
            throw new UserErrorException(
                $"cannot record on any CPU: {(failures.Count == 0 ? "none is online" : failures.First().Value)}; 'perforator doctor' tells more");
    }

    /// <summary>Whom the events count.</summary>
    public RecordingScope Scope { get; }

    /// <summary>The CPUs that are recorded.</summary>
    public IReadOnlyCollection<int> Cpus => cpus.Keys;

    /// <summary>CPUs that are online and not recorded, each with the reason.</summary>
    public IReadOnlyDictionary<int, string> Failures => failures;

    /// <summary>Threads that no event could be opened for.</summary>
    public ulong ThreadsMissed { get; private set; }

    /// <summary>Whether events count what a process does without another <see cref="Add"/>.</summary>
    public bool Follows(int processId) => Scope != RecordingScope.Threads || families.Has(processId);

    /// <summary>Opens what is missing on CPUs that have come, and closes what is left of those that have gone.</summary>
    /// <returns>How many CPUs have failed that had not before.</returns>
    public int FollowCpus()
    {
        int[] online = [.. Machine.ParseCpuList(kernel.ReadText(Machine.OnlineCpusFile) ?? "0")];

        // A thread's events wait for the CPU to come back; events of a CPU end with it (perf_event_exit_cpu).
        if (Scope != RecordingScope.Threads)
            foreach (int gone in cpus.Where(c => c.Value.HasHungUp || !online.Contains(c.Key)).Select(c => c.Key).ToArray())
                Close(gone);
        foreach (int gone in failures.Keys.Except(online).ToArray())
            failures.Remove(gone);
        int failed = 0;
        foreach (int number in online)
        {
            if (cpus.ContainsKey(number))
                continue;
            if (TryOpenCpu(number, out string reason) is { } cpu)
            {
                cpus.Add(number, cpu);
                failures.Remove(number);
                foreach ((string path, int folder) in groups)
                    _ = TryAdd(cpu, path, folder, Syscalls.PERF_FLAG_PID_CGROUP);
                foreach (int processId in families.Processes)
                    AddThreads(processId, families.RootOf(processId), [cpu]);
            }
            else
            {
                failed += failures.TryAdd(number, reason) ? 1 : 0;
            }
        }
        return failed;
    }

    /// <summary>Records a process in the thread-by-thread scope, unless events count it already; does nothing in the others.</summary>
    /// <exception cref="UserErrorException">It is the first, and not permitted.</exception>
    public void Add(int processId)
    {
        if (Follows(processId))
            return;
        bool isFirst = families.Processes.Count == 0;
        families.Begin(processId);
        int error = AddThreads(processId, processId, cpus.Values);
        if (isFirst && error != 0 && cpus.Values.All(c => c.Events.Count == 0))
            throw new UserErrorException(
                $"cannot record process {processId}: {PerfRefusal.ToOpen(kernel, error)}; 'perforator doctor' tells more");
    }

    /// <summary>The processes that events were opened for or are inherited by, in the thread-by-thread scope.</summary>
    public IReadOnlyCollection<int> Processes => families.Processes;

    /// <summary>A process has ended: closes what counted it and its family, if it was the last of that.</summary>
    public void Forget(int processId)
    {
        if (families.End(processId) is { } root)
            CloseEvents(root);
    }

    /// <summary>Records these control groups and what is below them, and no others.</summary>
    /// <param name="folders">Their folders in the hierarchy that has the perf_event controller.</param>
    /// <returns>False when one of them cannot be recorded, which its ending may explain.</returns>
    public bool KeepOnlyGroups(IReadOnlySet<string> folders)
    {
        foreach (string gone in groups.Keys.Except(folders).ToArray())
        {
            CloseEvents(gone);
            kernel.Close(groups[gone]);
            groups.Remove(gone);
        }
        bool all = true;
        foreach (string folder in folders.Except(groups.Keys).ToArray())
        {
            int fd = kernel.OpenFolder(folder);
            if (fd < 0)
            {
                all = false;
                continue;
            }
            groups.Add(folder, fd);
            all &= cpus.Values.All(cpu => TryAdd(cpu, folder, fd, Syscalls.PERF_FLAG_PID_CGROUP) == 0);
        }
        return all;
    }

    /// <summary>Samples more rarely: the periods of all events become this many times those they began with.</summary>
    public void SetPeriodFactor(ulong factor)
    {
        periodFactor = factor;
        foreach (Cpu cpu in cpus.Values)
        {
            ulong period = SamplingBudget.Period(cpu.Event.Attributes.SamplePeriod, factor);
            if (Scope == RecordingScope.AllProcesses)
                cpu.RingOwner.SetPeriod(period);
            foreach ((_, PerfEvent perfEvent) in cpu.Events)
                perfEvent.SetPeriod(period);
        }
    }

    /// <summary>Sets the period of one CPU's event for all processes.</summary>
    public void SetPeriod(int cpu, ulong period) => cpus[cpu].RingOwner.SetPeriod(period);

    /// <summary>Waits until a ring is a quarter full or what its event calls full, or for the time given.</summary>
    public void Wait(int milliseconds)
    {
        Cpu[] waited = [.. cpus.Values.Where(c => !c.HasHungUp)];
        Span<Syscalls.PollFd> fds = waited.Length <= 512 ? stackalloc Syscalls.PollFd[waited.Length] : new Syscalls.PollFd[waited.Length];
        for (int i = 0; i < waited.Length; i++)
            fds[i] = new Syscalls.PollFd { Fd = waited[i].RingOwner.Fd, Events = Syscalls.POLLIN };
        _ = kernel.Poll(fds, milliseconds);
        for (int i = 0; i < waited.Length; i++)
            waited[i].HasHungUp = (fds[i].Returned & (Syscalls.POLLHUP | Syscalls.POLLERR)) != 0;
    }

    /// <summary>Moves what the rings hold into the queue.</summary>
    /// <returns>How many rings held what no kernel writes; their contents were skipped.</returns>
    public ulong Read(PerfRecordQueue queue) => Read((_, record, layout) => queue.Add(record, layout));

    /// <summary>Hands over what the rings hold.</summary>
    /// <returns>As above.</returns>
    public ulong Read(CpuRecordHandler handler)
    {
        ulong damaged = 0;
        foreach (Cpu cpu in cpus.Values)
        {
            try
            {
                cpu.Ring.Read((record, layout) => Read(cpu.Number, record, layout), cpu.Layout);
            }
            catch (InvalidDataException)
            {
                damaged++;
            }
        }
        families.Settle();
        return damaged;

        void Read(int cpu, ReadOnlySpan<byte> record, PerfRecordLayout layout)
        {
            if (Scope == RecordingScope.Threads && PerfRecordHeader.Parse(record).Type == PerfRecordType.PERF_RECORD_FORK
                && TaskRecord.TryDecode(record, out TaskRecord fork))
                families.OnFork(fork.ProcessId, fork.ParentProcessId);
            handler(cpu, record, layout);
        }
    }

    /// <summary>No more records are written from here on.</summary>
    public void Stop()
    {
        foreach (Cpu cpu in cpus.Values)
        {
            cpu.RingOwner.Disable();
            foreach ((_, PerfEvent perfEvent) in cpu.Events)
                perfEvent.Disable();
        }
    }

    public void Dispose()
    {
        CloseCpus();
        foreach (int fd in groups.Values)
            kernel.Close(fd);
        groups.Clear();
    }

    private Cpu? TryOpenCpu(int number, out string reason)
    {
        if (events.FirstOrDefault(e => e.RunsOn(number)) is not { } perfEvent)
        {
            reason = $"its kind of cores (CPU {number}) gives no branch stacks";
            return null;
        }
        PerfEventAttributes attributes = AttributesOf(perfEvent);

        // Events end with their threads and control groups, the rings shall not: but for all processes' events, they belong to events of
        // our own thread that count nothing.
        bool ownsRing = Scope == RecordingScope.AllProcesses;
        PerfEventAttributes ofRing = ownsRing ? attributes : attributes with
        {
            Type = PerfEventAttributes.PERF_TYPE_SOFTWARE,
            Config = PerfEventAttributes.PERF_COUNT_SW_DUMMY,
            Flags = PerfAttributeFlags.Disabled | PerfAttributeFlags.ExcludeKernel
                | (attributes.Flags & (PerfAttributeFlags.SampleIdAll | PerfAttributeFlags.Watermark)),
            BranchSampleType = 0,
            SampleType = attributes.SampleType & ~PerfSampleType.PERF_SAMPLE_BRANCH_STACK,
        };
        PerfEvent? owner = PerfEvent.TryOpen(kernel, ofRing, ownsRing ? PerfEvent.AllProcesses : 0, number, out int error);
        if (owner is null)
        {
            string remedy = error is Syscalls.EACCES or Syscalls.EPERM ? $"; {PerfRefusal.Remedy(ownsRing ? 0 : 2)}" : "";
            reason = $"cannot open {perfEvent.Name} on CPU {number}: {PerfRefusal.ToOpen(kernel, error)}{remedy}";
            return null;
        }
        PerfRing? ring = PerfRing.TryMap(kernel, owner, ringBytes, out error);
        if (ring is null)
        {
            owner.Dispose();
            lacksMemory |= error is Syscalls.EPERM or Syscalls.ENOMEM;
            reason = $"cannot map the perf ring buffer of CPU {number}: {PerfRefusal.ToMap(kernel, error)}";
            return null;
        }
        reason = "";
        if (ownsRing)
            _ = owner.Enable();
        return new Cpu(
            number, perfEvent, new PerfRecordLayout(attributes, perfEvent.Attributes.SamplePeriod))
        { RingOwner = owner, Ring = ring };
    }

    private PerfEventAttributes AttributesOf(BranchEvent perfEvent) => perfEvent.Attributes with
    {
        SamplePeriod = SamplingBudget.Period(perfEvent.Attributes.SamplePeriod, periodFactor),
        WakeUp = (perfEvent.Attributes.Flags & PerfAttributeFlags.Watermark) != 0 ? (uint)ringBytes / 4 : perfEvent.Attributes.WakeUp,
        Flags = perfEvent.Attributes.Flags | (Scope == RecordingScope.Threads ? PerfAttributeFlags.Inherit : 0),
    };

    /// <summary>Opens events for each thread of a process on CPUs, and gives the error number of the last that failed.</summary>
    private int AddThreads(int processId, int root, IReadOnlyCollection<Cpu> on)
    {
        int last = 0;
        foreach (int threadId in ThreadsOf(kernel, processId))
        {
            int failed = 0;
            foreach (Cpu cpu in on)
            {
                int error = TryAdd(cpu, root, threadId, 0);
                if (error == Syscalls.ESRCH)
                    break;
                if (error != 0)
                    failed = error;
            }
            if (failed != 0)
            {
                last = failed;
                ThreadsMissed++;
            }
        }
        return last;
    }

    /// <summary>Opens and starts one event that writes into a CPU's ring; gives the error number, or 0.</summary>
    private int TryAdd(Cpu cpu, object target, int id, ulong flags)
    {
        if (Scope == RecordingScope.Threads && cpus.Values.Sum(static c => c.Events.Count) >= MaxThreadEvents)
            return Syscalls.EMFILE;
        PerfEvent? perfEvent = PerfEvent.TryOpen(kernel, AttributesOf(cpu.Event), id, cpu.Number, out int error, flags);
        if (perfEvent is null)
            return error;
        error = perfEvent.ShareRingOf(cpu.RingOwner);
        if (error == 0)
            error = perfEvent.Enable();
        if (error == 0)
            cpu.Events.Add((target, perfEvent));
        else
            perfEvent.Dispose();
        return error;
    }

    private void CloseEvents(object target)
    {
        foreach (Cpu cpu in cpus.Values)
            cpu.Events.RemoveAll(e =>
            {
                if (!e.Target.Equals(target))
                    return false;
                e.Event.Dispose();
                return true;
            });
    }

    private void CloseCpus()
    {
        foreach (int number in cpus.Keys.ToArray())
            Close(number);
    }

    private void Close(int number)
    {
        cpus.Remove(number, out Cpu? cpu);
        foreach ((_, PerfEvent perfEvent) in cpu!.Events)
            perfEvent.Dispose();
        cpu.Ring.Dispose();
        cpu.RingOwner.Dispose();
    }

    /// <summary>The ids of a process's threads; none when it has ended.</summary>
    internal static IEnumerable<int> ThreadsOf(IKernel kernel, int processId)
    {
        foreach (string name in kernel.List($"/proc/{processId}/task"))
            if (int.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out int id))
                yield return id;
    }

    /// <summary>The CPUs that are not recorded and why, in one line; null when all are.</summary>
    public string? DescribeFailures()
    {
        if (failures.Count == 0)
            return null;
        StringBuilder text = new();
        foreach (IGrouping<string, KeyValuePair<int, string>> same in failures.GroupBy(
            f => f.Value.Replace($"CPU {f.Key}", "CPU", StringComparison.Ordinal)))
            text.Append(text.Length == 0 ? "" : "; ")
                .Append(CultureInfo.InvariantCulture, $"CPU {string.Join(',', same.Select(f => f.Key))} is not recorded: {same.First().Value}");
        return text.ToString();
    }
}
