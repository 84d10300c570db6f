using Perforator.PerfData;

namespace Perforator.Recording.PerfEvents;

/// <summary>
/// One ring buffer per CPU and the events that write into it: one event a CPU for all processes, or, where that is not permitted, one
/// per CPU and thread of each process, inherited by the threads and processes these start.
/// </summary>
internal sealed class PerfEventRings : IDisposable
{
    /// <summary>
    /// Bytes of records in a ring: 512 KiB, which together with its metadata page is what kernel.perf_event_mlock_kb lets every user lock
    /// per CPU. At 500 stacks of 32 entries a second, over a second's worth.
    /// </summary>
    public const int RingBytes = 512 * 1024;

    private sealed class Cpu(int number)
    {
        public int Number { get; } = number;
        public List<(int ProcessId, PerfEvent Event)> Events { get; } = [];
        public PerfRing? Ring { get; set; }
        public PerfEvent? RingOwner { get; set; }
    }

    private readonly IKernel kernel;
    private readonly PerfEventAttributes attributes;
    private readonly bool isSystemWide;
    private readonly List<Cpu> cpus = [.. Machine.OnlineCpus.Select(n => new Cpu(n))];
    private readonly PerfRecordLayout layout;

    /// <param name="perfEvent">An event that is known to open.</param>
    /// <param name="isSystemWide">One event a CPU for all processes; else <see cref="Add"/> says which processes.</param>
    /// <exception cref="UserErrorException">An event cannot be opened or its ring buffer not be mapped.</exception>
    public PerfEventRings(IKernel kernel, BranchEvent perfEvent, bool isSystemWide)
    {
        this.kernel = kernel;
        this.isSystemWide = isSystemWide;
        attributes = perfEvent.Attributes with
        {
            WakeUp = RingBytes / 4,
            Flags = perfEvent.Attributes.Flags | (isSystemWide ? 0 : PerfAttributeFlags.Inherit),
        };
        layout = new PerfRecordLayout(attributes);
        try
        {
            // Events end with their threads, the rings shall not: in the thread-by-thread mode they belong to events of our own thread that count nothing.
            PerfEventAttributes owner = isSystemWide ? attributes : attributes with
            {
                Type = PerfEventAttributes.PERF_TYPE_SOFTWARE,
                Config = PerfEventAttributes.PERF_COUNT_SW_DUMMY,
                Flags = PerfAttributeFlags.Disabled | PerfAttributeFlags.ExcludeKernel | PerfAttributeFlags.SampleIdAll | PerfAttributeFlags.Watermark,
                BranchSampleType = 0,
                SampleType = attributes.SampleType & ~PerfSampleType.PERF_SAMPLE_BRANCH_STACK,
            };
            foreach (Cpu cpu in cpus)
            {
                cpu.RingOwner = PerfEvent.TryOpen(kernel, owner, isSystemWide ? PerfEvent.AllProcesses : 0, cpu.Number, out int error)
                    ?? throw CannotOpen(perfEvent.Name, cpu.Number, error);
                cpu.Ring = PerfRing.TryMap(kernel, cpu.RingOwner, RingBytes, out error) ?? throw CannotMap(error);
                if (isSystemWide)
                    cpu.RingOwner.Enable();
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Records a process in the thread-by-thread mode; does nothing in the other, or when the process has just ended.</summary>
    /// <exception cref="UserErrorException">Not permitted, or too many files are open.</exception>
    public void Add(int processId)
    {
        if (isSystemWide)
            return;
        foreach (int threadId in Threads(processId))
            foreach (Cpu cpu in cpus)
            {
                PerfEvent? perfEvent = PerfEvent.TryOpen(kernel, attributes, threadId, cpu.Number, out int error);
                if (perfEvent is null)
                {
                    if (error == Syscalls.ESRCH)
                        break;
                    throw CannotOpen($"the event for process {processId}", cpu.Number, error);
                }
                cpu.Events.Add((processId, perfEvent));
                perfEvent.ShareRingOf(cpu.RingOwner!);
                perfEvent.Enable();
            }
    }

    /// <summary>Closes the events of processes that have ended.</summary>
    public void KeepOnly(Func<int, bool> runs)
    {
        foreach (Cpu cpu in cpus)
            cpu.Events.RemoveAll(e =>
            {
                bool remove = !runs(e.ProcessId);
                if (remove)
                    e.Event.Dispose();
                return remove;
            });
    }

    /// <summary>Waits until a ring is a quarter full, or for the time given.</summary>
    public void Wait(int milliseconds)
    {
        Span<Syscalls.PollFd> fds = cpus.Count <= 512 ? stackalloc Syscalls.PollFd[cpus.Count] : new Syscalls.PollFd[cpus.Count];
        for (int i = 0; i < cpus.Count; i++)
            fds[i] = new Syscalls.PollFd { Fd = cpus[i].RingOwner!.Fd, Events = Syscalls.POLLIN };
        _ = kernel.Poll(fds, milliseconds);
    }

    /// <summary>Moves what the rings hold into the queue.</summary>
    /// <returns>How many rings held what no kernel writes; their contents were skipped.</returns>
    public ulong Read(PerfRecordQueue queue)
    {
        ulong damaged = 0;
        foreach (Cpu cpu in cpus)
        {
            try
            {
                cpu.Ring!.Read(queue.Add, layout);
            }
            catch (InvalidDataException)
            {
                damaged++;
            }
        }
        return damaged;
    }

    /// <summary>No more records are written from here on.</summary>
    public void Stop()
    {
        foreach (Cpu cpu in cpus)
        {
            cpu.RingOwner?.Disable();
            foreach ((_, PerfEvent perfEvent) in cpu.Events)
                perfEvent.Disable();
        }
    }

    public void Dispose()
    {
        foreach (Cpu cpu in cpus)
        {
            foreach ((_, PerfEvent perfEvent) in cpu.Events)
                perfEvent.Dispose();
            cpu.Events.Clear();
            cpu.Ring?.Dispose();
            cpu.RingOwner?.Dispose();
            (cpu.Ring, cpu.RingOwner) = (null, null);
        }
    }

    private static IEnumerable<int> Threads(int processId)
    {
        try
        {
            return [.. Directory.EnumerateDirectories($"/proc/{processId}/task").Select(folder => int.Parse(Path.GetFileName(folder), System.Globalization.CultureInfo.InvariantCulture))];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }

    private static UserErrorException CannotOpen(string what, int cpu, int error) => new(
        $"cannot open {what} on CPU {cpu}: {Syscalls.Describe(error)}"
        + error switch
        {
            Syscalls.EMFILE => "; raise the limit of open files (ulimit -n), or record with CAP_PERFMON, which needs one per CPU",
            Syscalls.EACCES or Syscalls.EPERM => "; record as the processes' user, as root or with CAP_PERFMON ('perforator doctor' tells more)",
            Syscalls.EBUSY => "; another profiler has the CPU's branch records",
            _ => "; 'perforator doctor' tells what is missing",
        });

    private static UserErrorException CannotMap(int error) => new(
        $"cannot map a perf ring buffer: {Syscalls.Describe(error)}; raise kernel.perf_event_mlock_kb or record with CAP_IPC_LOCK");
}
