namespace Perforator.PerfData;

/// <summary>What a perf.data file held, for the report and the labels of what is made of it.</summary>
public sealed class PerfDataSummary
{
    /// <summary>Events of the recording.</summary>
    public int Events { get; internal set; }

    /// <summary>The events' names, in the order of the file.</summary>
    public IReadOnlyList<string> EventNames { get; internal set; } = [];

    /// <summary>The names of those whose samples count.</summary>
    public IReadOnlyList<string> EventsUsed { get; internal set; } = [];

    /// <summary>Records read, of all types, decompressed ones included.</summary>
    public ulong Records { get; internal set; }

    /// <summary>Bytes of records read, after decompression.</summary>
    public ulong RecordBytes { get; internal set; }

    /// <summary>Samples handed over with a branch stack.</summary>
    public ulong BranchSamples { get; internal set; }

    /// <summary>Samples handed over without one, for their address.</summary>
    public ulong AddressSamples { get; internal set; }

    /// <summary>Of <see cref="AddressSamples"/>, those whose address is exact rather than some instructions late.</summary>
    public ulong ExactAddressSamples { get; internal set; }

    /// <summary>Records skipped because they say nothing of use or their type is not known, by type.</summary>
    public IReadOnlyDictionary<uint, ulong> SkippedByType { get; internal set; } = new Dictionary<uint, ulong>();

    /// <summary>Feature sections skipped because they were written by a newer perf.</summary>
    public int UnknownFeatures { get; internal set; }

    /// <summary>
    /// What traces the file has beside its records (Intel PT, Arm CoreSight ETM, Arm SPE, …), which are not decoded here.
    /// </summary>
    public IReadOnlyCollection<string> Traces => traces;

    /// <summary>Whether simpleperf wrote it, by records and feature sections that only it has.</summary>
    public bool IsSimpleperf { get; internal set; }

    private readonly SortedSet<string> traces = new(StringComparer.Ordinal);

    internal void AddTrace(string name) => traces.Add(name);

    /// <summary>The host it was recorded on; empty when the file does not say.</summary>
    public string HostName { get; internal set; } = "";

    /// <summary>That host's CPU model; empty when the file does not say.</summary>
    public string CpuModel { get; internal set; } = "";
}
