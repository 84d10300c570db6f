using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using Perforator.Branches;

namespace Perforator.PerfData;

/// <summary>
/// Writes what a recorder hands over as a perf.data file, such as <c>perf record -j any,u</c> leaves, for every tool that reads
/// those. Records are written as they come; feature sections and the header follow in <see cref="Complete"/>.
/// </summary>
public sealed class PerfDataWriter : IRecordingWriter
{
    /// <summary>A stack longer than a record can be; its older end is cut off.</summary>
    public const string StackTooLong = "branch stack entry beyond what a perf record can hold";

    /// <summary>The most branches that fit a record of 64 KB.</summary>
    public const int MaxBranches = (MaxRecordSize - SampleHeaderSize) / PerfBranchEntryBits.Size;

    private const int MaxRecordSize = ushort.MaxValue & ~7;

    // Header; ip; pid, tid; time; number of entries.
    private const int SampleHeaderSize = PerfRecordHeader.ByteCount + 4 * sizeof(ulong);

    private const int MaxPathLength = 4096;

    /// <summary>So much is written between two PERF_RECORD_FINISHED_ROUND, which readers of the file hold in memory.</summary>
    private const int RoundBytes = 1 << 20;

    private readonly Stream output;
    private readonly Architecture architecture;
    private readonly byte[] record = new byte[MaxRecordSize];
    private readonly SortedDictionary<string, BuildId> buildIds = new(StringComparer.Ordinal);
    private readonly HashSet<int> named = [];
    private readonly HashSet<int> executing = [];
    private readonly long dataStart;
    private ulong time = 1;
    private long sinceRound;

    /// <param name="output">Where to write; it must be able to seek, begins empty and stays open.</param>
    /// <param name="architecture">Of the machine the branches were recorded on.</param>
    public PerfDataWriter(Stream output, Architecture architecture = Architecture.X64)
    {
        this.output = output;
        this.architecture = architecture;
        dataStart = PerfDataHeader.FileSize + sizeof(ulong) + Attributes.ToBytes().Length + 2 * sizeof(ulong);
        output.Write(new byte[dataStart]);
    }

    /// <summary>Branch stacks written.</summary>
    public ulong Samples { get; private set; }

    /// <summary>What could not be written, by reason, with what the recorder itself lost.</summary>
    public LossCounts Losses { get; } = new();

    /// <summary>The host's name and CPU, for the header; left out when null.</summary>
    public string? HostName { get; init; }

    public string? CpuModel { get; init; }

    /// <summary>The one event of the file: cycles in user mode with all branches.</summary>
    public static PerfEventAttributes Attributes { get; } = new()
    {
        Type = PerfEventAttributes.PERF_TYPE_HARDWARE,
        Config = PerfEventAttributes.PERF_COUNT_HW_CPU_CYCLES,
        SamplePeriod = 1,
        SampleType = PerfSampleType.PERF_SAMPLE_IP | PerfSampleType.PERF_SAMPLE_TID | PerfSampleType.PERF_SAMPLE_TIME
            | PerfSampleType.PERF_SAMPLE_BRANCH_STACK,
        Flags = PerfAttributeFlags.ExcludeKernel | PerfAttributeFlags.ExcludeHypervisor | PerfAttributeFlags.Mmap | PerfAttributeFlags.Mmap2
            | PerfAttributeFlags.Comm | PerfAttributeFlags.CommExec | PerfAttributeFlags.Task | PerfAttributeFlags.SampleIdAll,
        BranchSampleType = PerfBranchSampleType.PERF_SAMPLE_BRANCH_USER | PerfBranchSampleType.PERF_SAMPLE_BRANCH_ANY,
    };

    /// <inheritdoc/>
    public void OnMapping(Mapping mapping)
    {
        const uint Readable = 1, Executable = 4, MapPrivate = 2;
        bool isKernel = mapping.ProcessId == Mapping.KernelProcess;
        if (!isKernel)
            Name(mapping.ProcessId, mapping.Path);
        if (mapping.BuildId is { IsEmpty: false, IsContentHash: false })
            buildIds[mapping.ListedPath] = mapping.BuildId;
        Advance(mapping.Time);
        RecordWriter writer = new(record);
        writer.U32((uint)mapping.ProcessId);
        writer.U32(isKernel ? 0 : (uint)mapping.ProcessId);
        writer.U64(mapping.Start.Value);
        writer.U64(mapping.Length);
        writer.U64(mapping.Offset.Value);
        writer.U64(0); // device
        writer.U64(0); // inode
        writer.U64(0); // its generation
        writer.U32(Readable | Executable);
        writer.U32(MapPrivate);
        writer.Text(mapping.Path, MaxPathLength);
        Finish(ref writer, PerfRecordType.PERF_RECORD_MMAP2, isKernel
            ? PerfRecordMisc.PERF_RECORD_MISC_KERNEL : PerfRecordMisc.PERF_RECORD_MISC_USER, mapping.ProcessId);
    }

    /// <inheritdoc/>
    public void OnFork(int processId, int parentProcessId)
    {
        if (named.Contains(parentProcessId))
            named.Add(processId);
        WriteTask(PerfRecordType.PERF_RECORD_FORK, processId, parentProcessId);
    }

    /// <inheritdoc/>
    public void OnExec(int processId)
    {
        // The record holds the new name, which the mapping of the new program will tell.
        named.Remove(processId);
        executing.Add(processId);
    }

    /// <inheritdoc/>
    public void OnExit(int processId)
    {
        Name(processId, "");
        named.Remove(processId);
        WriteTask(PerfRecordType.PERF_RECORD_EXIT, processId, processId);
    }

    /// <inheritdoc/>
    public void OnSample(in BranchSample sample)
    {
        if (sample.Stack.IsEmpty)
        {
            Losses.Add(PerfRecordReader.EmptyBranchStack, Math.Max(sample.Weight, 1));
            return;
        }
        Name(sample.ProcessId, "");
        Advance(sample.Time);
        ReadOnlySpan<BranchEntry> stack = sample.Stack[..Math.Min(sample.Stack.Length, MaxBranches)];
        Losses.Add(StackTooLong, (ulong)(sample.Stack.Length - stack.Length));
        RecordWriter writer = new(record);
        writer.U64(sample.InstructionPointer.Value);
        writer.U32((uint)sample.ProcessId);
        writer.U32((uint)sample.ThreadId);
        writer.U64(time);
        writer.U64((ulong)stack.Length);
        foreach (ref readonly BranchEntry entry in stack)
        {
            ulong bits = (ulong)entry.Flags & PerfBranchEntryBits.OutcomeMask;
            if ((entry.Flags & BranchFlags.SpeculativeWrongPath) != 0)
                bits |= PerfBranchEntryBits.PERF_BR_SPEC_WRONG_PATH << PerfBranchEntryBits.SpeculationShift;
            if ((entry.Flags & BranchFlags.Interrupt) != 0)
                bits |= (ulong)PerfBranchEntryBits.PERF_BR_IRQ << PerfBranchEntryBits.TypeShift;
            if ((entry.Flags & BranchFlags.NotTaken) != 0)
                bits |= 1UL << PerfBranchEntryBits.NotTakenShift;
            writer.U64(entry.From.Value);
            writer.U64(entry.To.Value);
            writer.U64(bits);
        }
        ReadOnlySpan<byte> written = writer.Finish(
            PerfRecordType.PERF_RECORD_SAMPLE,
            sample.InstructionPointer.Value >> 63 != 0 ? PerfRecordMisc.PERF_RECORD_MISC_KERNEL : PerfRecordMisc.PERF_RECORD_MISC_USER);
        for (ulong i = Math.Max(sample.Weight, 1); i > 0; i--)
            Write(written);
        Samples += Math.Max(sample.Weight, 1);
    }

    /// <inheritdoc/>
    public void OnLost(string reason, ulong count) => Losses.Add(reason, count);

    /// <summary>Writes the feature sections and the header; nothing can be added any more.</summary>
    public void Complete()
    {
        long dataEnd = output.Position;
        List<(int Feature, byte[] Section)> features = Features();
        long section = dataEnd + features.Count * 2 * sizeof(ulong);
        byte[] table = new byte[section - dataEnd];
        for (int i = 0; i < features.Count; i++)
        {
            BinaryPrimitives.WriteInt64LittleEndian(table.AsSpan(16 * i), section);
            BinaryPrimitives.WriteInt64LittleEndian(table.AsSpan(16 * i + 8), features[i].Section.Length);
            section += features[i].Section.Length;
        }
        output.Write(table);
        foreach ((_, byte[] bytes) in features)
            output.Write(bytes);

        byte[] attributes = Attributes.ToBytes();
        ulong[] featureBits = new ulong[PerfDataHeader.FeatureBits / 64];
        foreach ((int feature, _) in features)
            featureBits[feature / 64] |= 1UL << feature % 64;
        const long Ids = PerfDataHeader.FileSize;
        using MemoryStream start = new((int)dataStart);
        using BinaryWriter header = new(start);
        header.Write(PerfDataHeader.Magic);
        header.Write((ulong)PerfDataHeader.FileSize);
        header.Write((ulong)(attributes.Length + 16));
        header.Write(Ids + sizeof(ulong));
        header.Write((long)attributes.Length + 16);
        header.Write(dataStart);
        header.Write(dataEnd - dataStart);
        header.Write(0L); // event types, of use before 2012
        header.Write(0L);
        foreach (ulong word in featureBits)
            header.Write(word);
        header.Write(1L); // the event's id
        header.Write(attributes);
        header.Write(Ids);
        header.Write((long)sizeof(ulong));
        output.Position = 0;
        output.Write(start.ToArray());
        output.Flush();
    }

    public void Dispose()
    {
        if (output.CanWrite)
            output.Flush();
    }

    private List<(int Feature, byte[] Section)> Features()
    {
        using MemoryStream ids = new();
        foreach ((string path, BuildId id) in buildIds)
            ids.Write(PerfDataFeatures.WriteBuildId(path, id));
        List<(int, byte[])> features = [(PerfDataFeatures.HEADER_BUILD_ID, ids.ToArray())];
        if (HostName is not null)
            features.Add((PerfDataFeatures.HEADER_HOSTNAME, PerfDataFeatures.WriteString(HostName)));
        features.Add(
            (PerfDataFeatures.HEADER_ARCH, PerfDataFeatures.WriteString(architecture == Architecture.Arm64 ? "aarch64" : "x86_64")));
        if (CpuModel is not null)
            features.Add((PerfDataFeatures.HEADER_CPUDESC, PerfDataFeatures.WriteString(CpuModel)));
        features.Add((PerfDataFeatures.HEADER_BRANCH_STACK, []));
        return features;
    }

    /// <summary>Says, once per program a process runs, what it is called: the file name of its first mapping.</summary>
    private void Name(int processId, string path)
    {
        const int MaxNameLength = 15;
        if (!named.Add(processId))
            return;
        bool exec = executing.Remove(processId);
        string name = Path.GetFileName(path);
        if (name.Length == 0 && !exec)
            return;
        RecordWriter writer = new(record);
        writer.U32((uint)processId);
        writer.U32((uint)processId);
        writer.Text(name.Length == 0 ? $":{processId}" : name, MaxNameLength);
        Finish(ref writer, PerfRecordType.PERF_RECORD_COMM, exec
            ? PerfRecordMisc.PERF_RECORD_MISC_COMM_EXEC : PerfRecordMisc.None, processId);
    }

    private void WriteTask(PerfRecordType type, int processId, int parentProcessId)
    {
        RecordWriter writer = new(record);
        writer.U32((uint)processId);
        writer.U32((uint)parentProcessId);
        writer.U32((uint)processId);
        writer.U32((uint)parentProcessId);
        writer.U64(time);
        Finish(ref writer, type, PerfRecordMisc.None, processId);
    }

    /// <summary>Time never runs backwards, and what has no time of its own happened just now.</summary>
    private void Advance(ulong now) => time = Math.Max(time, now);

    private void Finish(ref RecordWriter writer, PerfRecordType type, PerfRecordMisc misc, int processId)
    {
        writer.U32((uint)processId);
        writer.U32((uint)processId);
        writer.U64(time);
        Write(writer.Finish(type, misc));
    }

    private void Write(ReadOnlySpan<byte> written)
    {
        output.Write(written);
        sinceRound += written.Length;
        if (sinceRound < RoundBytes)
            return;

        // All is written in the order of time, so that a round may end anywhere.
        sinceRound = 0;
        Span<byte> end = stackalloc byte[PerfRecordHeader.ByteCount];
        new PerfRecordHeader(PerfRecordType.PERF_RECORD_FINISHED_ROUND, PerfRecordMisc.None, PerfRecordHeader.ByteCount).Write(end);
        output.Write(end);
    }

    private ref struct RecordWriter(Span<byte> record)
    {
        private readonly Span<byte> record = record;
        private int length = PerfRecordHeader.ByteCount;

        public void U32(uint value)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(record[length..], value);
            length += sizeof(uint);
        }

        public void U64(ulong value)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(record[length..], value);
            length += sizeof(ulong);
        }

        /// <summary>UTF-8 with at least one NUL, padded to 8 bytes; cut to <paramref name="maxBytes"/> if it is longer.</summary>
        public void Text(string text, int maxBytes)
        {
            byte[] bytes = Encoding.UTF8.GetBytes(text);
            int count = Math.Min(bytes.Length, maxBytes);
            int padded = (count + 8) & ~7;
            record.Slice(length, padded).Clear();
            bytes.AsSpan(0, count).CopyTo(record[length..]);
            length += padded;
        }

        public readonly ReadOnlySpan<byte> Finish(PerfRecordType type, PerfRecordMisc misc)
        {
            new PerfRecordHeader(type, misc, (ushort)length).Write(record);
            return record[..length];
        }
    }
}
