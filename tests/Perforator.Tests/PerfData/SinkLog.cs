using Perforator.Branches;

namespace Perforator.Tests.PerfData;

/// <summary>Writes down what a reader hands over, one line each.</summary>
internal sealed class SinkLog : IBranchSink
{
    public List<string> Lines { get; } = [];

    public LossCounts Losses { get; } = new();

    public void OnMapping(Mapping mapping) =>
        Lines.Add($"map {mapping.ProcessId} {mapping.Start}-{mapping.End} {mapping.Offset} {mapping.Path} {mapping.BuildId}".TrimEnd());

    public void OnFork(int processId, int parentProcessId) => Lines.Add($"fork {processId} of {parentProcessId}");

    public void OnExec(int processId) => Lines.Add($"exec {processId}");

    public void OnExit(int processId) => Lines.Add($"exit {processId}");

    public void OnSample(in BranchSample sample)
    {
        string stack = "";
        foreach (BranchEntry entry in sample.Stack)
            stack += $" {entry.From}>{entry.To}{(entry.Flags == 0 ? "" : $"[{entry.Flags}]")}";
        Lines.Add($"sample {sample.ProcessId}/{sample.ThreadId} @{sample.Time} {sample.InstructionPointer}{stack}");
    }

    public void OnLost(string reason, ulong count) => Losses.Add(reason, count);
}
