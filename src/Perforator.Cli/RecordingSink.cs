using Perforator.Branches;
using Perforator.Recording.Processes;

namespace Perforator.Cli;

/// <summary>
/// Passes on what <c>record</c> records: tells when a target was found, and leaves out the shell that a command is held in.
/// </summary>
/// <param name="command">The held command; null when there is none.</param>
internal sealed class RecordingSink(IBranchSink sink, HeldCommand? command) : IBranchSink
{
    private readonly TaskCompletionSource started = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private bool hasBegun;

    /// <summary>Completed by the first mapping: the recorder has found a target.</summary>
    public Task Started => started.Task;

    public void OnMapping(Mapping mapping)
    {
        Begin();
        sink.OnMapping(mapping);
        started.TrySetResult();
    }

    public void OnFork(int processId, int parentProcessId) => sink.OnFork(processId, parentProcessId);

    public void OnExec(int processId) => sink.OnExec(processId);

    public void OnExit(int processId) => sink.OnExit(processId);

    public void OnSample(in BranchSample sample)
    {
        Begin();
        if (command is null || hasBegun)
            sink.OnSample(sample);
    }

    public void OnLost(string reason, ulong count) => sink.OnLost(reason, count);

    /// <summary>When the shell has become the command: forgets the shell's mappings, and tells all that the command has so far.</summary>
    private void Begin()
    {
        if (hasBegun || command is not { HasBegun: true })
            return;
        hasBegun = true;
        sink.OnExec(command.Process.Id);
        foreach (ProcessMap map in ProcessMap.Load(command.Process.Id))
            if (map.IsExecutable && map.Path.Length != 0)
                sink.OnMapping(map.ToMapping(command.Process.Id));
    }
}
