using System.Text;
using BenchmarkDotNet.Attributes;
using Perforator.Branches;
using Perforator.PerfScript;

namespace Perforator.Benchmarks;

/// <summary>The loops that every branch record goes through: one million records each.</summary>
[MemoryDiagnoser]
public class HotLoops
{
    private const int Records = 1_000_000;
    private const int Depth = 32;
    private readonly BranchEntry[] entries = SyntheticStacks.Make(Records);
    private byte[] text = [];

    [GlobalSetup]
    public void MakeText()
    {
        StringBuilder lines = new();
        for (int i = 0; i + Depth <= entries.Length; i += Depth)
        {
            lines.Append($"{entries[i].To.Value,17:x} ");
            foreach (BranchEntry entry in entries.AsSpan(i, Depth))
                lines.Append($"{entry.From}/{entry.To}/P/-/-/0  ");
            lines.Append('\n');
        }
        text = Encoding.ASCII.GetBytes(lines.ToString());
    }

    [Benchmark]
    public int Aggregate() => SyntheticStacks.Aggregate(entries, Depth).Branches.Count;

    [Benchmark]
    public ulong ParsePerfScript()
    {
        PerfScriptReader reader = new(new Nowhere());
        reader.Read(new MemoryStream(text));
        return reader.BranchSamples;
    }

    private sealed class Nowhere : IBranchSink
    {
        public void OnMapping(Mapping mapping) { }

        public void OnFork(int processId, int parentProcessId) { }

        public void OnExec(int processId) { }

        public void OnExit(int processId) { }

        public void OnSample(in BranchSample sample) { }

        public void OnLost(string reason, ulong count) { }
    }
}
