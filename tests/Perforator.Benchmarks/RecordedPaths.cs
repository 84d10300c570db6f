using System.Diagnostics;
using Perforator.Branches;
using Perforator.Recording.Processes;
using Perforator.Recording.Software;

namespace Perforator.Benchmarks;

/// <summary>
/// A real program's branches in the pieces in which the software recorder takes them: one path of some thousand branches each.
/// </summary>
internal sealed class RecordedPaths : IBranchSink, IDisposable
{
    /// <summary>Stacks of a path.</summary>
    private const int StacksOfPath = 16;

    private readonly BranchAggregator aggregator;
    private readonly string program;
    private readonly CancellationTokenSource enough = new();
    private readonly int wanted;
    private int stacks;

    private RecordedPaths(IModuleResolver modules, string program, int wanted)
    {
        aggregator = new BranchAggregator(modules);
        (this.program, this.wanted) = (program, wanted);
    }

    /// <summary>The program's own branches of each path, and how many they are.</summary>
    public List<(TraceCount[] Traces, ulong Branches)> Paths { get; } = [];

    /// <summary>Records a program at work until there are so many paths.</summary>
    public static RecordedPaths Record(string[] command, int paths)
    {
        using LiveModules modules = new();
        RecordedPaths recorded = new(modules, Path.GetFileName(command[0]), paths);
        using Process process = Process.Start(new ProcessStartInfo(command[0], command[1..]) { RedirectStandardOutput = true })!;
        process.OutputDataReceived += static (_, _) => { };
        process.BeginOutputReadLine();
        using SoftwareRecorder recorder =
            new(new ProcessTreeTargets([process.Id]), new SoftwareRecorderOptions { MaxOverhead = 1, BranchesPerSecond = double.PositiveInfinity });
        recorder.Run(recorded, recorded.enough.Token);
        if (!process.HasExited)
            process.Kill();
        process.WaitForExit();
        return recorded;
    }

    public void Dispose() => enough.Dispose();

    public void OnMapping(Mapping mapping) => aggregator.OnMapping(mapping);

    public void OnFork(int processId, int parentProcessId) => aggregator.OnFork(processId, parentProcessId);

    public void OnExec(int processId) => aggregator.OnExec(processId);

    public void OnExit(int processId) => aggregator.OnExit(processId);

    public void OnLost(string reason, ulong count)
    {
    }

    public void OnSample(in BranchSample sample)
    {
        aggregator.OnSample(sample);
        if (++stacks % StacksOfPath != 0)
            return;
        if (aggregator.Take().Profiles.Values.FirstOrDefault(
            profile => Path.GetFileName(profile.Path) == program) is { IsEmpty: false } profile)
            Paths.Add((profile.Traces(), profile.Branches.InternalTotal));
        if (Paths.Count == wanted)
            enough.Cancel();
    }
}
