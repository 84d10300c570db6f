using System.Globalization;
using Perforator.Branches;
using Perforator.Recording.Interpreter;
using Perforator.Recording.Processes;

namespace Perforator.Recording.Software;

/// <summary>A process being recorded: its threads, and the mappings its sink already knows.</summary>
internal sealed class TargetProcess : IDisposable
{
    private readonly Dictionary<int, TargetThread> threads = [];
    private HashSet<Mapping> reported = [];

    public TargetProcess(int processId, Lowering lowering)
    {
        ProcessId = processId;
        Code = new BlockCache(processId, lowering);
        using ProcFile file = new($"/proc/{processId}/status");
        ReadOnlySpan<byte> status = file.Read(stackalloc byte[1024]);
        int parent = status.IndexOf("PPid:\t"u8);
        IsOurChild = parent >= 0
            && System.Buffers.Text.Utf8Parser.TryParse(status[(parent + 6)..], out int id, out _) && id == Environment.ProcessId;
    }

    public int ProcessId { get; }

    /// <summary>Started by this very process.</summary>
    public bool IsOurChild { get; }

    public PathSpeed Speed { get; } = new();

    /// <summary>Its decoded code.</summary>
    public BlockCache Code { get; }

    public IReadOnlyCollection<TargetThread> Threads => threads.Values;

    /// <summary>Follows threads that came and went.</summary>
    /// <returns>False when the process has ended.</returns>
    public bool RefreshThreads()
    {
        HashSet<int> present = [];
        try
        {
            foreach (string folder in Directory.EnumerateDirectories($"/proc/{ProcessId}/task"))
                if (int.TryParse(Path.GetFileName(folder), NumberStyles.None, CultureInfo.InvariantCulture, out int id))
                    present.Add(id);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            present.Clear();
        }
        foreach (TargetThread ended in threads.Values.Where(thread => !present.Contains(thread.ThreadId)).ToArray())
            Forget(ended);
        foreach (int id in present)
            if (!threads.ContainsKey(id))
                threads.Add(id, new TargetThread(this, id) { Due = -ExponentialRandom.Next() });
        return threads.Count > 0;
    }

    /// <summary>Drops a thread that has ended or cannot be traced.</summary>
    public void Forget(TargetThread thread)
    {
        threads.Remove(thread.ThreadId);
        thread.Dispose();
    }

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
        IReadOnlyList<ProcessMap> maps = ProcessMap.Load(ProcessId);
        Code.SetMappings(maps);
        HashSet<Mapping> now = [.. maps.Where(map => map.IsExecutable && map.Path.Length > 0).Select(map => map.ToMapping(ProcessId))];
        if (now.Count == 0)
            return true;
        bool executed = reported.Count > 0 && !now.Overlaps(reported);
        if (executed)
        {
            sink.OnExec(ProcessId);
            reported = [];
        }
        foreach (Mapping mapping in now)
            if (!reported.Contains(mapping))
                sink.OnMapping(mapping);
        reported = now;
        return executed;
    }

    public void Dispose()
    {
        foreach (TargetThread thread in threads.Values)
            thread.Dispose();
        Code.Dispose();
    }
}
