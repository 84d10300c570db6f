using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Perforator.PerfData;
using Perforator.Recording;
using Perforator.Recording.PerfEvents;
using Perforator.Tests.PerfData;

namespace Perforator.Tests.Recording.PerfEvents;

/// <summary>
/// A kernel to order, as far as perf events go: CPUs that come and go, PMUs, tasks whose events their children inherit, and limits. Each
/// rule is one of kernel/events/core.c, named where it stands. What a test lets happen goes into the rings of every event that
/// would see it, so that what is counted twice here would be there.
/// </summary>
internal sealed unsafe class ScriptedKernel : IKernel, IDisposable
{
    public sealed record Event(int Fd, PerfEventAttributes Attributes, int Target, int Cpu, ulong Flags)
    {
        public bool IsEnabled { get; set; }

        public ulong Period { get; set; } = Attributes.SamplePeriod;

        public int Output { get; set; } = Fd;

        public long Count { get; set; }
    }

    public sealed record Ring(nint Address, nuint Length);

    private readonly Dictionary<int, Event> events = [];
    private readonly Dictionary<int, Ring> rings = [];
    private readonly Dictionary<int, string> folders = [];
    private readonly Dictionary<int, (int ProcessId, List<Event> Events)> tasks = [];
    private readonly Queue<Action> steps = new();
    private int nextFd = 100;
    private ulong time = 1000;

    /// <summary>The process that records, which is where target 0 belongs.</summary>
    private const int Self = 1_000_000;

    public ScriptedKernel(params int[] cpus)
    {
        Online = [.. cpus];
        tasks[Self] = (Self, []);
        Files["/proc/sys/kernel/perf_event_paranoid"] = "2";
        Files["/proc/sys/kernel/perf_event_mlock_kb"] = "516";
        Files["/proc/self/status"] = "Name:\tx\nCapEff:\t0000000000000000";
        Files["/proc/self/limits"] = "Limit                     Soft Limit           Hard Limit           Units\nMax locked memory         65536                65536                bytes";
        Files["/proc/cpuinfo"] = "vendor_id\t: GenuineIntel\nflags\t\t: fpu";
        Files["/proc/self/mountinfo"] = "30 22 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate";
    }

    /// <summary>The CPUs that are online.</summary>
    public SortedSet<int> Online { get; }

    public Dictionary<string, string> Files { get; } = new(StringComparer.Ordinal);

    public Dictionary<string, byte[]> Binaries { get; } = new(StringComparer.Ordinal);

    /// <summary>Refuses events: an error number, or 0.</summary>
    public Func<PerfEventAttributes, int, int, int> Refuse { get; set; } = static (_, _, _) => 0;

    /// <summary>Pages that may be locked in all; more is EPERM.</summary>
    public long LockablePages { get; set; } = long.MaxValue;

    /// <summary>What an event counts of the probe's loop.</summary>
    public Func<PerfEventAttributes, ulong> CountOfLoop { get; set; } = static _ => BranchTrial.LoopBranches;

    /// <summary>The branch stack of a sample of the probe's loop; null for no sample at all.</summary>
    public Func<PerfEventAttributes, ulong[]?> StackOfLoop { get; set; } = static _ => [0x1040, 0x1010, 0, 0x1030, 0x1020, 0];

    public int PageSize { get; set; } = 4096;

    public TimeSpan Now { get; set; } = TimeSpan.FromSeconds(1);

    public TimeSpan ThreadCpuTime { get; set; }

    /// <summary>How many descriptors each wait was for.</summary>
    public List<int> Polled { get; } = [];

    /// <summary>The CPU that the probe was moved to.</summary>
    public int? Pinned { get; private set; }

    /// <summary>Events that are open and not the dummies that hold rings.</summary>
    public IReadOnlyList<Event> Open =>
        [.. events.Values.Where(
            e => e.Attributes is not { Type: PerfEventAttributes.PERF_TYPE_SOFTWARE, Config: PerfEventAttributes.PERF_COUNT_SW_DUMMY })];

    /// <summary>Everything that is open: events and folders.</summary>
    public int Descriptors => events.Count + folders.Count;

    /// <summary>Lets something happen while the recorder waits, about <paramref name="after"/> seconds after the step before.</summary>
    public void Then(Action step, double after = 0.1) => steps.Enqueue(() =>
    {
        Now += TimeSpan.FromSeconds(after);
        step();
    });

    public void Start(int processId, params int[] otherThreads)
    {
        foreach (int thread in (int[])[processId, .. otherThreads])
            tasks.Add(thread, (processId, []));
    }

    /// <summary>copy_process: inherited events go on in the child, and those of the parent tell of it.</summary>
    public void Fork(int parentThread, int child, bool asThread = false, int cpu = 0)
    {
        (int parent, List<Event> inherited) = tasks[parentThread];
        int process = asThread ? parent : child;
        tasks.Add(child, (process, [.. inherited.Where(e => (e.Attributes.Flags & PerfAttributeFlags.Inherit) != 0)]));
        Tell(parentThread, cpu, RecordBytes.Task(PerfRecordType.PERF_RECORD_FORK, process, parent, child));
    }

    /// <summary>do_exit.</summary>
    public void Exit(int thread, int cpu = 0)
    {
        Tell(thread, cpu, RecordBytes.Task(PerfRecordType.PERF_RECORD_EXIT, tasks[thread].ProcessId, 1, thread));
        tasks.Remove(thread);
    }

    public void Map(int thread, ulong start, string path, int cpu = 0) =>
        Tell(thread, cpu, RecordBytes.Mmap2(tasks[thread].ProcessId, start, 0x1000, 0, path));

    /// <summary>One sample of a thread, in each event that counts it.</summary>
    public void Sample(int thread, int cpu = 0, params ulong[] stack) =>
        Tell(thread, cpu, null, stack.Length == 0 ? [0x40, 0x10, 0] : stack);

    /// <summary>A record that a CPU's events write for themselves: LOST, THROTTLE.</summary>
    public void Report(int cpu, RecordBytes record)
    {
        foreach (Event e in events.Values.Where(e => e.Cpu == cpu && e.IsEnabled).ToArray())
            Write(e, record.ToArray(), Self);
    }

    /// <summary>perf_event_exit_cpu: the CPU's own events end.</summary>
    public void Unplug(int cpu)
    {
        Online.Remove(cpu);
        foreach (Event e in events.Values.Where(e => e.Cpu == cpu && (e.Target == -1 || e.Flags != 0)))
            e.IsEnabled = false;
    }

    public int OpenEvent(PerfEventAttributes attributes, int target, int cpu, ulong flags = 0)
    {
        if (cpu >= 0 && !Online.Contains(cpu))
            return -Syscalls.ENODEV;
        if (target > 0 && flags == 0 && !tasks.ContainsKey(target))
            return -Syscalls.ESRCH;
        if (Refuse(attributes, target, cpu) is not 0 and int refusal)
            return -refusal;
        Event opened = new(nextFd++, attributes, flags != 0 ? target : target == 0 ? Self : target, cpu, flags)
        {
            IsEnabled = (attributes.Flags & PerfAttributeFlags.Disabled) == 0,
        };
        events.Add(opened.Fd, opened);
        if (opened.Target > 0 && flags == 0)
            tasks[opened.Target].Events.Add(opened);
        return opened.Fd;
    }

    public int Control(int fd, ulong request, long argument = 0)
    {
        Event e = events[fd];
        switch (request)
        {
            case Syscalls.PERF_EVENT_IOC_ENABLE:
                e.IsEnabled = true;
                return 0;
            case Syscalls.PERF_EVENT_IOC_DISABLE:
                e.IsEnabled = false;
                if (e.Target == Self && e.Cpu == -1)
                    RecordLoop(e);
                return 0;
            case Syscalls.PERF_EVENT_IOC_SET_OUTPUT:
                // perf_event_set_output: no buffers across CPUs.
                if (!events.TryGetValue((int)argument, out Event? owner) || owner.Cpu != e.Cpu)
                    return -Syscalls.EINVAL;
                e.Output = owner.Fd;
                return 0;
            default:
                return -Syscalls.EINVAL;
        }
    }

    public int SetPeriod(int fd, ulong period)
    {
        events[fd].Period = period;
        return 0;
    }

    public long ReadCount(int fd) => events[fd].Count;

    public nint Map(int fd, nuint length)
    {
        // perf_mmap: a power of two of data pages; no inherited event without a CPU; what may be locked.
        long pages = (long)(length / (nuint)PageSize);
        Event e = events[fd];
        if (!long.IsPow2(pages - 1) || (e.Cpu == -1 && (e.Attributes.Flags & PerfAttributeFlags.Inherit) != 0))
            return -Syscalls.EINVAL;
        if (rings.Values.Sum(r => (long)(r.Length / (nuint)PageSize)) + pages > LockablePages)
            return -Syscalls.EPERM;
        Ring ring = new((nint)NativeMemory.AllocZeroed(length), length);
        rings.Add(fd, ring);
        return ring.Address;
    }

    public void Unmap(nint address, nuint length)
    {
        int fd = rings.Single(r => r.Value.Address == address && r.Value.Length == length).Key;
        rings.Remove(fd);
        NativeMemory.Free((void*)address);
    }

    public int OpenFolder(string path)
    {
        if (!path.StartsWith("/sys/fs/cgroup/", StringComparison.Ordinal))
            return -Syscalls.ENOENT;
        folders.Add(nextFd, path);
        return nextFd++;
    }

    /// <summary>perf_release: with an event end all those inherited from it.</summary>
    public void Close(int fd)
    {
        if (folders.Remove(fd))
            return;
        Assert.True(events.Remove(fd, out Event? closed), $"descriptor {fd} is not open");
        foreach ((_, List<Event> own) in tasks.Values)
            own.Remove(closed);
    }

    /// <summary>
    /// Lets the next step of the script happen; at its end the recorder's time runs on. Of an event that has ended with its CPU there is
    /// nothing to wait for (perf_poll).
    /// </summary>
    public int Poll(Span<Syscalls.PollFd> fds, int milliseconds)
    {
        Polled.Add(fds.Length);
        foreach (ref Syscalls.PollFd fd in fds)
        {
            Assert.Contains(fd.Fd, events.Keys);
            if (!Online.Contains(events[fd.Fd].Cpu) && events[fd.Fd].Target == -1)
                fd.Returned = Syscalls.POLLHUP;
        }
        if (steps.TryDequeue(out Action? step))
            step();
        else
            Now += TimeSpan.FromSeconds(1);
        return 0;
    }

    public bool RunOn(int cpu)
    {
        if (!Online.Contains(cpu))
            return false;
        Pinned = cpu;
        return true;
    }

    public string? ReadText(string path) =>
        path == Machine.OnlineCpusFile ? string.Join(',', Online) : Files.GetValueOrDefault(path);

    public byte[] ReadBytes(string path, int length) =>
        Binaries.TryGetValue(path, out byte[]? bytes) ? bytes[..Math.Min(length, bytes.Length)] : [];

    public IReadOnlyList<string> List(string folder)
    {
        if (folder.EndsWith("/task", StringComparison.Ordinal))
            return [.. tasks.Where(t => folder == $"/proc/{t.Value.ProcessId}/task").Select(t => $"{t.Key}")];
        return [.. Files.Keys.Where(f => f.StartsWith(folder + "/", StringComparison.Ordinal))
            .Select(f => f[(folder.Length + 1)..].Split('/')[0]).Distinct()];
    }

    public void Dispose()
    {
        foreach (Ring ring in rings.Values)
            NativeMemory.Free((void*)ring.Address);
        rings.Clear();
    }

    private void Tell(int thread, int cpu, byte[]? record, params ulong[] stack)
    {
        time += 10;
        (int process, List<Event> own) = tasks[thread];
        foreach (Event e in events.Values.Where(e => Counts(e, process, own) && (e.Cpu == -1 || e.Cpu == cpu) && e.IsEnabled).ToArray())
            Write(e, record ?? Sample(e, process, thread, stack), thread);
    }

    /// <summary>event_filter_match, perf_cgroup_match.</summary>
    private bool Counts(Event e, int process, List<Event> own) =>
        e.Flags != 0
            ? ($"/sys/fs/cgroup{Files.GetValueOrDefault($"/proc/{process}/cgroup", "0::/")[3..]}" + "/").StartsWith(
                folders[e.Target] + "/", StringComparison.Ordinal)
            : e.Target == -1 || own.Contains(e);

    private byte[] Sample(Event e, int process, int thread, ulong[] stack)
    {
        if (e.Attributes.SampleType == PerfSampleType.PERF_SAMPLE_TID)
            return new RecordBytes(PerfRecordType.PERF_RECORD_SAMPLE, PerfRecordMisc.PERF_RECORD_MISC_USER).U32((uint)process, (uint)thread)
                .ToArray();
        RecordBytes record = new RecordBytes(PerfRecordType.PERF_RECORD_SAMPLE, PerfRecordMisc.PERF_RECORD_MISC_USER)
            .U64(0x40).U32((uint)process, (uint)thread).U64(time).U64((ulong)Math.Max(0, e.Cpu)).U64(e.Period);
        return (e.Attributes.Has(PerfSampleType.PERF_SAMPLE_BRANCH_STACK)
            ? record.U64((ulong)stack.Length / 3).U64(stack) : record).ToArray();
    }

    /// <summary>perf_output_begin: into the ring of the event's output, or nowhere; sample_id_all behind all but samples.</summary>
    private void Write(Event e, byte[] record, int thread)
    {
        if (BinaryPrimitives.ReadUInt32LittleEndian(record) != (uint)PerfRecordType.PERF_RECORD_SAMPLE)
        {
            record = [.. record,
                .. BitConverter.GetBytes(tasks.TryGetValue(thread, out (int ProcessId, List<Event> Events) t) ? t.ProcessId : 0),
                .. BitConverter.GetBytes(thread),
                .. BitConverter.GetBytes(time), .. BitConverter.GetBytes((ulong)Math.Max(0, e.Cpu))];
            BinaryPrimitives.WriteUInt16LittleEndian(record.AsSpan(6), (ushort)record.Length);
        }
        if (!rings.TryGetValue(e.Output, out Ring? ring))
            return;
        byte* memory = (byte*)ring.Address;
        ulong size = ring.Length - (nuint)PageSize, head = *(ulong*)(memory
            + PerfRing.DataHead), tail = *(ulong*)(memory + PerfRing.DataTail);
        if (head + (ulong)record.Length - tail > size)
            return;
        foreach (byte b in record)
            memory[(ulong)PageSize + (head++ & (size - 1))] = b;
        *(ulong*)(memory + PerfRing.DataHead) = head;
    }

    private void RecordLoop(Event e)
    {
        e.Count = (long)CountOfLoop(e.Attributes);
        for (long left = e.Count; left >= (long)e.Period && StackOfLoop(e.Attributes) is { } stack; left -= (long)e.Period)
            Write(e, Sample(e, Self, Self, stack), Self);
    }
}
