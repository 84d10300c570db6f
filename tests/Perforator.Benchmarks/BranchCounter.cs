using Perforator.Branches;
using Perforator.Elf;

namespace Perforator.Benchmarks;

/// <summary>Counts the branches within one binary, by ELF virtual addresses.</summary>
internal sealed class BranchCounter(string binary) : IBranchSink
{
    private readonly LoadSegment[] segments = LoadExecutable(binary);
    private readonly Dictionary<int, List<Mapping>> mappings = [];

    public Dictionary<(ulong From, ulong To), long> Branches { get; } = [];

    public LossCounts Losses { get; } = new();

    /// <summary>Called when the recorder has found its target, on the recorder's thread, perhaps more than once.</summary>
    public required Action Begun { get; init; }

    public void OnMapping(Mapping mapping)
    {
        Begun();
        if (mapping.Path != binary)
            return;
        if (!mappings.TryGetValue(mapping.ProcessId, out List<Mapping>? list))
            mappings.Add(mapping.ProcessId, list = []);
        list.Add(mapping);
    }

    public void OnFork(int processId, int parentProcessId)
    {
    }

    public void OnExec(int processId) => mappings.Remove(processId);

    public void OnExit(int processId) => mappings.Remove(processId);

    public void OnLost(string reason, ulong count) => Losses.Add(reason, count);

    public void OnSample(in BranchSample sample)
    {
        if (!mappings.TryGetValue(sample.ProcessId, out List<Mapping>? list))
            return;
        foreach (BranchEntry entry in sample.Stack)
            if (ToBinary(list, entry.From) is { } from && ToBinary(list, entry.To) is { } to)
                Branches[(from, to)] = Branches.GetValueOrDefault((from, to)) + 1;
    }

    private ulong? ToBinary(List<Mapping> list, RuntimeAddress address)
    {
        foreach (Mapping mapping in list)
        {
            if (address < mapping.Start || address >= mapping.End)
                continue;
            ulong offset = address.Value - mapping.Start.Value + mapping.Offset.Value;
            foreach (LoadSegment segment in segments)
                if (offset >= segment.Offset.Value && offset < segment.Offset.Value + segment.FileSize)
                    return offset - segment.Offset.Value + segment.Address.Value;
        }
        return null;
    }

    private static LoadSegment[] LoadExecutable(string path)
    {
        using ElfFile file = ElfFile.Load(path);
        return [.. file.LoadSegments.Where(s => s.IsExecutable)];
    }
}
