using Perforator.Branches;
using Perforator.Recording.Interpreter;
using Perforator.Recording.Processes;

namespace Perforator.Recording.Software;

/// <summary>A process being recorded: its code, and the mappings its sink already knows.</summary>
internal sealed class TargetProcess(ProcessIdentity identity, bool isOurChild, Lowering lowering) : IDisposable
{
    private HashSet<Mapping> reported = [];

    public int Id => identity.Id;

    /// <summary>Tells it from a later process of the same id.</summary>
    public ProcessIdentity Identity => identity;

    /// <summary>Started by this very process.</summary>
    public bool IsOurChild => isOurChild;

    /// <summary>Grows with each process that is met.</summary>
    public long LastMet { get; set; }

    /// <summary>Its decoded code.</summary>
    public BlockCache Code { get; } = new(identity.Id, lowering);

    /// <summary>The pages it touches.</summary>
    public PageHistory Pages { get; } = new();

    /// <summary>Whether the sink knows any of its mappings.</summary>
    public bool IsReported => reported.Count > 0;

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
    /// <returns>Whether there was an exec, or the process has no code any more as it ends; what was followed before then has no known mappings.</returns>
    public bool ReportMappings(IBranchSink sink)
    {
        IReadOnlyList<ProcessMap> maps = ProcessMap.Load(Id);
        Code.SetMappings(maps);
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

    public void Dispose() => Code.Dispose();
}
