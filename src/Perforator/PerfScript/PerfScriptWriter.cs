using System.Globalization;
using System.Text;
using Perforator.Branches;

namespace Perforator.PerfScript;

/// <summary>
/// Writes what a recorder hands over as <c>perf script -F ip,brstack --show-mmap-events</c> prints it. With callers that is what
/// llvm-profgen calls a hybrid sample: the frames, innermost first, then the branch stack; it makes context-sensitive profiles (CSSPGO) of
/// them.
/// </summary>
/// <remarks>The format has no column for the process, so that one file is of one: the first that has samples.</remarks>
public sealed class PerfScriptWriter : IRecordingWriter
{
    /// <summary>What is not of the file's process.</summary>
    public const string OtherProcess = "branch stacks of another process than the first, which this text cannot tell apart";

    /// <summary>Nothing to print.</summary>
    public const string EmptyBranchStack = "samples without a branch stack";

    private readonly StreamWriter output;
    private readonly Dictionary<int, List<Mapping>> before = [];
    private int process;

    /// <param name="output">Where to write; it stays open.</param>
    public PerfScriptWriter(Stream output) =>
        this.output = new StreamWriter(output, new UTF8Encoding(false), 1 << 16, leaveOpen: true) { NewLine = "\n" };

    /// <inheritdoc/>
    public LossCounts Losses { get; } = new();

    /// <inheritdoc/>
    public void OnMapping(Mapping mapping)
    {
        if (process == 0)
            Of(mapping.ProcessId).Add(mapping);
        else if (mapping.ProcessId == process)
            Write(mapping);
    }

    /// <inheritdoc/>
    public void OnFork(int processId, int parentProcessId)
    {
        if (process == 0 && before.TryGetValue(parentProcessId, out List<Mapping>? mappings))
            Of(processId).AddRange(mappings.Select(mapping => mapping with { ProcessId = processId }));
    }

    /// <inheritdoc/>
    public void OnExec(int processId) => before.Remove(processId);

    /// <inheritdoc/>
    public void OnExit(int processId) => before.Remove(processId);

    /// <inheritdoc/>
    public void OnSample(in BranchSample sample)
    {
        ulong times = Math.Max(sample.Weight, 1);
        if (process == 0)
        {
            process = sample.ProcessId;
            Of(process).ForEach(Write);
            before.Clear();
        }
        if (sample.ProcessId != process || sample.Stack.IsEmpty)
        {
            Losses.Add(sample.Stack.IsEmpty ? EmptyBranchStack : OtherProcess, times);
            return;
        }
        StringBuilder text = new();
        if (!sample.Callers.IsEmpty)
        {
            Frame(sample.Stack[0].To);
            foreach (RuntimeAddress caller in sample.Callers)
                Frame(caller);
        }
        foreach (ref readonly BranchEntry entry in sample.Stack)
            text.Append(CultureInfo.InvariantCulture, $" 0x{entry.From.Value:x}/0x{entry.To.Value:x}/{Prediction(entry.Flags)}/{((entry.Flags & BranchFlags.InTransaction) != 0 ? 'X' : '-')}/{((entry.Flags & BranchFlags.Abort) != 0 ? 'A' : '-')}/0");
        text.Append("\n\n");
        for (; times > 0; times--)
            output.Write(text);

        void Frame(RuntimeAddress address) => text.Append(CultureInfo.InvariantCulture, $"\t{address.Value,16:x}\n");
    }

    /// <inheritdoc/>
    public void OnLost(string reason, ulong count) => Losses.Add(reason, count);

    /// <inheritdoc/>
    public void Complete() => output.Flush();

    /// <inheritdoc/>
    public void Dispose() => output.Dispose();

    private List<Mapping> Of(int processId) => before.TryGetValue(processId, out List<Mapping>? known) ? known : before[processId] = [];

    private static char Prediction(BranchFlags flags) =>
        (flags & BranchFlags.Mispredicted) != 0 ? 'M' : (flags & BranchFlags.Predicted) != 0 ? 'P' : '-';

    private void Write(Mapping mapping) => output.WriteLine(string.Create(CultureInfo.InvariantCulture,
        $" PERF_RECORD_MMAP2 {mapping.ProcessId}/{mapping.ProcessId}: [0x{mapping.Start.Value:x}(0x{mapping.Length:x}) @ 0x{mapping.Offset.Value:x} 00:00 0 0]: r-xp {mapping.Path}"));
}
