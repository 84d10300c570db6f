using Perforator.Branches;
using Perforator.Recording.Processes;
using Perforator.Recording.Software;

namespace Perforator.Tests.Recording.Software;

/// <summary>A sink that keeps the mappings and counts branches as (file, offset of from, offset of to).</summary>
internal sealed class RecordedBranches : IBranchSink
{
    /// <summary>Records as densely as can be until enough has happened or the targets have ended, or for a minute.</summary>
    /// <param name="begun">Called for every mapping.</param>
    public static RecordedBranches Record(int processId, Func<RecordedBranches, bool> enough, Action? begun = null)
    {
        using CancellationTokenSource stop = new(TimeSpan.FromMinutes(1));
        RecordedBranches? recorded = null;
        recorded = new()
        {
            Mapped = begun,
            Happened = () =>
            {
                if (enough(recorded!))
                    stop.Cancel();
            },
        };
        using SoftwareRecorder recorder = new(new ProcessTreeTargets([processId]), new SoftwareRecorderOptions { MaxOverhead = 1 });
        recorder.Run(recorded, stop.Token);
        return recorded;
    }

    private readonly List<Mapping> mappings = [];

    public Dictionary<(ulong From, ulong To), long> Counts { get; } = [];

    public LossCounts Losses { get; } = new();

    public List<int> Execs { get; } = [];

    public long Samples { get; private set; }

    /// <summary>The processes that samples were of.</summary>
    public HashSet<int> Processes { get; } = [];

    /// <summary>The threads that samples were of.</summary>
    public HashSet<int> Threads { get; } = [];

    /// <summary>The files that samples end in, by process.</summary>
    public HashSet<(int ProcessId, string Path)> Files { get; } = [];

    public long Branches => Counts.Values.Sum();

    public int UnknownAddresses { get; private set; }

    /// <summary>Called for every sample, on the recorder's thread.</summary>
    public Action? Sampled { get; init; }

    /// <summary>Called for every sample and every loss, on the recorder's thread.</summary>
    public Action? Happened { get; init; }

    /// <summary>Called for every mapping, on the recorder's thread.</summary>
    public Action? Mapped { get; init; }

    public void OnMapping(Mapping mapping)
    {
        mappings.Add(mapping);
        Mapped?.Invoke();
    }

    public void OnFork(int processId, int parentProcessId)
    {
    }

    public void OnExec(int processId) => Execs.Add(processId);

    public void OnExit(int processId)
    {
    }

    public void OnSample(in BranchSample sample)
    {
        Samples++;
        Processes.Add(sample.ProcessId);
        Threads.Add(sample.ThreadId);
        if (MappingOf(sample.ProcessId, sample.Stack[0].To) is { } mapping)
            Files.Add((sample.ProcessId, mapping.Path));
        foreach (BranchEntry entry in sample.Stack)
        {
            Counts[(entry.From.Value, entry.To.Value)] = Counts.GetValueOrDefault((entry.From.Value, entry.To.Value)) + 1;
            if (MappingOf(sample.ProcessId, entry.To) is null)
                UnknownAddresses++;
        }
        Sampled?.Invoke();
        Happened?.Invoke();
    }

    public void OnLost(string reason, ulong count)
    {
        Losses.Add(reason, count);
        Happened?.Invoke();
    }

    /// <summary>The latest mapping of a runtime address.</summary>
    public Mapping? MappingOf(int processId, RuntimeAddress address) =>
        mappings.LastOrDefault(m => m.ProcessId == processId && address >= m.Start && address < m.End);
}
