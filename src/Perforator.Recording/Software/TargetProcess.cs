using Perforator.Branches;
using Perforator.Recording.Interpreter;
using Perforator.Recording.Processes;

namespace Perforator.Recording.Software;

/// <summary>A process being recorded: its code, and the mappings its sink already knows.</summary>
internal sealed class TargetProcess(ProcessIdentity identity, bool isOurChild, Translator translator) : IDisposable
{
    private HashSet<Mapping> reported = [];
    private BlockCache? code;

    public int Id => identity.Id;

    /// <summary>Tells it from a later process of the same id.</summary>
    public ProcessIdentity Identity => identity;

    /// <summary>Started by this very process.</summary>
    public bool IsOurChild => isOurChild;

    /// <summary>Grows with each process that is met.</summary>
    public long LastMet { get; set; }

    /// <summary>Its decoded code.</summary>
    public BlockCache Code => code ??= new BlockCache(identity.Id, translator);

    /// <summary>What that takes, about.</summary>
    public long CodeBytes => code?.Bytes ?? 0;

    /// <summary>The pages it touches.</summary>
    public PageHistory Pages { get; } = new();

    /// <summary>Whether it can be followed: <see cref="ReportMappings"/> was called.</summary>
    public bool IsReady => code is not null;

    /// <summary>Whether every branch goes to code whose mapping the sink knows.</summary>
    public bool Knows(ReadOnlySpan<BranchEntry> branches)
    {
        Mapping? last = null;
        foreach (ref readonly BranchEntry branch in branches)
        {
            RuntimeAddress to = branch.To;
            if (last is not null && to >= last.Start && to < last.End)
                continue;
            last = reported.FirstOrDefault(mapping => to >= mapping.Start && to < mapping.End);
            if (last is null)
                return false;
        }
        return true;
    }

    /// <summary>Tells the sink of executable mappings it does not know yet, and of an exec when nothing of the old image is left.</summary>
    /// <returns>Whether there was an exec, or the process has no code any more as it ends; what was followed before then has no known
    /// mappings.</returns>
    public bool ReportMappings(IBranchSink sink)
    {
        IReadOnlyList<ProcessMap> maps = ProcessMap.Load(Id);
        Code.SetMappings(maps);
        return Report(maps, sink);
    }

    /// <summary>Tells the sink of a process that need not ever run: nothing else is kept of it.</summary>
    public void Announce(IBranchSink sink) => _ = Report(ProcessMap.Load(Id), sink);

    public void Dispose() => code?.Dispose();

    private bool Report(IReadOnlyList<ProcessMap> maps, IBranchSink sink)
    {
        HashSet<Mapping> now = [.. maps.Where(map => map.IsExecutable && map.Path.Length > 0).Select(map => map.ToMapping(Id))];
        if (now.Count == 0)
            return true;
        bool executed = reported.Count > 0 && !now.Overlaps(reported);
        if (executed)
        {
            sink.OnExec(Id);
            reported = [];
        }
        foreach (Mapping mapping in now)
            if (!reported.Contains(mapping))
                sink.OnMapping(mapping);
        reported = now;
        return executed;
    }
}
