using Perforator.Branches;

namespace Perforator.PerfData;

/// <summary>
/// Hands the kernel's records, one by one and in time order, to a sink: mappings, forks, execs, exits, samples and losses. It serves
/// the live ring buffers and perf.data files alike, since both hold the same records.
/// </summary>
public sealed class PerfRecordReader
{
    /// <summary>The ring buffer was full when the kernel wanted to write.</summary>
    public const string RingFull =
        "perf record lost by the kernel: the ring buffer was full (lower the sampling rate or enlarge the buffer)";

    /// <summary>PERF_RECORD_LOST_SAMPLES: the hardware's own buffer overflowed.</summary>
    public const string SampleLost = "sample lost by the hardware's buffer";

    /// <summary>The kernel paused sampling.</summary>
    public const string Throttled = "sampling paused by the kernel (see kernel.perf_event_max_sample_rate)";

    /// <summary>A record that contradicts its own size or layout.</summary>
    public const string MalformedRecord = "malformed perf record";

    /// <summary>A record type from a kernel or a perf tool newer than this program.</summary>
    public const string UnknownRecord = "perf record of an unknown type";

    /// <summary>A mapping beyond the end of the address space.</summary>
    public const string WrappingMapping = "mapping that wraps around the address space";

    /// <summary>A sample of a virtual machine's guest, whose addresses are not the host's.</summary>
    public const string GuestSample = "sample of a virtual machine's guest";

    /// <summary>A mapping in a virtual machine's guest, whose processes are none of the host's.</summary>
    public const string GuestMapping = "mapping of a virtual machine's guest";

    /// <summary>The header lists a path with two build ids, as of containers that have different files there.</summary>
    public const string AmbiguousBuildId =
        "mapping of a path that the perf.data header lists with several build ids (record with --buildid-mmap)";

    /// <summary>The branch stack does not hold every branch, so that ranges cannot be told from it.</summary>
    public const string FilteredBranchStack = "branch stack recorded with a filter (record with -j any to keep every taken branch)";

    /// <summary>A branch stack event whose sample has no entries.</summary>
    public const string EmptyBranchStack = "sample with an empty branch stack";

    // A record is at most 64 KB long.
    private readonly BranchEntry[] entries = new BranchEntry[ushort.MaxValue / PerfBranchEntryBits.Size + 1];

    /// <summary>Threads other than the main one that are known to run, by process; none is without.</summary>
    private readonly Dictionary<int, HashSet<int>> otherThreads = [];

    /// <summary>Processes whose main thread has ended before others.</summary>
    private readonly HashSet<int> withoutMainThread = [];
    private readonly SortedDictionary<uint, ulong> skipped = [];
    private readonly IBranchSink sink;

    public PerfRecordReader(IBranchSink sink) => this.sink = sink;

    /// <summary>
    /// Build ids by path, from a perf.data header, empty where there are several; mappings that do not carry their own get theirs from
    /// here.
    /// </summary>
    public IReadOnlyDictionary<string, BuildId>? BuildIds { get; set; }

    /// <summary>Samples with at least one branch stack entry that were handed over.</summary>
    public ulong BranchSamples { get; private set; }

    /// <summary>Samples without a branch stack that were handed over for their address, the exact ones included.</summary>
    public ulong AddressSamples { get; private set; }

    /// <summary>
    /// Of <see cref="AddressSamples"/>, those whose address is exact (PEBS, IBS, SPE) rather than some instructions late.
    /// </summary>
    public ulong ExactAddressSamples { get; private set; }

    /// <summary>Records without meaning here, by type: both those known to be of no use and those of types not known.</summary>
    public IReadOnlyDictionary<uint, ulong> SkippedByType => skipped;

    /// <summary>Reads one record and tells the sink; a malformed one is counted there as lost.</summary>
    /// <param name="record">The whole record, header included.</param>
    /// <param name="layout">The layout of the event that made it.</param>
    public void Read(ReadOnlySpan<byte> record, PerfRecordLayout layout)
    {
        if (record.Length < PerfRecordHeader.ByteCount)
        {
            sink.OnLost(MalformedRecord, 1);
            return;
        }
        PerfRecordHeader header = PerfRecordHeader.Read(record);
        PerfRecordType type = header.Type;
        bool isGuest = (header.Misc & PerfRecordMisc.PERF_RECORD_MISC_CPUMODE_MASK)
            is PerfRecordMisc.PERF_RECORD_MISC_GUEST_KERNEL or PerfRecordMisc.PERF_RECORD_MISC_GUEST_USER;
        if (isGuest && (type is PerfRecordType.PERF_RECORD_SAMPLE or PerfRecordType.PERF_RECORD_MMAP or PerfRecordType.PERF_RECORD_MMAP2))
        {
            sink.OnLost(type == PerfRecordType.PERF_RECORD_SAMPLE ? GuestSample : GuestMapping, 1);
            return;
        }
        if (type == PerfRecordType.PERF_RECORD_SAMPLE)
        {
            ReadSample(record, layout);
            return;
        }
        ulong time = layout.Time(record, type);
        if (type < PerfRecordType.PERF_RECORD_USER_TYPE_START)
            record = record[..Math.Max(PerfRecordHeader.ByteCount, record.Length - layout.TrailerSize)];
        switch (type)
        {
            case PerfRecordType.PERF_RECORD_MMAP
                or PerfRecordType.PERF_RECORD_MMAP2 when MmapRecord.TryDecode(record, time, out MmapRecord mapped):
                OnMapping(mapped);
                break;
            case PerfRecordType.PERF_RECORD_FORK when TaskRecord.TryDecode(record, out TaskRecord fork):
                OnFork(fork);
                break;
            case PerfRecordType.PERF_RECORD_EXIT when TaskRecord.TryDecode(record, out TaskRecord exit):
                OnExit(exit);
                break;
            case PerfRecordType.PERF_RECORD_COMM when CommRecord.TryDecode(record, out CommRecord named):
                if (named.IsExec)
                {
                    ForgetThreads(named.ProcessId);
                    sink.OnExec(named.ProcessId);
                }
                break;
            case PerfRecordType.PERF_RECORD_LOST when LostRecord.TryDecode(record, out LostRecord lost):
                sink.OnLost(RingFull, lost.Count);
                break;
            case PerfRecordType.PERF_RECORD_LOST_SAMPLES when LostRecord.TryDecode(record, out LostRecord lost):
                sink.OnLost(SampleLost, lost.Count);
                break;
            case PerfRecordType.PERF_RECORD_THROTTLE:
                sink.OnLost(Throttled, 1);
                break;
            case PerfRecordType.PERF_RECORD_MMAP or PerfRecordType.PERF_RECORD_MMAP2 or PerfRecordType.PERF_RECORD_FORK
                or PerfRecordType.PERF_RECORD_EXIT or PerfRecordType.PERF_RECORD_COMM or PerfRecordType.PERF_RECORD_LOST
                or PerfRecordType.PERF_RECORD_LOST_SAMPLES:
                sink.OnLost(MalformedRecord, 1);
                break;
            default:
                skipped[(uint)type] = skipped.GetValueOrDefault((uint)type) + 1;
                if (!Enum.IsDefined(type))
                    sink.OnLost(UnknownRecord, 1);
                break;
        }
    }

    private void ReadSample(ReadOnlySpan<byte> record, PerfRecordLayout layout)
    {
        if (!PerfSample.TryDecode(record, layout, out PerfSample sample))
        {
            sink.OnLost(MalformedRecord, 1);
            return;
        }
        int count = 0;
        if (layout.HasBranchStack)
        {
            count = layout.Attributes.HasAllBranches ? sample.CopyBranches(entries) : 0;
            if (count == 0)
            {
                sink.OnLost(sample.BranchStack.IsEmpty || layout.Attributes.HasAllBranches ? EmptyBranchStack : FilteredBranchStack, 1);
                return;
            }
            BranchSamples++;
        }
        else
        {
            AddressSamples++;
            if (sample.HasExactIp)
                ExactAddressSamples++;
        }
        sink.OnSample(new BranchSample
        {
            ProcessId = sample.ProcessId,
            ThreadId = sample.ThreadId,
            Time = sample.Time,
            InstructionPointer = new(sample.Ip),
            HasExactAddress = sample.HasExactIp,
            Stack = entries.AsSpan(0, count),
            Weight = layout.Weight(record),
        });
    }

    /// <summary>
    /// Tells of a thread that no record announces, since it began before the recording: what perf record writes FORK records for. It
    /// may be told again, and of a main thread.
    /// </summary>
    public void AddThread(int processId, int threadId)
    {
        if (processId == threadId)
            return;
        if (!otherThreads.TryGetValue(processId, out HashSet<int>? threads))
            otherThreads.Add(processId, threads = []);
        threads.Add(threadId);
    }

    /// <summary>Forgets the threads of a process that is known to have ended, whatever records say of it later.</summary>
    public void ForgetThreads(int processId)
    {
        otherThreads.Remove(processId);
        withoutMainThread.Remove(processId);
    }

    private void OnFork(TaskRecord fork)
    {
        if (fork.ProcessId == fork.ParentProcessId)
        {
            AddThread(fork.ProcessId, fork.ThreadId);
            return;
        }
        ForgetThreads(fork.ProcessId);
        sink.OnFork(fork.ProcessId, fork.ParentProcessId);
    }

    /// <summary>
    /// A process ends with its last thread, which need not be the main one. The end of a thread that was never told of says nothing:
    /// others of its age may run on.
    /// </summary>
    private void OnExit(TaskRecord exit)
    {
        bool hasOthers = otherThreads.TryGetValue(exit.ProcessId, out HashSet<int>? others);
        if (exit.ThreadId == exit.ProcessId)
        {
            if (hasOthers)
            {
                withoutMainThread.Add(exit.ProcessId);
                return;
            }
        }
        else
        {
            if (!hasOthers || !others!.Remove(exit.ThreadId) || others.Count != 0)
                return;
            otherThreads.Remove(exit.ProcessId);
            if (!withoutMainThread.Contains(exit.ProcessId))
                return;
        }
        ForgetThreads(exit.ProcessId);
        sink.OnExit(exit.ProcessId);
    }

    private void OnMapping(MmapRecord mapped)
    {
        Mapping mapping = mapped.Mapping;
        if (mapping.End < mapping.Start)
        {
            sink.OnLost(WrappingMapping, 1);
            return;
        }

        // Writable memory over code may get a copy of that code and be made executable next, which another record tells.
        if (!mapped.IsExecutable && mapping.IsAnonymous)
            return;

        // A data mapping ends the code mapping it overlaps, and has no code itself.
        if (!mapped.IsExecutable)
            mapping = mapping with { Path = "", BuildId = default };
        else if (mapping.BuildId.IsEmpty && BuildIds?.TryGetValue(mapping.ListedPath, out BuildId known) == true)
        {
            // Which of several files it is cannot be told, and a guess would count one build's branches for another.
            if (known.IsEmpty)
                sink.OnLost(AmbiguousBuildId, 1);
            mapping = mapping with { BuildId = known, Path = known.IsEmpty ? "" : mapping.Path };
        }
        sink.OnMapping(mapping);
    }
}
